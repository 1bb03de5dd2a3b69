"""Names over there: one for each of ours, or an error."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.deliver import Rename, name_there, names_there
from sallyport.deliver.layout import place
from sallyport.deliver.model import Settings
from sallyport.errors import ConfigError
from sallyport.oci import is_repository

part = st.from_regex(r"[a-z0-9]{1,4}", fullmatch=True)
repository = st.lists(part, min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("library/debian", "mirror/library/debian"),
        ("web", "mirror/web"),
        ("team/app", "apps/app"),
        ("team/deep/app", "apps/app"),
        ("lonely", "solo/lonely"),
        ("other/x", "x-of/other/x"),
    ],
)
def test_the_first_rule_that_fits_counts(ours: str, theirs: str) -> None:
    rules = [
        Rename("team/*", "apps/{name}"),
        Rename("lonely", "solo/{name}"),
        Rename("other/*", "x-of/{project}/{name}"),
        Rename("team/app", "never/asked"),
    ]
    assert name_there(ours, rules, "mirror") == theirs


def test_a_name_without_a_project_has_none() -> None:
    assert name_there("web", [Rename("*", "{project}/{name}")], "unused") == "web"
    assert name_there("a/web", [Rename("*", "{repository}")], "unused") == "a/web"


@pytest.mark.parametrize("to", ["apps/{nmae}", "apps/{}", "Apps/{name}", "apps//{name}", "", "{project}"])
def test_a_rule_that_gives_no_name_is_an_error(to: str) -> None:
    with pytest.raises(ConfigError):
        name_there("web", [Rename("web", to)], "")


def test_two_of_ours_never_get_one_name() -> None:
    with pytest.raises(ConfigError, match="both be called apps/web"):
        names_there(["a/web", "b/web"], [Rename("*", "apps/{name}")], "")
    assert names_there(["a/web", "a/web"], [Rename("*", "apps/{name}")], "") == {"a/web": "apps/web"}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(repository, max_size=6),
    st.lists(
        st.builds(
            Rename,
            st.one_of(repository, st.sampled_from(["*", "a*", "*/?", "?/*"])),
            st.sampled_from(
                ["{repository}", "x/{name}", "{project}/y/{name}", "z", "{project}-{name}", "x/{repository}"]
            ),
        ),
        max_size=3,
    ),
    st.one_of(st.just(""), repository),
)
def test_the_map_is_injective_or_an_error(repositories: list[str], rules: list[Rename], prefix: str) -> None:
    try:
        names = names_there(repositories, rules, prefix)
    except ConfigError:
        # Then, and only then, some name is none, or two are one.
        single = [_alone(one, rules, prefix) for one in dict.fromkeys(repositories)]
        assert None in single or len(set(single)) < len(single)
        return
    assert set(names) == set(repositories)
    assert len(set(names.values())) == len(names)
    assert all(is_repository(name) for name in names.values())


def _alone(one: str, rules: list[Rename], prefix: str) -> str | None:
    try:
        return name_there(one, rules, prefix)
    except ConfigError:
        return None


@pytest.mark.parametrize(
    ("layout", "registry", "name"),
    [
        ("path", "host.example", "docker-local/team/web"),
        ("port", "host.example:5001", "team/web"),
        ("subdomain", "docker-local.host.example", "team/web"),
    ],
)
def test_a_repository_key_is_a_path_a_port_or_a_subdomain(layout: str, registry: str, name: str) -> None:
    host = "host.example:5001" if layout == "port" else "host.example"
    found = place(Settings("x", "nexus", host, "docker-local", layout=layout))  # type: ignore[arg-type]
    assert (found.key, found.registry) == ("docker-local", registry)
    assert found.names(["team/web"]) == {"team/web": name}


def test_layouts_that_cannot_be_meant_are_errors() -> None:
    with pytest.raises(ConfigError, match="names no repository"):
        place(Settings("x", "nexus", "host.example"))
    with pytest.raises(ConfigError, match="no port"):
        place(Settings("x", "nexus", "host.example", "key", layout="port"))
    with pytest.raises(ConfigError, match="outside the repository"):
        place(Settings("x", "nexus", "host.example", "key", (Rename("*", "other/{name}"),))).names(["a/b"])
