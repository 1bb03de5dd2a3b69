from __future__ import annotations

import random
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.archives import compare_debian, debian_key
from sallyport.errors import MalformedError

_TEXT = st.text("019aZ~.+", min_size=1, max_size=8)
VERSIONS = st.builds(
    lambda epoch, upstream, revision: epoch + upstream + revision,
    st.sampled_from(["", "0:", "1:", "2:"]),
    _TEXT,
    st.one_of(st.just(""), _TEXT.map(lambda text: "-" + text)),
)


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0~rc1-1", "1.0-1"),
        ("1.0-1", "1.0-1+b1"),
        ("1.0-1", "1.0-1+deb12u1"),
        ("3.0.9-1", "3.0.11-1~deb12u1"),
        ("3.0.11-1~deb12u2", "3.0.11-1"),
        ("2.36-9+deb12u9", "2.36-9+deb12u10"),
        ("9", "1:0"),
        ("1a", "1+"),
        ("1.2", "1.2a"),
        ("0~", "0"),
        ("~", "0~"),
        ("~~", "~~a"),
        ("7.88.1-10", "7.88.1-10+deb12u5"),
        ("1-2-3", "1-2-4"),
    ],
)
def test_the_older_sorts_first(older: str, newer: str) -> None:
    assert compare_debian(older, newer) == -1
    assert compare_debian(newer, older) == 1


@pytest.mark.parametrize(("one", "same"), [("1", "0:1"), ("1", "1-0"), ("1a", "1a0"), ("1.01", "1.1"), ("0", "00")])
def test_two_ways_to_write_one_version_are_equal(one: str, same: str) -> None:
    assert compare_debian(one, same) == 0
    assert debian_key(one) == debian_key(same)


@pytest.mark.parametrize(
    "text", ["", "1 2", "x:1", "1:", "1-", "-1", "1_2", "é", "99999999999:1", "4294967296:1", "1" * 1025, "1\n", "²"]
)
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        debian_key(text)


@settings(max_examples=100, deadline=None)
@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_total(one: str, two: str, three: str) -> None:
    assert compare_debian(one, two) == -compare_debian(two, one)
    if compare_debian(one, two) <= 0 and compare_debian(two, three) <= 0:
        assert compare_debian(one, three) <= 0


@settings(max_examples=100, deadline=None)
@given(VERSIONS)
def test_a_tilde_is_older_and_a_rebuild_is_newer(version: str) -> None:
    assert compare_debian(version + "~", version) == -1
    assert compare_debian(version + "+b1", version) == 1


def _pairs(count: int) -> list[tuple[str, str]]:
    chance = random.Random(2026)

    def version() -> str:
        text = chance.choice(["", "", "0:", "1:"]) + chance.choice("0123")
        text += "".join(chance.choice("0019aZ~.+") for _ in range(chance.randint(0, 5)))
        if chance.random() < 0.4:
            text += "-" + "".join(chance.choice("0019aZ~.+") for _ in range(chance.randint(1, 4)))
        return text

    pairs = []
    for _ in range(count):
        one = version()
        near = one[:-1] + chance.choice("0~a+1") if one[-2:-1] not in ("", ":") else version()
        other = chance.choice([near, one + chance.choice(["0", "~", "a", "-0", "-1~"]), version()])
        pairs.append((one, other))
    return pairs


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not installed: no peer to compare with")
def test_dpkg_agrees() -> None:
    names = {-1: "lt", 0: "eq", 1: "gt"}

    def disagrees(pair: tuple[str, str]) -> bool:
        one, other = pair
        argv = ["dpkg", "--compare-versions", one, names[compare_debian(one, other)], other]
        return subprocess.run(argv, check=False, stderr=subprocess.DEVNULL).returncode == 1

    with ThreadPoolExecutor(2) as pool:
        pairs = _pairs(2500)
        wrong = [pair for pair, bad in zip(pairs, pool.map(disagrees, pairs), strict=True) if bad]
    assert wrong == []


def test_univers_agrees() -> None:
    debian = pytest.importorskip("univers.debian", reason="univers is not installed: no peer to compare with")
    for one, other in _pairs(3000):
        theirs = debian.Version.from_string(one).compare(debian.Version.from_string(other))
        assert compare_debian(one, other) == (theirs > 0) - (theirs < 0), (one, other)
