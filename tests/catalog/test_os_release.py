"""os-release and its quirks."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.catalog import Distribution
from sallyport.catalog.os_release import parse_os_release
from sallyport.errors import OversizeError

BOOKWORM = b"""PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
NAME="Debian GNU/Linux"
VERSION_ID="12"
VERSION="12 (bookworm)"
VERSION_CODENAME=bookworm
ID=debian
HOME_URL="https://distribution.example/"
"""


def test_debian_is_recognised() -> None:
    found = parse_os_release(BOOKWORM)
    assert found == Distribution("debian", "12", "bookworm", "Debian GNU/Linux 12 (bookworm)")
    assert found is not None
    assert found.ecosystem == "Debian:12"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('ID=debian\nVERSION="7 (wheezy)"\nVERSION_ID=7\n', Distribution("debian", "7", "wheezy", "debian 7")),
        ("ID='alpine'\nVERSION_ID=3.20.1\n", Distribution("alpine", "3.20.1", "", "alpine 3.20.1")),
        ('  ID="wolfi"  \r\nVERSION_ID="20230201"', Distribution("wolfi", "20230201", "", "wolfi 20230201")),
        ("# ID=no\nID=debian\nnonsense\n=x\n", Distribution("debian", "", "", "debian")),
        ('ID=a\nPRETTY_NAME="say \\"hi\\" for \\$5"\n', Distribution("a", "", "", 'say "hi" for $5')),
        ("ID=a\nPRETTY_NAME='raw \\$'\n", Distribution("a", "", "", "raw \\$")),
        ("ID=a\nPRETTY_NAME=\x1b[31mred\n", Distribution("a", "", "", "[31mred")),
        ("ID=a\nID=b\n", Distribution("b", "", "", "b")),
    ],
)
def test_quirks(text: str, expected: Distribution) -> None:
    assert parse_os_release(text.encode()) == expected


def test_no_id_is_no_distribution() -> None:
    assert parse_os_release(b'NAME="x"\nID=""\n') is None


def test_a_giant_is_refused() -> None:
    with pytest.raises(OversizeError):
        parse_os_release(b"#" * 100_000)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_read(raw: bytes) -> None:
    parse_os_release(b"ID=x\n" + raw)
