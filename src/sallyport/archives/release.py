"""A verified InRelease as values. Source: Debian repository format, "Release files"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from sallyport.archives.control import parse_stanza
from sallyport.archives.model import Release, Suite
from sallyport.archives.signature import SignedText
from sallyport.errors import ExpiredError, MalformedError, UntrustedError
from sallyport.oci import Digest

_LINE = re.compile(r" *([0-9a-f]{64}) +([0-9]{1,15}) +([A-Za-z0-9][A-Za-z0-9._+/~-]*)\Z")
_SKEW = timedelta(hours=24)
INDEX_LIMIT = 2 * 1024**3  # bytes of one index, inflated
_MEND = "use another mirror; if it happens there too, report it to whoever runs the archive"


@dataclass(frozen=True, slots=True)
class Listed:
    """A file of the suite as the signed text names it."""

    digest: Digest
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class ReleaseFile:
    """Everything of a verified InRelease that is used."""

    release: Release
    files: Mapping[str, Listed] = field(repr=False)  # by path relative to the suite
    architectures: frozenset[str]
    by_hash: bool
    separate_all: bool  # "all" packages stand in an index of their own, too or only

    def packages(self, component: str, architecture: str) -> str:
        """The path of an uncompressed Packages index, as the signed text spells the component."""
        return f"{component}/binary-{architecture}/Packages"


def parse_release(
    signed: SignedText, suite: Suite, digest: Digest, *, now: datetime, check_valid_until: bool
) -> ReleaseFile:
    """Read the text that :func:`verify_inrelease` gave.

    Raises:
        UntrustedError: it is signed, but for another suite than the one that was asked for.
        ExpiredError: past its Valid-Until at ``now``, or from the future.
        MalformedError: a field is missing or wrong.
    """
    what = f"the release of {suite.name}"
    fields = parse_stanza(signed.text, what=what)
    codename, name = fields.get("Codename", ""), fields.get("Suite", "")
    # A mirror must not be able to pass one suite, validly signed, for another.
    if suite.name not in (codename, name):
        raise UntrustedError(
            f"asked for {suite.name}, the mirror sent {codename or name or 'a release without a name'}",
            "check the mirror's address and the suite's name; if both are right, use another mirror",
        )
    date = _date(fields, "Date", what)
    if date is None:
        raise MalformedError(f"{what} has no Date", _MEND)
    until = _date(fields, "Valid-Until", what)
    if check_valid_until:
        if until is not None and until < now:
            raise ExpiredError(
                f"{what} was valid until {until:%Y-%m-%d %H:%M} UTC",
                "the mirror has stopped following the archive: use another, or check this host's clock",
            )
        if date > now + _SKEW:
            raise ExpiredError(f"{what} is dated {date:%Y-%m-%d}, in the future", "check this host's clock")
    architectures = frozenset(fields.get("Architectures", "").split())
    return ReleaseFile(
        Release(suite, codename, fields.get("Version", ""), date, digest, signed.signed_by),
        _files(fields, what),
        architectures,
        fields.get("Acquire-By-Hash", "").lower() == "yes",
        "all" in architectures and "Packages" not in fields.get("No-Support-for-Architecture-all", "").split(),
    )


def _date(fields: Mapping[str, str], name: str, what: str) -> datetime | None:
    if name not in fields:
        return None
    try:
        at = parsedate_to_datetime(fields[name])
    except (TypeError, ValueError, OverflowError) as error:
        raise MalformedError(f"{what}: {name} is not a date", _MEND) from error
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def _files(fields: Mapping[str, str], what: str) -> Mapping[str, Listed]:
    files: dict[str, Listed] = {}
    for line in fields.get("SHA256", "").split("\n")[1:]:
        found = _LINE.match(line)
        if found is None or ".." in found[3].split("/"):
            raise MalformedError(f"{what} lists {line.strip()[:120]!r}", _MEND)
        digest, size, path = found.groups()
        listed = Listed(Digest("sha256", digest), int(size))
        if files.setdefault(path, listed) != listed:
            raise MalformedError(f"{what} lists {path[:120]} twice", _MEND)
    if not files:
        raise MalformedError(f"{what} lists no file by SHA256", _MEND)
    return files
