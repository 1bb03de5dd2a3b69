"""Which tags a pattern means; pure.

``12-slim``                     that tag, found with one request
``12.*``                        a glob: ``*``, ``?``, ``[...]``
``re:12[.][0-9]+``              a regular expression for the whole tag
``semver:>=1.2 <2``             versions: ``=``, ``>``, ``>=``, ``<``, ``<=``, ``^``, ``~`` and ``1.x``, all of them
``calendar:>=2026.01 <2027``    dates: ``=``, ``>``, ``>=``, ``<``, ``<=``; a part that is left out is the whole of it,
                                so ``=2026.01`` is all of January and ``<=2026`` the year too. Tags begin with the date:
                                2026.01, 2026.1.3, 2026-01-15, 202601, 20260115, 20260115.2, and 26.04 for April 2026
``!*-rc*``                      none of these, whatever else says

Behind a version or date may stand a pre-release (``-rc.1``, ``-beta2``, ``rc1``: alpha, beta, rc, pre, preview, dev,
snapshot, nightly and words like them), a variant (``-slim``, ``-alpine3.20``, ``-1``: anything else), or both.

* A pre-release is meant only where a comparison names one of the same version: ``semver:>=1.3.0-rc.1``. It comes before
  its release; numbers in it count as numbers, so rc2 is before rc10.
* A variant is meant only where the pattern names it, as a word of its own or behind a version, with globs:
  ``semver:>=1.2 <2 -slim``, ``semver:^1.25-alpine``, ``calendar:>=2026 -alpine*``. Of several, any. ``semver:>=1.2``
  means no variant at all: write a second pattern for a second line of images.

Source: SemVer 2.0.0, but for its view that ``-slim`` is a pre-release, which no publisher of images shares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import cache
from typing import TypeAlias

from sallyport.errors import UsageError
from sallyport.oci import Digest, is_tag

_WILD = re.compile(r"[*?\[]")
_SUFFIX = r"((?:[-_+]|(?:alpha|beta|rc|a|b)\d).*)?\Z"  # 3.13.0rc1, too
_VERSION = re.compile(r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?" + _SUFFIX, re.ASCII | re.DOTALL)
_MONTH, _DAY = r"(0[1-9]|1[0-2])", r"(0[1-9]|[12]\d|3[01])"
_YEAR = r"v?((?:19|20|21)\d\d)"
_DATES = tuple(
    re.compile(form + _SUFFIX, re.ASCII | re.DOTALL)
    for form in (
        rf"{_YEAR}-{_MONTH}(?:-{_DAY})?(?:\.(\d{{1,9}}))?",
        rf"{_YEAR}{_MONTH}(?:{_DAY})?(?:\.(\d{{1,9}}))?",
        rf"{_YEAR}(?:\.(0?[1-9]|1[0-2])(?:\.(\d{{1,9}}))?(?:\.(\d{{1,9}}))?)?",
        rf"v?(\d\d)\.{_MONTH}(?:\.(\d{{1,9}}))?(?:\.(\d{{1,9}}))?",
    )
)
_PRE = re.compile(
    r"[-_.]((?:alpha|beta|rc|pre|preview|prerelease|dev|devel|develop|snapshot|nightly|canary|milestone|unstable"
    r"|experimental|ea|next|edge)(?:[.-]?\d+)?|(?:a|b|c|m|cr)\d+)((?:\.[0-9A-Za-z]+)*)(?=[-_]|\Z)",
    re.ASCII | re.IGNORECASE,
)
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*(v?[0-9xX*][0-9A-Za-z.*?_-]*)\Z")
_DIGEST = re.compile(r"sha(?:256|512):[0-9a-f]+\Z")
_LONGEST = 200  # signs of a pattern
_CENTURY = 100  # years below are of this one

Version: TypeAlias = tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]
Test: TypeAlias = Callable[[str], bool]
_Range: TypeAlias = tuple[Version | None, Version | None, bool, bool]
_FINAL = ((2, 0, ""),)
_FIRST = ((-1, 0, ""),)  # before every pre-release, so that <2 leaves out 2.0.0-rc1


@dataclass(frozen=True, slots=True)
class _Read:
    """A tag, or what a comparison names, as a version."""

    version: Version
    given: int  # how many numbers are said
    variant: str  # -slim; empty for none


_Reader: TypeAlias = Callable[[str], _Read | None]


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
    """What a version stands in line with: its first two numbers, and its variant.

    ``1.25.3-slim`` is of the series ("1.25", "-slim"), as ``1.25.4-rc1-slim`` is; ``20260115`` and ``2026-01-15`` are
    of ("2026.1", ""). None: the tag is no version.
    """
    read = _read_any(tag)
    return (f"{read.version[0][0]}.{read.version[0][1]}", read.variant) if read else None


def newest(tags: Sequence[str], count: int) -> tuple[str, ...]:
    """Of each series the ``count`` highest versions, in the order of ``tags``; tags that are no version stay."""
    lines: dict[tuple[str, str], list[tuple[Version, str]]] = {}
    for tag in dict.fromkeys(tags):
        read, line = _read_any(tag), series(tag)
        if read is not None and line is not None:
            lines.setdefault(line, []).append((read.version, tag))
    kept = {tag for line in lines.values() for _, tag in sorted(line, reverse=True)[:count]}
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
    for scheme, read in (("semver:", _read_semver), ("calendar:", _read_date)):
        if pattern.startswith(scheme):
            return _versions(pattern, scheme, read)
    if is_tag(pattern):
        return lambda tag: tag == pattern
    if _WILD.search(pattern):
        # Not fnmatch(), which folds case on some systems.
        glob = re.compile(translate(pattern))
        return lambda tag: glob.match(tag) is not None
    raise UsageError(
        f"{pattern[:60]!r} is neither a tag nor a pattern of tags",
        "write 12-slim, 12.*, re:12[.][0-9]+, semver:>=1.2 <2 or calendar:>=2026.01",
    )


def read_version(text: str) -> Version | None:
    """A version's key, ordered as SemVer orders; missing parts are 0, a leading v and the variant are nothing."""
    read = _read_semver(text)
    return read.version if read else None


def _read_semver(text: str) -> _Read | None:
    match = _VERSION.match(text)
    return _read(match.group(1, 2, 3), match[4] or "") if match else None


def _read_date(text: str) -> _Read | None:
    for form in _DATES:
        match = form.match(text)
        if match is not None:
            year = match[1] if int(match[1]) >= _CENTURY else f"20{match[1]}"
            return _read((year, *match.group(2, 3, 4)), match[5] or "")
    return None


def _read_any(tag: str) -> _Read | None:
    # Dates without dots would be versions with a single number.
    return next((read for form in _DATES[:2] if form.match(tag) and (read := _read_date(tag))), None) or _read_semver(
        tag
    )


def _read(numbers: Sequence[str | None], suffix: str) -> _Read:
    """Put together: a release is after all its pre-releases; numbers are before words, and fewer fields before more."""
    behind = suffix.partition("+")[0]  # what follows it is no order of versions
    if behind and behind[0] not in "-_":
        behind = f"-{behind}"
    rest: tuple[tuple[int, int, str], ...] = _FINAL
    variant = behind
    pre = _PRE.search(behind)
    if pre is not None:
        rest = tuple(_field(field) for field in re.findall(r"\d+|[A-Za-z]+", pre[1] + pre[2]))
        variant = behind[: pre.start()] + behind[pre.end() :]
    core = tuple(int(number or 0) for number in numbers)
    return _Read((core, rest), sum(number is not None for number in numbers), variant)


def _field(text: str) -> tuple[int, int, str]:
    return (0, int(text), "") if text.isdecimal() else (1, 0, text.lower())


def _versions(pattern: str, scheme: str, read: _Reader) -> Test:
    example = "semver:>=1.2 <2 -slim" if scheme == "semver:" else "calendar:>=2026.01 <2027"
    words = re.sub(r"(>=|<=|>|<|=|\^|~)\s+", r"\1", pattern.removeprefix(scheme).replace(",", " ")).split()
    variants = [word for word in words if word[0] in "-_" and word[1:]]
    comparisons = [word for word in words if word not in variants]
    if not comparisons:
        raise UsageError(f"{pattern!r} names no version", f"write it like {example}")
    ranges = []
    for word in comparisons:
        limits, variant = _range(word, pattern, read, example)
        ranges.append(limits)
        variants += [variant] if variant else []
    bounds = [bound for low, high, *_ in ranges for bound in (low, high) if bound is not None]
    named = {core for core, rest in bounds if rest not in (_FINAL, _FIRST)}
    globs = [re.compile(translate(variant)) for variant in variants]

    def test(tag: str) -> bool:
        found = read(tag)
        if found is None or (found.version[1] != _FINAL and found.version[0] not in named):
            return False
        if not any(glob.match(found.variant) for glob in globs) if globs else found.variant:
            return False
        return all(_within(found.version, *limits) for limits in ranges)

    return test


def _within(version: Version, low: Version | None, high: Version | None, low_in: bool, high_in: bool) -> bool:  # noqa: FBT001 - unpacked from a range
    if low is not None and not (version > low or (low_in and version == low)):
        return False
    return high is None or version < high or (high_in and version == high)


def _range(word: str, pattern: str, reader: _Reader, example: str) -> tuple[_Range, str]:
    """The limits that a comparison sets, and the variant that it names."""
    match = _COMPARATOR.match(word)
    if match is None:
        raise UsageError(f"{pattern!r}: {word!r} is no comparison", f"write it like {example}")
    sign, text = match[1] or "=", match[2]
    parts = re.sub(r"(\.[xX*])+\Z", "", text)
    if parts in ("x", "X", "*"):
        return (None, None, True, True), ""
    read = reader(parts)
    if read is None or (sign in "^~" and reader is _read_date):
        what = "version" if reader is _read_semver else "date that can be compared so"
        raise UsageError(f"{pattern!r}: {word!r} is no {what}", f"write it like {example}")
    return _limits(sign, read), read.variant


def _limits(sign: str, read: _Read) -> _Range:
    version, given = read.version, read.given
    core, rest = version
    above: Version = (_bump(core, given - 1), _FIRST)  # the first version that the given parts do not name
    whole = given == len(core) or rest != _FINAL
    if sign == "^":
        leading = next((place for place, number in enumerate(core[:given]) if number), given - 1)
        return version, (_bump(core, leading), _FIRST), True, False
    if sign == "~":
        return version, (_bump(core, min(given - 1, 1)), _FIRST), True, False
    if sign == ">":
        return (version, None, False, True) if whole else (above, None, True, True)
    if sign == ">=":
        return version, None, True, True
    if sign == "<":
        return None, (core, _FIRST) if rest == _FINAL else version, True, False
    if sign == "<=":
        return (None, version, True, True) if whole else (None, above, True, False)
    return (version, version, True, True) if whole else (version, above, True, False)


def _bump(core: tuple[int, ...], place: int) -> tuple[int, ...]:
    return (*core[:place], core[place] + 1, *(0 for _ in core[place + 1 :]))
