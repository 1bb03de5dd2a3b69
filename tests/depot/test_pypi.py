"""A Python package index goes through by its digests."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from urllib.parse import urljoin

import pytest
from tests.depot.conftest import Depot, Upstream

WHEEL = b"a wheel"
META = b"Metadata-Version: 2.1\nName: Nice.Thing\n"
FILE = "nice_thing-1.0-py3-none-any.whl"
JSON_TYPE = "application/vnd.pypi.simple.v1+json"
HTML = "text/html"
Start = Callable[..., Depot]


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@pytest.fixture
def index(upstream: Upstream) -> Upstream:
    upstream.pages["/simple/nice-thing/"] = (
        HTML,
        f'<!DOCTYPE html><html><body><a href="../../files/{FILE}#sha256={sha(WHEEL)}" data-requires-python="&gt;=3.8" '
        f'data-dist-info-metadata="sha256={sha(META)}" data-yanked="no &quot;good&quot;">{FILE}</a>'
        f'<a href="../../files/nice-thing-0.9.tar.gz">no digest</a>'
        f'<a href="http://elsewhere.example/nice-thing-0.8.tar.gz#sha256={sha(b"x")}">elsewhere</a>'
        f"</body></html>".encode(),
    )
    upstream.pages[f"/files/{FILE}"] = WHEEL
    upstream.pages[f"/files/{FILE}.metadata"] = META
    return upstream


@pytest.fixture
def served(depot: Start, index: Upstream) -> Depot:
    return depot("pypi", upstream=f"{index.base}/simple", allow=("nice-*", "Exact_Name"))


def in_json(served: Depot, name: str = "nice-thing") -> list[dict[str, object]]:
    answer = served.get(f"/simple/{name}/", Accept=JSON_TYPE)
    assert (answer.status, answer.headers["content-type"]) == (200, JSON_TYPE)
    files = json.loads(answer.body)["files"]
    assert isinstance(files, list)
    return files


def test_the_page_leads_to_us_and_keeps_digests_and_marks(served: Depot) -> None:
    answer = served.get("/simple/nice-thing/")
    assert answer.headers["content-type"].startswith("text/html")
    href = re.findall(r'href="([^"]+)"', answer.text)
    assert href == [f"../../files/nice-thing/{FILE}#sha256={sha(WHEEL)}"]
    assert f'data-core-metadata="sha256={sha(META)}"' in answer.text
    assert 'data-requires-python="&gt;=3.8"' in answer.text
    assert 'data-yanked="no &quot;good&quot;"' in answer.text
    assert "elsewhere" not in answer.text
    path = urljoin("/simple/nice-thing/", href[0].partition("#")[0])
    assert served.get(path).body == WHEEL
    assert served.get(f"{path}.metadata").body == META


def test_the_same_in_json(served: Depot) -> None:
    (file,) = in_json(served)
    assert file == {
        "filename": FILE,
        "url": f"../../files/nice-thing/{FILE}",
        "hashes": {"sha256": sha(WHEEL)},
        "core-metadata": {"sha256": sha(META)},
        "requires-python": ">=3.8",
        "yanked": 'no "good"',
    }


def test_an_upstream_that_speaks_json_is_read_too(served: Depot, index: Upstream) -> None:
    files = [
        {"filename": FILE, "url": f"{index.base}/files/{FILE}", "hashes": {"sha256": sha(WHEEL)}, "size": len(WHEEL)},
        {"filename": "nice_thing-0.1.tar.gz", "url": f"{index.base}/files/x", "hashes": {"md5": "0"}},
    ]
    value = {"meta": {"api-version": "1.1"}, "name": "nice-thing", "files": files}
    index.pages["/simple/nice-thing/"] = (JSON_TYPE, json.dumps(value).encode())
    assert [(file["filename"], file["size"]) for file in in_json(served)] == [(FILE, len(WHEEL))]
    assert served.get(f"/files/nice-thing/{FILE}").body == WHEEL


def test_any_spelling_of_a_name_is_the_same_project(served: Depot, index: Upstream) -> None:
    assert len(in_json(served, "Nice.Thing")) == 1
    assert index.asked == ["/simple/nice-thing/"]


def test_what_is_not_on_the_list_is_refused_and_not_asked_for(served: Depot, index: Upstream) -> None:
    for path in ("/simple/evil/", "/files/evil/evil-1.0.tar.gz"):
        answer = served.get(path)
        assert (answer.status, answer.text.count("\n")) == (403, 1)
    assert index.asked == []


def test_the_root_lists_what_the_list_names(served: Depot) -> None:
    assert re.findall(r'href="([^"]+)"', served.get("/simple/").text) == ["exact-name/"]


@pytest.mark.parametrize("path", [f"/files/{FILE}", f"/files/{FILE}.metadata"])
def test_swapped_bytes_are_never_handed_over(served: Depot, index: Upstream, path: str) -> None:
    index.pages[path] = b"swapped"
    answer = served.get(path.replace("/files/", "/files/nice-thing/"))
    assert answer.status == 502
    assert b"swapped" not in answer.body


def test_a_file_without_a_digest_is_not_there(served: Depot, index: Upstream) -> None:
    index.pages["/files/nice-thing-0.9.tar.gz"] = b"whatever"
    assert served.get("/files/nice-thing/nice-thing-0.9.tar.gz").status == 404
    assert served.get("/files/nice-thing/nice-thing-0.8.tar.gz").status == 404


def test_files_of_another_host_are_fetched_where_it_is_named(depot: Start, index: Upstream) -> None:
    other = Upstream()
    try:
        other.pages["/f/nice-thing-2.0.tar.gz"] = b"two"
        index.pages["/simple/nice-thing/"] = (
            HTML,
            f'<a href="{other.base}/f/nice-thing-2.0.tar.gz#sha256={sha(b"two")}">x</a>'.encode(),
        )
        served = depot("pypi", upstream=f"{index.base}/simple", files=other.base, allow=("*",))
        assert served.get("/files/nice-thing/nice-thing-2.0.tar.gz").body == b"two"
    finally:
        other.close()


def test_upstream_down(served: Depot, index: Upstream) -> None:
    before = served.get("/simple/nice-thing/").body
    served.get(f"/files/nice-thing/{FILE}")
    index.down = True
    served.later(days=2)
    assert served.get("/simple/nice-thing/").body == before
    assert served.get(f"/files/nice-thing/{FILE}").body == WHEEL
    assert served.get("/simple/nice-other/").status == 502
    index.down = False
    assert served.get("/simple/nice-other/").status == 404


@pytest.mark.parametrize("page", [b"", b"{", b'{"files": 1}', b'{"files": [1]}', b"\xff<a>", b"plain text"])
def test_a_broken_index_is_a_bad_gateway(served: Depot, index: Upstream, page: bytes) -> None:
    index.pages["/simple/nice-thing/"] = page
    assert served.get("/simple/nice-thing/").status == 502


@pytest.mark.parametrize(
    ("accept", "json_wanted"),
    [
        ("", False),
        ("*/*", False),
        ("text/html", False),
        (JSON_TYPE, True),
        (f"{JSON_TYPE}, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", True),
        (f"text/html, {JSON_TYPE};q=0.5", False),
        (f"{JSON_TYPE};q=0", False),
        (f"{JSON_TYPE};q=x", False),
        ("application/vnd.pypi.simple.latest+json", True),
    ],
)
def test_a_client_gets_the_form_that_it_asks_for(served: Depot, accept: str, json_wanted: bool) -> None:  # noqa: FBT001
    for path in ("/simple/", "/simple/nice-thing/"):
        answer = served.get(path, Accept=accept)
        assert answer.status == 200
        assert (answer.body[:1] == b"{") == json_wanted


def test_what_is_no_path_of_an_index_is_not_there(served: Depot, index: Upstream) -> None:
    for path in ("/", "/other/", "/simple/a/b/", f"/files/nice-thing/{FILE}/", "/simple/-bad-/", "/files/nice-thing/"):
        assert served.get(path).status == 404
    assert index.asked == []
