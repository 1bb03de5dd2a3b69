"""The gateway asks who calls, for packages as for images, and serves both behind one door."""

from __future__ import annotations

import base64
from typing import Any

import bcrypt

from sallyport.engine import Http
from sallyport.serving import serve_gateway


def test_packages_and_images_ask_for_the_same_login(scene: Any) -> None:
    scene.publish("web", openssl="3.0.11-1")
    scene.configure()
    secret = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (scene.root / "outside" / "users").write_text(f"jane:{secret}\n")
    path = scene.root / "outside" / "sallyport.yaml"
    path.write_text(
        path.read_text()
        + "\naccess:\n  htpasswd: users\n  rules:\n    - {who: 'user:jane', may: [pull]}\n"
        + "gateway:\n  allow: [{images: upstream.example/*}]\n  packages:\n"
        + f"    - {{name: debian, kind: apt, upstream: '{scene.archive.mirror}', keyring: ../archive.pgp, allow: [openssl]}}\n"
    )
    login = {"Authorization": f"Basic {base64.b64encode(b'jane:secret').decode()}"}
    with (
        scene.site("outside") as site,
        serve_gateway(site, listen="127.0.0.1:0") as url,
        Http(proxies={}, retries=0) as http,
    ):

        def status(path: str, headers: dict[str, str]) -> int:
            with http.request("GET", url + path, headers=headers) as response:
                response.read(50_000_000)
                return response.status

        for path in ("/v2/upstream.example/web/manifests/12", "/packages/debian/dists/bookworm/InRelease"):
            assert (path, status(path, {})) == (path, 401)
            assert (path, status(path, login)) == (path, 200)
        assert status("/packages/other/dists/bookworm/InRelease", login) == 404
