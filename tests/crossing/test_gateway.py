"""The gateway over a real site: what is asked for is fetched, scanned, patched and judged; what fails is refused."""

from __future__ import annotations

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sallyport.oci import LayoutReader
from sallyport.registry import make_app, serve
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
def gateway(scene: Any, rule: str = "{images: upstream.example/*}", more: str = "") -> Iterator[Client]:
    scene.configure()
    path = scene.root / "outside" / "sallyport.yaml"
    path.write_text(path.read_text() + f"\ngateway:\n  fresh-for: 1h\n  allow: [{rule}]\n{more}")
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


class Counting:
    """The upstream, with every request written down, and slow where it is told to be."""

    def __init__(self, app: Any) -> None:
        self.app, self.asked, self.delay_s = app, Counter[str](), 0.0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        import anyio

        if scope["type"] == "http":
            self.asked[f"{scope['method']} {scope['path']}"] += 1
            await anyio.sleep(self.delay_s)
        await self.app(scope, receive, send)


def test_many_clients_of_a_cold_image_are_one_upstream_fetch(outdated: Any) -> None:
    counting = Counting(make_app(outdated.upstream))
    with serve(counting) as upstream:
        outdated.port = upstream.registry
        with gateway(outdated) as client:
            with ThreadPoolExecutor(64) as pool:
                answers = list(pool.map(lambda _: client.get(f"/v2/web/manifests/12?{NS}"), range(64)))
            assert {status for status, *_ in answers} == {200}
            assert {count for _, count in counting.asked.items()} == {1}, counting.asked
            assert sum("/blobs/" in line for line in counting.asked) >= 3
            counting.asked.clear()
            # And warm, nobody upstream hears of them.
            with ThreadPoolExecutor(64) as pool:
                assert {
                    status for status, *_ in pool.map(lambda _: client.get(f"/v2/web/manifests/12?{NS}"), range(64))
                } == {200}
            assert not counting.asked


def test_upstream_is_down_and_what_was_vetted_is_served_and_what_was_not_is_not(outdated: Any) -> None:
    with serve(make_app(outdated.upstream)) as upstream:
        outdated.port = upstream.registry
        with gateway(outdated) as client:
            first = client.get(f"/v2/web/manifests/12?{NS}")
            assert first[0] == 200
    outdated.now += timedelta(hours=3)
    with gateway(outdated) as client:
        assert client.get(f"/v2/web/manifests/12?{NS}")[1] == first[1]
        status, body, _ = client.get(f"/v2/other/manifests/12?{NS}")
        assert status in (502, 503), body


def test_who_waits_too_long_is_told_to_come_again(outdated: Any) -> None:
    counting = Counting(make_app(outdated.upstream))
    counting.delay_s = 0.4
    with serve(counting) as upstream:
        outdated.port = upstream.registry
        with gateway(outdated, "{images: upstream.example/*}", "  wait-s: 1\n") as client:
            status, body, headers = client.get(f"/v2/web/manifests/12?{NS}")
            assert (status, json.loads(body)["errors"][0]["code"]) == (503, "TOOMANYREQUESTS")
            assert int(headers["retry-after"]) > 0
            counting.delay_s = 0.0
            until = time.monotonic() + 30
            while client.get(f"/v2/web/manifests/12?{NS}")[0] == 503:
                assert time.monotonic() < until
                time.sleep(0.1)
            assert client.get(f"/v2/web/manifests/12?{NS}")[0] == 200


@pytest.mark.client
@pytest.mark.skipif(os.environ.get("SALLYPORT_CLIENT_TESTS") != "1", reason="client tests are off")
def test_real_clients_pull_whole_images(outdated: Any, tmp_path: Path) -> None:
    with gateway(outdated) as client:
        image = f"{client.url.removeprefix('http://')}/upstream.example/web:12"
        for command in (
            f"skopeo --insecure-policy copy --all --src-tls-verify=false docker://{image} oci:{tmp_path / 'skopeo'}:12",
            f"crane pull --insecure --format oci {image} {tmp_path / 'crane'}",
            f"crane validate --insecure --remote {image}",
        ):
            ran = subprocess.run(command.split(), capture_output=True, text=True, timeout=60, check=False)
            assert ran.returncode == 0, ran.stderr
        served = json.loads(client.get(f"/v2/web/manifests/12?{NS}")[1])
    digests = {entry["digest"] for entry in served["manifests"]}
    assert digests <= {str(digest) for digest in LayoutReader(tmp_path / "skopeo").digests()}


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
