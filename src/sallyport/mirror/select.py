"""Which tags a pattern means; pure.

``12-slim``          that tag, found with one request
``12.*``             a glob: ``*``, ``?``, ``[...]``
``re:12[.][0-9]+``   a regular expression for the whole tag
``semver:>=1.2 <2``  versions: ``=``, ``>``, ``>=``, ``<``, ``<=``, ``^``, ``~`` and ``1.x``, all of them true;
                     a pre-release only where a comparator names one of the same version. Source: SemVer 2.0.0
``!*-rc*``           none of these, whatever else says
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from fnmatch import translate
from functools import cache
from typing import TypeAlias

from sallyport.errors import UsageError
from sallyport.oci import Digest, is_tag

_WILD = re.compile(r"[*?\[]")
_VERSION = re.compile(
    r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\Z", re.ASCII
)
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*(v?[0-9xX*][0-9A-Za-z.*-]*)\Z")
_SERIES = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?((?:[-+_].*)?)\Z", re.ASCII)
_DIGEST = re.compile(r"sha(?:256|512):[0-9a-f]+\Z")
_LONGEST = 200  # signs of a pattern

Version: TypeAlias = tuple[tuple[int, int, int], tuple[tuple[int, int, str], ...]]
Test: TypeAlias = Callable[[str], bool]
_Range: TypeAlias = tuple[Version | None, Version | None, bool, bool]
_FINAL = ((2, 0, ""),)
_FIRST = ((-1, 0, ""),)  # before every pre-release, so that <2 leaves out 2.0.0-rc1


def is_literal(pattern: str) -> bool:
    """Whether the pattern is one tag's name, so that nothing has to be listed."""
    return is_tag(pattern)


def is_pattern(text: str) -> bool:
    """Whether ``text`` means tags, and is no digest."""
    return not _DIGEST.match(text)


def digest_tag(digest: Digest) -> str:
    """The tag that an image gets here which is selected by its digest: ``digest-…``, which never moves."""
    return f"digest-{digest.algorithm}-{digest.hex[:64]}"


def series(tag: str) -> tuple[str, str] | None:
    """What a version stands in line with: its first two numbers, and what stands behind the version.

    ``1.25.3-slim`` is of the series ("1.25", "-slim"). None: the tag is no version.
    """
    match = _SERIES.match(tag)
    return (f"{match[1]}.{match[2] or '0'}", match[4] or "") if match else None


def newest(tags: Sequence[str], count: int) -> tuple[str, ...]:
    """Of each series the ``count`` highest versions, in the order of ``tags``; tags that are no version stay."""
    lines: dict[tuple[str, str], list[tuple[tuple[int, ...], str]]] = {}
    for tag in dict.fromkeys(tags):
        line = series(tag)
        if line is not None:
            match = _SERIES.match(tag)
            assert match is not None
            lines.setdefault(line, []).append((tuple(int(part or 0) for part in match.group(1, 2, 3)), tag))
    kept = {tag for line in lines.values() for _, tag in sorted(line)[-count:]}
    return tuple(tag for tag in dict.fromkeys(tags) if series(tag) is None or tag in kept)


def check_pattern(pattern: str) -> None:
    """Prove that it can mean something.

    Raises:
        UsageError: it cannot.
    """
    _test(pattern.removeprefix("!"))


def select_tags(patterns: Sequence[str], tags: Iterable[str]) -> tuple[str, ...]:
    """Those of ``tags`` that a pattern means and no ``!`` pattern does, in the order of ``tags``."""
    wanted = [_test(pattern) for pattern in patterns if not pattern.startswith("!")]
    unwanted = [_test(pattern[1:]) for pattern in patterns if pattern.startswith("!")]
    return tuple(
        tag
        for tag in dict.fromkeys(tags)
        if any(test(tag) for test in wanted) and not any(test(tag) for test in unwanted)
    )


@cache
def _test(pattern: str) -> Test:
    if len(pattern) > _LONGEST:
        raise UsageError(f"the pattern {pattern[:40]}… is too long", f"use at most {_LONGEST} signs")
    if pattern.startswith("re:"):
        try:
            compiled = re.compile(pattern[3:])
        except re.error as error:
            raise UsageError(
                f"{pattern!r} is not a regular expression: {error}", "correct it, or use a glob"
            ) from error
        return lambda tag: compiled.fullmatch(tag) is not None
    if pattern.startswith("semver:"):
        return _semver(pattern)
    if is_tag(pattern):
        return lambda tag: tag == pattern
    if _WILD.search(pattern):
        # Not fnmatch(), which folds case on some systems.
        glob = re.compile(translate(pattern))
        return lambda tag: glob.match(tag) is not None
    raise UsageError(
        f"{pattern[:60]!r} is neither a tag nor a pattern of tags",
        "write 12-slim, 12.*, re:12[.][0-9]+ or semver:>=1.2 <2",
    )


def read_version(text: str) -> Version | None:
    """A version's key, ordered as SemVer orders; missing parts are 0, a leading v is nothing."""
    match = _VERSION.match(text)
    if match is None:
        return None
    core = (int(match[1]), int(match[2] or 0), int(match[3] or 0))
    # A release is after all its pre-releases; numbers are before words, and fewer fields before more.
    rest = tuple(_field(field) for field in match[4].split(".")) if match[4] else _FINAL
    return core, rest


def _field(text: str) -> tuple[int, int, str]:
    return (0, int(text), "") if text.isdecimal() else (1, 0, text)


def _semver(pattern: str) -> Test:
    words = re.sub(r"(>=|<=|>|<|=|\^|~)\s+", r"\1", pattern.removeprefix("semver:").replace(",", " ")).split()
    if not words:
        raise UsageError(f"{pattern!r} names no version", "write it like semver:>=1.2 <2")
    ranges = [_range(word, pattern) for word in words]
    bounds = [bound for low, high, *_ in ranges for bound in (low, high) if bound is not None]
    named = {core for core, rest in bounds if rest not in (_FINAL, _FIRST)}

    def test(tag: str) -> bool:
        version = read_version(tag)
        if version is None or (version[1] != _FINAL and version[0] not in named):
            return False
        return all(_within(version, *limits) for limits in ranges)

    return test


def _within(version: Version, low: Version | None, high: Version | None, low_in: bool, high_in: bool) -> bool:  # noqa: FBT001 - unpacked from a range
    if low is not None and not (version > low or (low_in and version == low)):
        return False
    return high is None or version < high or (high_in and version == high)


def _range(word: str, pattern: str) -> _Range:
    match = _COMPARATOR.match(word)
    if match is None:
        raise UsageError(f"{pattern!r}: {word!r} is no comparison", "write it like semver:>=1.2 <2")
    sign, text = match[1] or "=", match[2]
    parts = re.sub(r"(\.[xX*])+\Z", "", text)
    if parts in ("x", "X", "*"):
        return None, None, True, True
    version = read_version(parts)
    if version is None:
        raise UsageError(f"{pattern!r}: {text!r} is no version", "write it like semver:>=1.2 <2")
    given = parts.partition("-")[0].count(".") + 1  # 1: only the major number is said
    core, rest = version
    above: Version = (_bump(core, given - 1), _FIRST)  # the first version that the given parts do not name
    if sign == "^":
        leading = next((place for place, number in enumerate(core[:given]) if number), given - 1)
        return version, (_bump(core, leading), _FIRST), True, False
    if sign == "~":
        return version, (_bump(core, min(given - 1, 1)), _FIRST), True, False
    if sign == ">":
        return (version, None, False, True) if given == len(core) else (above, None, True, True)
    if sign == ">=":
        return version, None, True, True
    if sign == "<":
        return None, (core, _FIRST) if rest == _FINAL else version, True, False
    if sign == "<=":
        return (None, version, True, True) if given == len(core) else (None, above, True, False)
    return (version, version, True, True) if given == len(core) else (version, above, True, False)


def _bump(core: tuple[int, int, int], place: int) -> tuple[int, int, int]:
    numbers = [*core[:place], core[place] + 1, 0, 0][:3]
    return numbers[0], numbers[1], numbers[2]
