"""Changelogs as people write them: what closes a vulnerability, and what only names it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.advisories.changelog import read_entries
from sallyport.advisories.debian_changelog import Effect, parse_changelog
from sallyport.errors import OversizeError, SallyportError

CLOSES, REOPENS = Effect.CLOSES, Effect.REOPENS
Writer = Callable[..., str]


def effects(text: str) -> dict[str, Effect]:
    return {item.id: item.effect for entry in parse_changelog(text) for item in entry.statements}


def test_entries_are_read_newest_first_with_what_they_close() -> None:
    text = """openssl (3.0.22-1~deb12u2) bookworm-security bookworm; urgency=high

  * Import 3.0.22
    - CVE-2026-35189 (Excessive work in a parser).
    - cve-2026-42767, CVE-2026-42768
  * Unrelated.

 -- Jane Doe <jane@debian.example>  Thu, 19 Nov 2026 21:02:23 +0000

openssl (1:3.0.20-1) unstable; urgency=medium

  [ John Roe ]
  * New upstream.

 -- Jane Doe <jane@debian.example>  Thu, 19 Nov 2025 21:02:23 +0000
"""
    newest, older = parse_changelog(text)
    assert (newest.source, newest.version, newest.distributions) == (
        "openssl",
        "3.0.22-1~deb12u2",
        ("bookworm-security", "bookworm"),
    )
    assert [item.id for item in newest.statements] == ["CVE-2026-35189", "CVE-2026-42767", "CVE-2026-42768"]
    assert newest.statements[0].text == "Import 3.0.22\nCVE-2026-35189 (Excessive work in a parser)."
    assert (older.version, older.statements) == ("1:3.0.20-1", ())


@pytest.mark.parametrize(
    ("bullet", "expected"),
    [
        ("* d/p/CVE-2026-1001.patch: limit operations.", {"CVE-2026-1001": CLOSES}),
        ("* Fix CVE-2026-1001; older versions are not affected.", {"CVE-2026-1001": CLOSES}),
        (
            "* Fix CVE-2026-1001: queries can be spoofed.  The resolver itself is not vulnerable, but takes part.",
            {"CVE-2026-1001": CLOSES},
        ),
        ("* CVE-2026-1001: this version is not affected.", {}),
        ("* isn't affected by CVE-2005-2974 and CVE-2005-3350 (Closes: #395382).", {}),
        ("* CVE-2026-1001 does not affect this version.", {}),
        ("* CVE-2026-1001.  We are unaffected.", {}),
        ("* Fix CVE-2026-1001.  CVE-2026-1002 does not affect us.", {"CVE-2026-1001": CLOSES}),
        (
            "* The following do not affect Debian:\n    - CVE-2026-1001\n    - CVE-2026-1002\n  * Close CVE-2026-1003",
            {"CVE-2026-1003": CLOSES},
        ),
        ('* Revert "fix CVE-2026-1001", which broke things.', {"CVE-2026-1001": REOPENS}),
        ("* Revert the following:\n    - CVE-2026-1001.patch", {"CVE-2026-1001": REOPENS}),
        ("* Temporarily revert CVE-2026-1001.patch", {"CVE-2026-1001": REOPENS}),
        (
            "* Long one that is wrapped in the middle of CVE-\n    2026-1001 and CVE-2026-\n    1002.",
            {"CVE-2026-1001": CLOSES, "CVE-2026-1002": CLOSES},
        ),
        ("* CVE-2026-1001CVE-2026-1002 xCVE-2026-1003 CVE-2026-123", {"CVE-2026-1001": CLOSES}),
        ("no bullet at all, CVE-2026-1001\n  and on", {"CVE-2026-1001": CLOSES}),
        ("[ CVE-2026-1001 ]", {"CVE-2026-1001": CLOSES}),
    ],
)
def test_what_a_bullet_does(bullet: str, expected: dict[str, Effect], write_changelog: Writer) -> None:
    assert effects(write_changelog("x", ("2", [bullet]))) == expected


def test_a_missing_trailer_and_old_forms_lose_nothing_that_can_be_read() -> None:
    text = """x (3) unstable; urgency=low
  * CVE-2026-1003
x (2) unstable; urgency=low
stray line
  * CVE-2026-1002

 -- trailer without a date
garbage
  * CVE-2026-9999 belongs to nothing
x (1) unstable; urgency=low

  * CVE-2026-1001

 -- Jane Doe <jane@debian.example>  Thu, 19 Nov 2026 21:02:23 +0000
# Older entries have been removed from this changelog.

Old Changelog:
x (0) unstable; urgency=low
  * CVE-2026-1000
"""
    found = [(entry.version, [item.id for item in entry.statements]) for entry in parse_changelog(text)]
    assert found == [("3", ["CVE-2026-1003"]), ("2", ["CVE-2026-1002"]), ("1", ["CVE-2026-1001"])]


def test_evidence_is_bounded_and_without_controls(write_changelog: Writer) -> None:
    text = write_changelog("x", ("2", ["* CVE-2026-1001 \x1b[31m" + "long " * 2000]))
    (entry,) = parse_changelog(text)
    assert len(entry.statements[0].text) == 2000
    assert "\x1b" not in entry.statements[0].text


def read(text: str, above: str, upto: str) -> list[tuple[str, str, str | None]]:
    found = read_entries(tuple(parse_changelog(text)), ecosystem="Debian:12", source="x", above=above, upto=upto)
    return [(advisory.id, advisory.introduced, advisory.fixed) for advisory in found]


def test_the_oldest_version_that_names_a_vulnerability_closed_it(write_changelog: Writer) -> None:
    text = write_changelog(
        "x",
        ("1.0-3", ["* Regression update for CVE-2026-1001.", "* CVE-2026-1002"]),
        ("1.0-2", ["* CVE-2026-1001"]),
        ("1.0-1", ["* CVE-2026-1000"]),
    )
    assert read(text, "1.0-1", "1.0-3") == [("CVE-2026-1001", "0", "1.0-2"), ("CVE-2026-1002", "0", "1.0-3")]
    assert read(text, "1.0-2", "1.0-3") == [("CVE-2026-1002", "0", "1.0-3")]
    assert read(text, "1.0-1", "1.0-2") == [("CVE-2026-1001", "0", "1.0-2")]
    assert read(text, "1.0-3", "1.0-3") == []


def test_entries_count_in_the_order_of_versions_not_of_the_file(write_changelog: Writer) -> None:
    text = write_changelog(
        "x", ("2.0-1~deb12u1", ["* Rebuild."]), ("2.0-1", ["* CVE-2026-1001"]), ("2.0~rc1-1", ["* CVE-2026-1001"])
    )
    assert read(text, "1.0-1", "2.0-1~deb12u1") == [("CVE-2026-1001", "0", "2.0~rc1-1")]


def test_a_reverted_fix_opens_again_until_it_is_closed_again(write_changelog: Writer) -> None:
    text = write_changelog(
        "x",
        ("1.0-4", ["* Better fix for CVE-2026-1001"]),
        ("1.0-3", ["* Revert the fix for CVE-2026-1001"]),
        ("1.0-2", ["* CVE-2026-1001"]),
        ("1.0-1", ["* New."]),
    )
    assert read(text, "1.0-1", "1.0-4") == [("CVE-2026-1001", "0", "1.0-2"), ("CVE-2026-1001", "1.0-3", "1.0-4")]
    assert read(text, "1.0-3", "1.0-4") == [("CVE-2026-1001", "1.0-3", "1.0-4")]
    assert read(text, "1.0-2", "1.0-3") == [("CVE-2026-1001", "1.0-3", None)]


def test_a_revert_that_closes_is_no_reopening(write_changelog: Writer) -> None:
    text = write_changelog("x", ("1.0-2", ["* Revert the change that caused CVE-2026-1001"]), ("1.0-1", ["* New."]))
    assert read(text, "1.0-1", "1.0-2") == [("CVE-2026-1001", "0", "1.0-2")]


def test_entries_of_another_source_or_without_a_version_say_nothing(write_changelog: Writer) -> None:
    text = write_changelog("y", ("1.0-2", ["* CVE-2026-1001"])) + write_changelog(
        "x", ("bad_version", ["* CVE-2026-2"])
    )
    assert read(text, "1.0-1", "1.0-2") == []


def test_absurd_length_is_refused() -> None:
    with pytest.raises(OversizeError):
        list(parse_changelog("x" * (33 * 1024 * 1024)))


@pytest.mark.parametrize(
    "body",
    [
        "  * CVE-2026-1001 " + "not " * 200_000,
        "".join(f"{' ' * depth}* CVE-2026-{1000 + depth} and more\n" for depth in range(2000)),
        "  * start\n" + "    CVE-2026-1001 goes on\n" * 50_000,
        "  * " + "CVE-2026-" * 100_000,
        "  * CVE-2026-1001." + " " * 500_000 + "x",
    ],
)
def test_hostile_bodies_cost_no_more_than_their_length(body: str) -> None:
    text = f"x (2) unstable; urgency=low\n\n{body}\n\n -- J <j@x.example>  Thu, 19 Nov 2026 21:02:23 +0000\n"
    started = time.process_time()
    list(parse_changelog(text))
    # Quadratic work would take minutes; this only tells the two apart.
    assert time.process_time() - started < 20


LINE = st.text(
    st.sampled_from("x (1.0) unstable; urgency=low*-+[]CVE-2026-1001 \t revert not affected.\x00é"), max_size=60
)


@settings(max_examples=100, deadline=None)
@given(st.lists(LINE, max_size=30))
def test_any_text_is_read(lines: list[str]) -> None:
    for entry in parse_changelog("\n".join(("x (1) a; u=l", *lines))):
        assert entry.version


def test_mutations_of_a_changelog_are_read_or_refused(write_changelog: Writer) -> None:
    text = write_changelog(
        "x", ("1.0-3", ["* Fix:", "  - CVE-2026-1001", "  - CVE-2026-1002"]), ("1.0-2", ["* Revert CVE-2026-1"])
    )
    dice = random.Random(7)
    for _ in range(500):
        at, end = sorted(dice.randrange(len(text)) for _ in range(2))
        broken = dice.choice([text[:at] + text[end:], text[:end] + text[at:], text[:at] + "\x00\n(;" + text[at:]])
        try:
            read_entries(tuple(parse_changelog(broken)), ecosystem="Debian:12", source="x", above="1.0-1", upto="1.0-3")
        except SallyportError:
            continue
