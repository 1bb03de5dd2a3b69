"""Debian changelogs: entries, and what each says about vulnerabilities. Pure.

Source: Debian Policy 4.4, "Debian changelog"; deb-changelog(5). Strict about what begins and ends
an entry, tolerant of everything between: twenty years of people wrote by hand there.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sallyport.advisories.text import cves_in, plain
from sallyport.errors import OversizeError

LIMIT = 32 * 1024 * 1024  # characters; the kernel's has 6 million
_ABOVE = 400  # characters of each bullet above another
_DEPTH = 6  # bullets above another
_HEADER = re.compile(r"([A-Za-z0-9][A-Za-z0-9+.-]{0,254}) \(([^() \t]{1,255})\)((?:\s+[A-Za-z0-9+.-]+)+)\s*;(.*)\Z")
_TRAILER = re.compile(r" --(?: |\Z)")
_BULLET = re.compile(r"([ \t]*)([*+-])[ \t]+(?=\S)")
# From here on a changelog is kept for history's sake, in forms of its own.
_OLD = re.compile(r"old changelog:|(?:;;\s*)?local variables:?|vim?:", re.IGNORECASE)
_WRAPPED = re.compile(r"CVE-(?:[0-9]{4}-)?\Z", re.IGNORECASE)

_UNAFFECTED = re.compile(
    r"(?:\b(?:not|never)|n't)\s+(?:yet\s+|actually\s+|really\s+)?(?:affected|vulnerable)\b"
    r"|\bunaffected\b|\b(?:do|does|did)(?:\s+not|n't)\s+affect\b",
    re.IGNORECASE,
)
_FIXES = re.compile(r"\b(?:fix(?:e[sd]|ing)?|backport|cherry|address|mitigat|resolv|prevent)", re.IGNORECASE)
_REOPENS = re.compile(r"[^A-Za-z]*(?:temporarily\s+|partially\s+)?(?:revert|reopen|re-open|back\s*out)", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.;])\s+(?=[A-Z(\[])")


class Effect(enum.Enum):
    """What an entry does to a vulnerability."""

    CLOSES = "closes"
    REOPENS = "reopens"


@dataclass(frozen=True, slots=True)
class Statement:
    """One vulnerability that one bullet of one entry is about."""

    id: str  # CVE
    effect: Effect
    text: str  # the bullet, with the ones above that it belongs to; at most 2,000 characters


@dataclass(frozen=True, slots=True)
class ChangelogEntry:
    """One upload."""

    source: str
    version: str
    distributions: tuple[str, ...]
    statements: tuple[Statement, ...]


def parse_changelog(text: str) -> Iterator[ChangelogEntry]:
    """The entries as they stand, the newest first.

    An entry without its trailer ends where the next begins; what follows a heading of old entries
    in older forms is not read.

    Raises:
        OversizeError: absurdly long.
    """
    if len(text) > LIMIT:
        raise OversizeError(
            f"a changelog of {len(text)} characters; the limit is {LIMIT}", "do not use the package: report it"
        )
    header: re.Match[str] | None = None
    body: list[str] = []
    for line in text.split("\n"):
        if line[:1] not in ("", " ", "\t", "\r"):
            found = _HEADER.match(line.rstrip())
            if found is not None:
                if header is not None:
                    yield _entry(header, body)
                header, body = found, []
                continue
            if _OLD.match(line):
                break
        if header is not None:
            if _TRAILER.match(line):
                yield _entry(header, body)
                header, body = None, []
            else:
                body.append(line)
    if header is not None:
        yield _entry(header, body)


def _entry(header: re.Match[str], body: list[str]) -> ChangelogEntry:
    return ChangelogEntry(header[1], header[2], tuple(header[3].split()), tuple(_statements(body)))


def _statements(body: list[str]) -> Iterator[Statement]:
    # Most entries of most packages name no vulnerability at all.
    if not any("CVE-" in line or "cve-" in line for line in body):
        return
    for above, text in _bullets(body):
        cves = cves_in(text)
        if not cves:
            continue
        effects = _effects(above, text, cves)
        for cve, effect in effects.items():
            yield Statement(cve, effect, plain("\n".join((*above, text))))


def _bullets(body: list[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each bullet as one line of text, with the texts of the bullets that it stands under."""
    above: list[tuple[int, str]] = []  # indentation and text
    indent, parts = 0, list[str]()  # of the bullet that is being read
    for line in body:
        stripped = line.strip()
        if not stripped:
            continue
        found = _BULLET.match(line)
        # "[ Jane Doe ]": another hand begins.
        hand = found is None and stripped[0] == "[" and stripped[-1] == "]" and not cves_in(stripped)
        if found is None and not hand and parts:
            if _WRAPPED.search(parts[-1]):
                parts[-1] += stripped
            else:
                parts.append(stripped)
            continue
        if parts:
            text = " ".join(parts)
            yield tuple(item for _, item in above), text
            above.append((indent, plain(text, _ABOVE)))
        indent = len(line.expandtabs()) - len(line.expandtabs().lstrip())
        above = [] if hand else [item for item in above if item[0] < indent][-_DEPTH:]
        parts = [] if hand else [stripped[1:].strip() if found is not None else stripped]
    if parts:
        yield tuple(item for _, item in above), " ".join(parts)


def _effects(above: tuple[str, ...], text: str, cves: tuple[str, ...]) -> dict[str, Effect]:
    """What the bullet does to each vulnerability that it names; those it calls harmless are left out."""
    if any(_UNAFFECTED.search(item) and not _FIXES.search(item) for item in above):
        return {}
    reverts = any(_REOPENS.match(item) for item in above)
    sentences = _SENTENCE.split(text)
    harmless: set[str] = set()
    for sentence in sentences:
        denied = _UNAFFECTED.search(sentence)
        # "Fix CVE-1; older versions are not affected" closes CVE-1 all the same.
        if denied is None or _FIXES.search(sentence[: denied.start()]):
            continue
        named = cves_in(sentence)
        if named:
            harmless.update(named)
        elif not _FIXES.search(text):
            harmless.update(cves)
    result: dict[str, Effect] = {}
    for sentence in sentences:
        effect = Effect.REOPENS if reverts or _REOPENS.match(sentence) else Effect.CLOSES
        result.update({cve: effect for cve in cves_in(sentence) if cve not in harmless and cve not in result})
    return result
