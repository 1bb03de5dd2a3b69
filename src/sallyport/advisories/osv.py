"""OSV records from a folder, a zip or an address: the per-ecosystem exports, or what a site writes itself.

A record that cannot be read is named among the feed's problems and never loses the others. Source:
OSV data sources, https://google.github.io/osv.dev/data/ (all.zip holds one JSON file per record).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sallyport.advisories.download import download
from sallyport.advisories.interface import AdvisorySource, Means, SourceMaker
from sallyport.advisories.model import Advisory, Asked, Feed, tidy
from sallyport.advisories.osv_record import LIMIT, NAME, advisories_of, ecosystems_of, parse_record
from sallyport.advisories.text import plain
from sallyport.advisories.versions import concerns
from sallyport.advisories.zip_members import open_members
from sallyport.catalog import Bill
from sallyport.engine import Http, Progress, Silent
from sallyport.errors import DamagedError, MalformedError, OversizeError, StorageError, UsageError

_PROBLEMS = 100
_FILES = 2_000_000


class OsvSource:
    """An :class:`AdvisorySource` over OSV records.

    A folder is searched for ``*.json`` and ``*.zip``, in its folders too, so that a copy of a whole
    export (``Debian/all.zip``, ``PyPI/all.zip``) is one location.
    """

    name = NAME

    def __init__(
        self,
        location: Path | str,
        *,
        http: Http | None = None,
        cache: Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        """``location`` is a path, or the http(s) address of a zip, which ``http`` fetches into ``cache``."""
        self._location, self._http, self._cache = location, http, cache
        self._progress = progress or Silent()

    def feed(self, bills: tuple[Bill, ...]) -> Feed:
        wanted: dict[str, set[str]] = {}
        for bill in bills:
            if bill.distribution is not None:
                names = wanted.setdefault(bill.distribution.ecosystem, set())
                names.update(package.source for package in bill.packages)
        advisories: list[Advisory] = []
        heard: set[str] = set()
        newest: datetime | None = None
        problems: list[str] = []
        broken = 0
        for name, raw in self._members():
            try:
                record = parse_record(_read(raw, name), what=name)
                found = list(advisories_of(record, wanted))
            except DamagedError as error:
                broken += 1
                if broken <= _PROBLEMS:
                    problems.append(plain(error.message if name in error.message else f"{name}: {error.message}", 300))
                continue
            advisories += found
            heard |= ecosystems_of(record)
            newest = record.modified_at if newest is None else max(newest, record.modified_at)
        if newest is None:
            raise MalformedError(
                f"{self._location} holds no OSV record that can be read",
                "name a folder of OSV records, or an export's all.zip",
            )
        if broken > _PROBLEMS:
            problems[-1] = f"and {broken - _PROBLEMS + 1} more records that cannot be read"
        asked = (
            Asked(release, name)
            for release, names in wanted.items()
            if any(concerns(ecosystem, release) for ecosystem in heard)
            for name in names
        )
        return Feed(self.name, newest, tidy(advisories), tuple(sorted(asked)), tuple(problems))

    def _members(self) -> Iterator[tuple[str, bytes | OversizeError | MalformedError]]:
        location = self._location
        if isinstance(location, str) and "://" in location:
            scheme = urlsplit(location).scheme.lower()
            if scheme not in ("http", "https"):
                raise UsageError(f"no OSV source understands {scheme[:20]!r}", "use a path, http: or https:")
            if self._http is None or self._cache is None:
                raise UsageError("an OSV address needs a client and a folder to fetch to", "hand in http and cache")
            location = download(self._http, location, self._cache, progress=self._progress)
        path = Path(location)
        if path.is_dir():
            yield from _folder(path)
        elif path.is_file():
            yield from _file(path, path.name)
        else:
            raise UsageError(f"there are no OSV records at {path}", "name a folder, a zip or an address of a zip")


def _folder(folder: Path) -> Iterator[tuple[str, bytes | OversizeError | MalformedError]]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".json", ".zip") and path.is_file())
    if len(paths) > _FILES:
        raise OversizeError(f"{folder} holds {len(paths)} files", "name the folder of one export")
    for path in paths:
        yield from _file(path, str(path.relative_to(folder)))


def _file(path: Path, name: str) -> Iterator[tuple[str, bytes | OversizeError | MalformedError]]:
    try:
        if path.suffix == ".json":
            with path.open("rb") as file:
                yield name, file.read(LIMIT + 1)
        else:
            with open_members(path, member_limit=LIMIT) as members:
                for member, content in members:
                    if member.endswith(".json"):
                        yield f"{name}/{member}", content
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", "check that this user may read it") from error


def _read(content: bytes | OversizeError | MalformedError, name: str) -> bytes:
    if isinstance(content, bytes):
        return content
    raise type(content)(f"{name}: {content.message}", content.mend)


def make(means: Means) -> OsvSource:
    """The entry point.

    Raises:
        UsageError: no location is given.
    """
    if not means.location:
        raise UsageError("the osv source has no location", "name a folder, a zip or an address of a zip")
    location: Path | str = means.location
    if "://" not in means.location:
        location = means.root / Path(means.location).expanduser()
    return OsvSource(location, http=means.http, cache=means.cache, progress=means.progress)


if TYPE_CHECKING:
    _fits: type[AdvisorySource] = OsvSource
    _makes: SourceMaker = make
