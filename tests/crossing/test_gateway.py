"""The gateway over a real site: what is asked for is fetched, scanned, patched and judged; what fails is refused."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from sallyport.serving import serve_gateway

NS = "ns=upstream.example"


@dataclass(frozen=True)
class Client:
    """Asks as containerd does."""

    url: str

    def get(self, path: str, method: str = "GET") -> tuple[int, bytes, dict[str, str]]:
        request = urllib.request.Request(f"{self.url}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read(), {k.lower(): v for k, v in answer.headers.items()}
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read(), {k.lower(): v for k, v in error.headers.items()}

    def denied(self, path: str) -> tuple[str, list[str]]:
        status, body, _ = self.get(path)
        assert status == 403, body
        (entry,) = json.loads(body)["errors"]
        assert entry["code"] == "DENIED"
        return entry["message"], entry["detail"]["reasons"]


@contextmanager
def gateway(scene: Any, rule: str = "{images: upstream.example/*}") -> Iterator[Client]:
    scene.configure()
    path = scene.root / "outside" / "sallyport.yaml"
    path.write_text(path.read_text() + f"\ngateway:\n  fresh-for: 1h\n  allow: [{rule}]\n")
    with scene.site("outside") as site, serve_gateway(site, listen="127.0.0.1:0") as url:
        yield Client(url)


@pytest.fixture
def outdated(scene: Any) -> Any:
    scene.publish("web", openssl="3.0.11-1")
    scene.fix("openssl", "3.0.15-1", closes=["CVE-2026-1111"])
    return scene


def test_a_first_pull_serves_the_patched_image_whole(outdated: Any) -> None:
    upstream = outdated.upstream.state.tag("web", "12").descriptor.digest
    with gateway(outdated) as client:
        status, body, headers = client.get(f"/v2/web/manifests/12?{NS}")
        assert status == 200, body
        assert headers["docker-content-digest"] != str(upstream)
        for child in json.loads(body)["manifests"]:
            status, raw, _ = client.get(f"/v2/web/manifests/{child['digest']}?{NS}")
            assert status == 200
            manifest = json.loads(raw)
            for blob in (manifest["config"], *manifest["layers"]):
                assert client.get(f"/v2/upstream.example/web/blobs/{blob['digest']}", "HEAD")[0] == 200
        # The same by the registry's name in the path.
        assert client.get("/v2/upstream.example/web/manifests/12")[1] == body


def test_what_does_not_pass_is_refused_with_reasons_and_none_of_it_is_served(outdated: Any) -> None:
    with gateway(outdated, "{images: upstream.example/*, prefer: upstream}") as client:
        message, reasons = client.denied(f"/v2/web/manifests/12?{NS}")
        assert message.startswith("refused by policy: ")
        assert any("CVE-2026-1111" in reason for reason in reasons)
        digest = outdated.upstream.state.tag("web", "12").descriptor.digest
        client.denied(f"/v2/web/manifests/{digest}?{NS}")
        blob = next(iter(outdated.upstream.blobs.digests()))
        assert client.get(f"/v2/web/blobs/{blob}?{NS}")[0] == 404


def test_names_outside_the_rules_are_denied_whether_they_exist_or_not(outdated: Any) -> None:
    with gateway(outdated, "{images: upstream.example/web, tags: ['12']}") as client:
        for path in ("/v2/web/manifests/13?" + NS, "/v2/api/manifests/12?" + NS, "/v2/web/manifests/12?ns=169.254.1.1"):
            assert client.denied(path)[0] == "this gateway does not allow that image"
        client.denied("/v2/incoming/upstream.example/web/manifests/12")
        client.denied("/v2/_catalog")
        assert client.get(f"/v2/web/manifests/12?{NS}", "PUT")[0] == 405


def test_what_upstream_does_not_have_is_unknown(outdated: Any) -> None:
    with gateway(outdated) as client:
        status, body, _ = client.get(f"/v2/web/manifests/99?{NS}")
        assert (status, json.loads(body)["errors"][0]["code"]) == (404, "MANIFEST_UNKNOWN")


def test_many_clients_of_a_cold_image_are_one_job(outdated: Any) -> None:
    with gateway(outdated) as client:
        with ThreadPoolExecutor(64) as pool:
            answers = list(pool.map(lambda _: client.get(f"/v2/web/manifests/12?{NS}"), range(64)))
        assert {status for status, *_ in answers} == {200}
        assert len({body for _, body, _ in answers}) == 1
        assert b'outcome="jobs"} 1\n' in client.get("/metrics")[1]


def test_the_vetted_copy_is_served_while_upstream_is_gone_until_its_feeds_are_too_old(outdated: Any) -> None:
    with gateway(outdated) as client:
        assert client.get(f"/v2/web/manifests/12?{NS}")[0] == 200
    outdated.upstream.state.delete_tag("web", "12")
    outdated.now += timedelta(days=2)
    with gateway(outdated) as client:
        assert client.get(f"/v2/web/manifests/12?{NS}")[0] == 200
    outdated.now += timedelta(weeks=3)
    with gateway(outdated) as client:
        _, reasons = client.denied(f"/v2/web/manifests/12?{NS}")
        assert any("the policy allows 14 days" in reason for reason in reasons)


@pytest.mark.client
@pytest.mark.skipif(os.environ.get("SALLYPORT_CLIENT_TESTS") != "1", reason="client tests are off")
@pytest.mark.parametrize(
    "command", ["skopeo inspect --raw --tls-verify=false docker://{}", "crane --insecure manifest {}"]
)
def test_real_clients_pull_and_read_why_not(outdated: Any, command: str) -> None:
    for rule, passes in (
        ("{images: upstream.example/*, prefer: upstream}", False),
        ("{images: upstream.example/*}", True),
    ):
        with gateway(outdated, rule) as client:
            image = f"{client.url.removeprefix('http://')}/upstream.example/web:12"
            ran = subprocess.run(command.format(image).split(), capture_output=True, text=True, timeout=60, check=False)
        assert (ran.returncode == 0) is passes, ran.stderr
        assert ("manifests" in ran.stdout) is passes
        assert passes or ("refused by policy" in ran.stderr and "Traceback" not in ran.stderr)
