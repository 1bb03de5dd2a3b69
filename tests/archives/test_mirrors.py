from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.archives import Mirrors, apt_proxies, find_mirrors
from sallyport.errors import NoMirrorError, UsageError


def etc(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        path = tmp_path / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_without_any_mirror_the_error_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(NoMirrorError) as caught:
        find_mirrors(environ={}, etc=tmp_path)
    assert "--mirror" in caught.value.mend
    assert "SALLYPORT_APT_MIRROR" in caught.value.mend


def test_the_option_comes_before_the_environment_before_the_host(tmp_path: Path) -> None:
    folder = etc(tmp_path, sources_list="deb http://host.example/debian bookworm main\n")
    environ = {"SALLYPORT_APT_MIRROR": "http://environment.example/debian/"}
    assert find_mirrors(environ={}, etc=folder).main == "http://host.example/debian"
    assert find_mirrors(environ=environ, etc=folder).main == "http://environment.example/debian"
    assert find_mirrors(mirror="http://option.example/d", environ=environ, etc=folder).main == "http://option.example/d"


def test_a_lone_main_mirror_has_its_security_mirror_beside_it(tmp_path: Path) -> None:
    assert find_mirrors(mirror="http://m.example/debian/", environ={}, etc=tmp_path) == Mirrors(
        "http://m.example/debian", "http://m.example/debian-security"
    )
    environ = {"SALLYPORT_APT_SECURITY_MIRROR": "http://s.example/sec"}
    assert (
        find_mirrors(mirror="http://m.example/debian", environ=environ, etc=tmp_path).security == "http://s.example/sec"
    )


def test_the_hosts_security_source_is_not_mixed_with_another_main_mirror(tmp_path: Path) -> None:
    folder = etc(tmp_path, sources_list="deb http://host.example/debian-security bookworm-security main\n")
    assert find_mirrors(mirror="http://m.example/debian", environ={}, etc=folder).security.startswith(
        "http://m.example"
    )


def test_one_line_sources_with_options_are_read(tmp_path: Path) -> None:
    folder = etc(
        tmp_path,
        sources_list="""
# deb http://commented.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://m.example/debian/ bookworm main contrib # x
deb http://s.example/debian-security bookworm-security main
""",
        sources_list_d__other_list="deb http://other.example/stuff bookworm stable\n",
    )
    assert find_mirrors(environ={}, etc=folder) == Mirrors(
        "http://m.example/debian", "http://s.example/debian-security"
    )


def test_deb822_sources_are_read_and_foreign_archives_passed_over(tmp_path: Path) -> None:
    folder = etc(
        tmp_path,
        sources_list_d__aaa_sources="""Types: deb
URIs: http://foreign.example/linux
Suites: bookworm
Components: main
Signed-By: /usr/share/keyrings/foreign.gpg
""",
        sources_list_d__debian_sources="""Types: deb deb-src
# a comment
URIs: http://m.example/debian
Suites: bookworm
  bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://m.example/sec
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
""",
        sources_list_d__off_sources="Types: deb\nURIs: http://off.example/debian\nSuites: bookworm\nComponents: main\nEnabled: no\n",
    )
    assert find_mirrors(environ={}, etc=folder) == Mirrors("http://m.example/debian", "http://m.example/sec")


@pytest.mark.parametrize(
    "address", ["ftp://m.example/debian", "m.example", "http://", "http://m.example/debian?x", "http://a b/"]
)
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(UsageError):
        find_mirrors(mirror=address, environ={}, etc=tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'Acquire::http::Proxy "http://p.example:3128";',
            {"http": "http://p.example:3128", "https": "http://p.example:3128"},
        ),
        (
            'Acquire { http { Proxy "http://p.example:1"; }; https::Proxy "http://q.example:2/"; };',
            {"http": "http://p.example:1", "https": "http://q.example:2/"},
        ),
        (
            '// Acquire::http::Proxy "http://no.example";\n# Acquire::http::Proxy "x";\n/* Acquire::http::Proxy "x"; */',
            {},
        ),
        ('Acquire::http::Proxy "DIRECT";', {}),
        ('Acquire::http::Proxy::m.example "http://only.example";', {}),
        (
            'APT::Periodic "1"; } } acquire::HTTP::proxy "http://p.example";',
            {"http": "http://p.example", "https": "http://p.example"},
        ),
        ('Acquire::https::Proxy "http://s.example";', {"https": "http://s.example"}),
    ],
)
def test_apts_proxies_are_read(tmp_path: Path, text: str, expected: dict[str, str]) -> None:
    assert apt_proxies(etc(tmp_path, apt_conf_d__90proxy=text)) == expected


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text('deb []{}";:/\n#ABuris ', max_size=200))
def test_no_configuration_breaks_the_reading(tmp_path: Path, text: str) -> None:
    folder = etc(tmp_path, apt_conf=text, sources_list=text, sources_list_d__x_sources=text)
    apt_proxies(folder)
    with pytest.raises((NoMirrorError, UsageError)):
        find_mirrors(environ={}, etc=folder)
