"""What is read of registries.conf and certs.d, and where a name then leads."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import ConfigError, DeniedError
from sallyport.registry import Endpoint, Mirror, Reach, Rule, read_registries_conf
from sallyport.registry.registries_conf import parse_registries_conf, read_certificates

CONF = """
unqualified-search-registries = ["registry.example", "docker.io"]

[[registry]]
prefix = "docker.io"
location = "docker.io"
[[registry.mirror]]
location = "mirror.example/hub"
[[registry.mirror]]
location = "digests.example:5000"
pull-from-mirror = "digest-only"

[[registry]]
prefix = "docker.io/team"
location = "team.example/images"
insecure = true

[[registry]]
prefix = "*.internal.example"
insecure = true
mirror-by-digest-only = true
[[registry.mirror]]
location = "near.example"

[[registry]]
location = "evil.example"
blocked = true

[aliases]
"debian" = "docker.io/library/debian"
"off" = ""
"""


def routes(reach: Reach, registry: str, repository: str, *, by_digest: bool = False) -> list[str]:
    return [
        f"{'m ' if r.mirror else ''}{r.endpoint.host} {r.repository}"
        for r in reach.routes(registry, repository, by_digest=by_digest)
    ]


def test_the_longest_prefix_says_where_to_ask() -> None:
    reach = parse_registries_conf(CONF.encode(), what="x")
    assert routes(reach, "docker.io", "library/debian") == [
        "m mirror.example hub/library/debian",
        "docker.io library/debian",
    ]
    assert routes(reach, "index.docker.io", "library/debian", by_digest=True) == [
        "m mirror.example hub/library/debian",
        "m digests.example:5000 library/debian",
        "docker.io library/debian",
    ]
    team = reach.routes("docker.io", "team/app", by_digest=False)
    assert [(r.endpoint.location, r.repository, r.endpoint.plain_http) for r in team] == [
        ("team.example/images", "images/app", False),
        ("team.example/images", "images/app", True),
    ]
    assert routes(reach, "docker.io", "teams/app") == ["m mirror.example hub/teams/app", "docker.io teams/app"]
    assert routes(reach, "other.example", "a/b") == ["other.example a/b"]


def test_a_wildcard_means_hosts_below_a_domain() -> None:
    reach = parse_registries_conf(CONF.encode(), what="x")
    assert routes(reach, "a.b.internal.example", "app") == ["a.b.internal.example app"] * 2
    assert routes(reach, "a.internal.example", "app", by_digest=True) == [
        "m near.example app",
        "a.internal.example app",
        "a.internal.example app",
    ]
    for host in ("internal.example", "notinternal.example"):
        assert routes(reach, host, "app", by_digest=True) == [f"{host} app"]
    assert reach.concerns("a.internal.example")
    assert not reach.concerns("internal.example")


def test_what_is_blocked_is_asked_nowhere() -> None:
    reach = parse_registries_conf(CONF.encode(), what="x")
    with pytest.raises(DeniedError, match="blocked by the rule"):
        reach.routes("evil.example", "app", by_digest=True)


def test_short_names_have_aliases_and_search_registries() -> None:
    reach = parse_registries_conf(CONF.encode(), what="x")
    assert reach.expand("debian:12") == ("docker.io/library/debian:12",)
    assert reach.expand("off") == ("registry.example/off", "docker.io/library/off")
    assert reach.expand("a/b:1@sha256:00") == ("registry.example/a/b:1@sha256:00", "docker.io/a/b:1@sha256:00")
    assert reach.expand("quay.example/a:1") == ("quay.example/a:1",)
    assert Reach().expand("web") == ("docker.io/library/web",)


def test_files_beside_it_count_more(tmp_path: Path) -> None:
    path = tmp_path / "registries.conf"
    path.write_text(CONF)
    folder = tmp_path / "registries.conf.d"
    folder.mkdir()
    (folder / "50-ours.conf").write_text('[[registry]]\nlocation = "docker.io"\n[aliases]\nweb = "a.example/web"\n')
    reach = read_registries_conf(path)
    assert routes(reach, "docker.io", "library/debian") == ["docker.io library/debian"]
    assert reach.expand("web") == ("a.example/web",)
    assert reach.expand("debian") == ("docker.io/library/debian",)
    assert reach.search == ("registry.example", "docker.io")


@pytest.mark.parametrize(
    "text",
    [
        "[registries.search]\nregistries = ['docker.io']",
        "registry = 1",
        "[[registry]]\nprefix = 'a.example'",
        "[[registry]]\nblocked = true",
        "[[registry]]\nlocation = 'https://a.example'",
        "[[registry]]\nlocation = 'a.example'\ninsecure = 'yes'",
        "[[registry]]\nlocation = 'a.example'\n[[registry.mirror]]\nlocation = ''",
        "[[registry]]\nlocation = 'a.example'\n[[registry.mirror]]\nlocation = 'b.example'\npull-from-mirror = 'some'",
        "[[registry]]\nlocation = 'a.example'\n[[registry]]\nlocation = 'a.example'",
        "[[registry]]\nprefix = 'a.example/b:tag'\nlocation = 'a.example'",
        "aliases = 1",
        "unqualified-search-registries = 'docker.io'",
        "not toml at all [",
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"the file|the rule"):
        parse_registries_conf(text.encode(), what="the file")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing"):
        read_registries_conf(tmp_path / "missing.conf")


def test_a_location_that_leaves_no_repository_is_an_error() -> None:
    reach = Reach((Rule("a.example/app", Endpoint("b.example")),))
    assert routes(reach, "a.example", "app/web") == ["b.example web"]
    with pytest.raises(ConfigError, match="no repository name"):
        reach.routes("a.example", "app", by_digest=True)


@settings(max_examples=100, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.text(alphabet="[]registy.mo=\"'\n ae*/", max_size=120).map(str.encode)))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse_registries_conf(raw, what="the file"), Reach)


names = st.from_regex(r"[a-z]{1,3}(/[a-z]{1,3}){0,3}", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(names, max_size=4, unique=True), names)
def test_the_registry_itself_is_always_the_last_that_is_asked(prefixes: list[str], repository: str) -> None:
    mirror = Mirror(Endpoint("mirror.example/all"))
    rules = tuple(Rule(f"a.example/{prefix}", Endpoint(f"b.example/x/{prefix}"), (mirror,)) for prefix in prefixes)
    *before, last = Reach(rules).routes("a.example", repository, by_digest=True)
    fitting = [p for p in prefixes if repository == p or repository.startswith(f"{p}/")]
    assert not last.mirror
    assert last.endpoint.host == ("b.example" if fitting else "a.example")
    assert last.repository == (f"x/{repository}" if fitting else repository)
    longest = max(fitting, key=len, default="")
    assert [r.repository for r in before] == (["all" + repository[len(longest) :]] if fitting else [])


def test_certificates_lie_in_a_folder_of_the_host(authorities: Any, tmp_path: Path) -> None:
    folder = tmp_path / "certs.d" / "registry.example:5000"
    maker = authorities.Authority(tmp_path / "made")
    folder.mkdir(parents=True)
    pair = maker.issue("client.example")
    (folder / "ca.crt").write_bytes(maker.file.read_bytes())
    (folder / "client.cert").write_bytes(pair.certificate.read_bytes())
    folders = [tmp_path / "none", tmp_path / "certs.d"]
    with pytest.raises(ConfigError, match="has no key"):
        read_certificates("registry.example:5000", folders)
    (folder / "client.key").write_bytes(pair.key.read_bytes())
    found = read_certificates("registry.example:5000", folders)
    assert found.authorities == (folder / "ca.crt",)
    assert found.ours is not None
    assert (found.ours.certificate, found.ours.key) == (folder / "client.cert", folder / "client.key")
    assert read_certificates("registry.example", folders).authorities == ()
    (folder / "client.cert").unlink()
    with pytest.raises(ConfigError, match="has no certificate"):
        read_certificates("registry.example:5000", folders)
