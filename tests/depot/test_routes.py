"""Paths are read strictly, and settings that cannot work are said at the start."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.depot.conftest import Depot, Upstream

from sallyport.config.gateway import PackagesSection
from sallyport.depot import Repository, depot_routes
from sallyport.depot.apt_listing import list_files
from sallyport.depot.names import PATH_LIMIT, project, read_path
from sallyport.depot.pypi_index import read_index, write_html, write_json
from sallyport.depot.routes import read_section
from sallyport.engine import Http
from sallyport.errors import ConfigError, MalformedError, NotFoundError, SallyportError, UsageError
from sallyport.store import DirectoryStore

Start = Callable[..., Depot]
EVERYTHING = Repository("x", "pypi", "http://index.example/simple", ("*",), timedelta(hours=1))


def raw_status(served: Depot, path: str, host: str | None = None) -> int:
    """As it stands, where a client library would tidy it up."""
    parts = urlsplit(served.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.putrequest("GET", parts.path + path, skip_host=True)
        connection.putheader("Host", host if host is not None else parts.netloc)
        connection.endheaders()
        with connection.getresponse() as response:
            return response.status
    finally:
        connection.close()


@pytest.mark.parametrize("kind", ["apt", "pypi", "npm"])
@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/dists/%2e%2e/InRelease",
        "/dists/..%2f..%2fx/InRelease",
        "/pool//main/x.deb",
        "/pool/main/.../x.deb",
        "/simple/..%2f..%2fx/",
        "/files/nice/..%2f..%2fx.whl",
        "/files/nice/%00.whl",
        "/files/nice/%5c..%5cx.whl",
        "/@a/../b",
        "/x/-/..%2fy.tgz",
        "/" + "a/" * 17 + "b",
        "/" + "a" * 256,
        "/" + "a" * (PATH_LIMIT + 1),
        "/%0d%0aSet-Cookie:x",
        "/%ff",
    ],
)
def test_a_path_that_is_not_plain_is_not_there(depot: Start, upstream: Upstream, kind: str, path: str) -> None:
    served = depot(kind, upstream=upstream.base, allow=("*",))
    assert raw_status(served, path) in {400, 404}
    assert upstream.asked == []


def test_a_host_that_is_none_does_not_get_into_addresses(depot: Start, upstream: Upstream) -> None:
    served = depot("npm", upstream=upstream.base, allow=("*",))
    assert raw_status(served, "/left-pad", "evil.example/x?") in {400, 404}
    assert upstream.asked == []


def test_only_reading_is_understood(depot: Start, upstream: Upstream) -> None:
    served = depot("npm", upstream=upstream.base, allow=("*",))
    parts = urlsplit(served.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.request("PUT", f"{parts.path}/left-pad", body=b"{}")
        with connection.getresponse() as response:
            assert response.status == 405
    finally:
        connection.close()


def test_settings_that_cannot_work_are_said_at_the_start(depot: Start, upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.rsa.pub").write_text("no key")
    for kind, keyring in (("apk", ""), ("apk", "empty"), ("apk", "bad.rsa.pub"), ("apk", "gone"), ("apt", "empty")):
        with pytest.raises(ConfigError):
            depot(kind, upstream=upstream.base, keyring=keyring)
    with pytest.raises(UsageError):
        depot("apt", upstream=upstream.base, keyring="gone")
    for kind, settings_of in (
        ("pypi", {}),
        ("npm", {"upstream": "registry.example"}),
        ("npm", {"upstream": "file:///"}),
    ):
        with pytest.raises(ConfigError):
            depot(kind, **settings_of)


def test_two_repositories_of_one_name_are_an_error(tmp_path: Path) -> None:
    section = PackagesSection(name="here", kind="npm", upstream="https://registry.example")
    with Http(proxies={}) as http_, pytest.raises(ConfigError, match="two"):
        depot_routes([section, section], http_, DirectoryStore(tmp_path / "cache"), lambda: datetime.now(UTC))


def test_apt_without_an_upstream_takes_the_hosts_mirror(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SALLYPORT_APT_MIRROR", "http://mirror.example/debian/")
    section = PackagesSection(name="debian", kind="apt", fresh_for="2d")
    repository = read_section(section, tmp_path)
    assert (repository.upstream, repository.fresh_for) == ("http://mirror.example/debian", timedelta(days=2))


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40) | st.text("a./%\\", max_size=20))
def test_what_passes_stays_below_the_repository(path: str) -> None:
    try:
        segments, _ = read_path(path)
    except NotFoundError:
        return
    assert "/".join(segments) == path.removesuffix("/")
    assert not {"", ".", ".."} & set(segments)
    assert not set(path) & set("\\\0\r\n ")


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20))
def test_normalising_twice_is_normalising_once(name: str) -> None:
    try:
        once = project(name)
    except MalformedError:
        return
    assert project(once) == once
    assert project(once.upper().replace("-", "_.")) == once


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text("<a href=\"x.whl#sha256='0/>&;{}[]:,", max_size=80).map(str.encode))
def test_no_index_breaks_the_reader(raw: bytes) -> None:
    with suppress(SallyportError):
        read_index(raw, "http://index.example/simple/x/", what="index")
    with suppress(SallyportError):
        list_files([raw], EVERYTHING, what="index")


@settings(max_examples=50, deadline=None)
@given(
    st.from_regex(r"[a-z][a-z0-9_+.!-]{0,20}\.whl", fullmatch=True).filter(lambda name: ".." not in name),
    st.binary(min_size=32, max_size=32),
    st.text(max_size=30),
    st.none() | st.text(max_size=30),
)
def test_both_forms_say_the_same(name: str, digest: bytes, requires: str, yanked: str | None) -> None:
    import json

    entry = {
        "filename": name,
        "url": f"http://index.example/f/{name}",
        "hashes": {"sha256": digest.hex()},
        "requires-python": requires,
        "yanked": False if yanked is None else yanked or True,
    }
    links = read_index(json.dumps({"files": [entry]}).encode(), "http://index.example/", what="index")
    here = "http://here.example/f/"
    as_json = read_index(write_json("x", links, here), "http://here.example/", what="index")
    as_html = read_index(write_html("x", links, here), "http://here.example/", what="index")
    assert [link.digest for link in as_json] == [link.digest for link in as_html] == [link.digest for link in links]
    assert [(link.name, link.yanked is None) for link in as_html] == [(name, yanked is None)]
