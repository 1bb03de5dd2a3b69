"""An npm registry goes through by its sha512."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.depot.conftest import Depot, Upstream

Start = Callable[..., Depot]


def integrity(raw: bytes) -> str:
    return "sha512-" + base64.b64encode(hashlib.sha512(raw).digest()).decode()


def packument(upstream: Upstream, name: str, versions: dict[str, bytes]) -> dict[str, Any]:
    document: dict[str, Any] = {"name": name, "dist-tags": {"latest": max(versions)}, "versions": {}, "time": {}}
    for version, raw in versions.items():
        path = f"/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
        upstream.pages[path] = raw
        dist = {
            "tarball": upstream.base + path,
            "integrity": integrity(raw),
            "signatures": [{"keyid": "k", "sig": "s"}],
        }
        document["versions"][version] = {"name": name, "version": version, "dist": dist}
    publish(upstream, document)
    return document


def publish(upstream: Upstream, document: dict[str, Any]) -> None:
    path = "/" + document["name"].replace("/", "%2F")
    upstream.pages[path] = ("application/json", json.dumps(document).encode())


@pytest.fixture
def served(depot: Start, upstream: Upstream) -> Depot:
    return depot("npm", upstream=upstream.base, allow=("left-*", "@dock/*"))


def test_tarballs_lead_to_us_and_what_was_signed_stays(served: Depot, upstream: Upstream) -> None:
    document = packument(upstream, "left-pad", {"1.0.0": b"one", "1.1.0": b"two"})
    answer = json.loads(served.get("/left-pad").body)
    assert answer["dist-tags"] == {"latest": "1.1.0"}
    for version, raw in (("1.0.0", b"one"), ("1.1.0", b"two")):
        dist = answer["versions"][version]["dist"]
        theirs = document["versions"][version]["dist"]
        assert dist["tarball"] == f"{served.url}/left-pad/-/left-pad-{version}.tgz"
        assert dist | {"tarball": ""} == theirs | {"tarball": ""}
        assert served.get(dist["tarball"].removeprefix(served.url)).body == raw


@pytest.mark.parametrize("path", ["/@dock/crane", "/@dock%2fcrane", "/@dock%2Fcrane"])
def test_a_scoped_name_is_found_in_both_spellings(served: Depot, upstream: Upstream, path: str) -> None:
    packument(upstream, "@dock/crane", {"2.0.0": b"lift"})
    tarball = json.loads(served.get(path).body)["versions"]["2.0.0"]["dist"]["tarball"]
    assert served.get(tarball.removeprefix(served.url)).body == b"lift"


def test_what_is_not_on_the_list_is_refused_and_not_asked_for(served: Depot, upstream: Upstream) -> None:
    for path in ("/evil", "/@evil/crane", "/evil/-/evil-1.0.0.tgz"):
        assert served.get(path).status == 403
    assert upstream.asked == []


def test_a_swapped_tarball_is_never_handed_over(served: Depot, upstream: Upstream) -> None:
    packument(upstream, "left-pad", {"1.0.0": b"one"})
    upstream.pages["/left-pad/-/left-pad-1.0.0.tgz"] = b"evil"
    answer = served.get("/left-pad/-/left-pad-1.0.0.tgz")
    assert answer.status == 502
    assert b"evil" not in answer.body


def test_versions_that_nothing_can_check_are_left_out(served: Depot, upstream: Upstream) -> None:
    document = packument(upstream, "left-pad", {"1.0.0": b"one", "2.0.0": b"two", "3.0.0": b"three"})
    del document["versions"]["2.0.0"]["dist"]["integrity"]
    document["versions"]["3.0.0"]["dist"]["tarball"] = "http://elsewhere.example/left-pad-3.0.0.tgz"
    publish(upstream, document)
    answer = json.loads(served.get("/left-pad").body)
    assert (list(answer["versions"]), answer["dist-tags"]) == (["1.0.0"], {})
    assert served.get("/left-pad/-/left-pad-2.0.0.tgz").status == 404
    assert served.get("/left-pad/-/left-pad-3.0.0.tgz").status == 404


def test_a_packument_of_another_package_is_refused(served: Depot, upstream: Upstream) -> None:
    packument(upstream, "left-pad", {"1.0.0": b"one"})
    upstream.pages["/left-wing"] = upstream.pages["/left-pad"]
    assert served.get("/left-wing").status == 502


@pytest.mark.parametrize("page", [b"", b"[]", b'{"name": "left-pad"}', b'{"name": "left-pad", "versions": []}'])
def test_a_broken_packument_is_a_bad_gateway(served: Depot, upstream: Upstream, page: bytes) -> None:
    upstream.pages["/left-pad"] = page
    assert served.get("/left-pad").status == 502


def test_odd_members_of_a_packument_do_no_harm(served: Depot, upstream: Upstream) -> None:
    document = packument(upstream, "left-pad", {"1.0.0": b"one"})
    document["versions"] |= {"../up": document["versions"]["1.0.0"], "2.0.0": 7, "3.0.0": {"dist": []}}
    document["dist-tags"] = {"latest": {"a": 1}, "good": "1.0.0"}
    publish(upstream, document)
    answer = json.loads(served.get("/left-pad").body)
    assert (list(answer["versions"]), answer["dist-tags"]) == (["1.0.0"], {"good": "1.0.0"})


def test_upstream_down(served: Depot, upstream: Upstream) -> None:
    packument(upstream, "left-pad", {"1.0.0": b"one"})
    served.get("/left-pad/-/left-pad-1.0.0.tgz")
    upstream.down = True
    served.later(days=2)
    assert served.get("/left-pad").status == 200
    assert served.get("/left-pad/-/left-pad-1.0.0.tgz").body == b"one"
    assert served.get("/left-over").status == 502
