"""Names of images as people write them, and nothing that is none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import SallyportError, UsageError
from sallyport.oci import Digest, Reference, is_repository, is_tag

DIGEST = Digest.of(b"x")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("debian", Reference("docker.io", "library/debian")),
        ("debian:12", Reference("docker.io", "library/debian", "12")),
        ("docker.io/debian", Reference("docker.io", "library/debian")),
        ("team/app", Reference("docker.io", "team/app")),
        ("localhost/app:1", Reference("localhost", "app", "1")),
        ("localhost:5000/a/b/c:x_1.2-3", Reference("localhost:5000", "a/b/c", "x_1.2-3")),
        ("registry.example/app", Reference("registry.example", "app")),
        ("registry:5000/app", Reference("registry:5000", "app")),
        ("127.0.0.1:5000/app", Reference("127.0.0.1:5000", "app")),
        ("[::1]:5000/app:1", Reference("[::1]:5000", "app", "1")),
        (f"registry.example/app@{DIGEST}", Reference("registry.example", "app", "", DIGEST)),
        (f"registry.example/app:1@{DIGEST}", Reference("registry.example", "app", "1", DIGEST)),
        ("registry.example/a__b/c--d/e.f", Reference("registry.example", "a__b/c--d/e.f")),
    ],
)
def test_a_name_is_read(text: str, expected: Reference) -> None:
    assert Reference.parse(text) == expected
    assert Reference.parse(str(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":1",
        "app:",
        "app@",
        "@" + str(DIGEST),
        "app:1:2/",
        "App",
        "registry.example/App",
        "registry.example/",
        "registry.example//app",
        "registry.example/../etc",
        "registry.example/a/../b",
        "registry.example/.hidden",
        "registry.example/a___b",
        "registry.example/app:ta g",
        "registry.example/app:-tag",
        "registry.example/app:" + "t" * 129,
        "registry.example/" + "a" * 256,
        "registry.example:port/app",
        "-registry.example/app",
        "registry.example-/app",
        "user@registry.example/app",
        "https://registry.example/app",
        "registry.example/app\n",
        "registry.example/app:1\n",
        "registry.example/app@sha256:abc",
        f"registry.example/app@{DIGEST}@{DIGEST}",
        "registry.example/app?x=1",
        "registry.example/%2e%2e/app",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(SallyportError):
        Reference.parse(text)


def test_the_parts_are_checked_however_it_was_made() -> None:
    for parts in (("reg/istry", "app"), ("registry.example", "App"), ("registry.example", "app", "a b")):
        with pytest.raises(UsageError):
            Reference(*parts)


def test_repositories_and_tags_alone() -> None:
    assert is_repository("a/b-c_d.e0")
    assert not any(map(is_repository, ("", "/a", "a/", "a//b", "A", "a" * 256, "a\n", "..", "a/-b")))
    assert is_tag("_")
    assert not any(map(is_tag, ("", ".a", "-a", "a/b", "a\n", "ä")))


component = st.from_regex(r"[a-z0-9]+([._-][a-z0-9]+)*", fullmatch=True).filter(lambda text: len(text) < 20)
hosts = st.sampled_from(["docker.io", "localhost", "registry.example", "r:5000", "[::1]:443", "10.0.0.1"])


@given(
    hosts,
    st.lists(component, min_size=1, max_size=3).map("/".join),
    st.just("") | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,10}", fullmatch=True),
    st.none() | st.binary(max_size=2).map(Digest.of),
)
@settings(max_examples=100, deadline=None)
def test_written_and_read_again_it_is_the_same(host: str, repository: str, tag: str, digest: Digest | None) -> None:
    written = str(Reference(host, repository, tag, digest))
    read = Reference.parse(written)
    assert Reference.parse(str(read)) == read
    if host != "docker.io":
        assert (read.registry, read.repository, read.tag, read.digest) == (host, repository, tag, digest)


@given(st.text("abz09AZ._-/:@[]% \n", max_size=40))
@settings(max_examples=100, deadline=None)
def test_noise_is_refused_or_read_without_surprises(text: str) -> None:
    try:
        found = Reference.parse(text)
    except SallyportError:
        return
    assert Reference.parse(str(found)) == found
    assert ".." not in found.repository.split("/")
    assert "\n" not in str(found)
