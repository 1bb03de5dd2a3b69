"""What the archive itself says: the changelog of the newer signed package names what it closes.

A site with nothing but a package mirror learns from it which of its vulnerabilities have a fix.
What has none does not stand in a changelog, so this source alone never says that a package is clean.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sallyport.advisories.debian_changelog import ChangelogEntry, Effect, parse_changelog
from sallyport.advisories.interface import AdvisorySource, Means, SourceMaker
from sallyport.advisories.model import Advisory, Asked, Evidence, Feed, Severity, tidy
from sallyport.archives import BinaryPackage, Release, changelog_of, debian_architecture, debian_key
from sallyport.catalog import Bill, Distribution
from sallyport.engine import Executor, Inline, Progress, Silent
from sallyport.errors import MalformedError, OversizeError, UsageError
from sallyport.oci import Digest

if TYPE_CHECKING:
    from sallyport.archives import Archive

NAME = "changelog"
_PROBLEMS = 100
_TRIES = 4  # packages of one source that are fetched in search of its changelog


@dataclass(frozen=True, slots=True)
class _Question:
    """One source package of one release, over all bills."""

    archive: Archive
    ecosystem: str
    source: str
    lowest: str  # source version
    binaries: tuple[tuple[str, str], ...]  # name and architecture, sorted


@dataclass(frozen=True, slots=True)
class _Answer:
    advisories: tuple[Advisory, ...] = ()
    asked: Asked | None = None
    problem: str = ""


class ChangelogSource:
    """An :class:`AdvisorySource` over signed archives: one for each release that the fleet has."""

    name = NAME

    def __init__(self, *archives: Archive, executor: Executor | None = None, progress: Progress | None = None) -> None:
        self._archives = archives
        self._executor = executor or Inline()
        self._progress = progress or Silent()

    def feed(self, bills: tuple[Bill, ...]) -> Feed:
        questions = _questions(self._archives, bills)
        answers = list(self._executor.map(self._answer, questions))
        problems = [answer.problem for answer in answers if answer.problem]
        return Feed(
            self.name,
            min(as_of(archive.releases) for archive in self._archives),
            tidy(advisory for answer in answers for advisory in answer.advisories),
            tuple(sorted(answer.asked for answer in answers if answer.asked is not None)),
            tuple(problems[:_PROBLEMS]),
        )

    def _answer(self, question: _Question) -> _Answer:
        try:
            found = [question.archive.packages(arch).newest(name) for name, arch in question.binaries]
        except UsageError as error:
            return _Answer(problem=f"{question.source}: {error.message}")
        candidates = [item for item in found if item is not None and item.source == question.source]
        if not candidates:
            # A package of somebody else: the archive's silence about it means nothing.
            return _Answer(problem=f"the archive has no package of the source {question.source}")
        newest_version = max((item.source_version for item in candidates), key=debian_key)
        if debian_key(newest_version) <= debian_key(question.lowest):
            return _Answer(asked=Asked(question.ecosystem, question.source, question.lowest))
        try:
            text = self._changelog(question, newest_version, candidates)
            if text is None:
                return _Answer(problem=f"no package of {question.source} {newest_version} holds its changelog")
            entries = tuple(parse_changelog(text))
            versions = [entry.version for entry in entries if _is_version(entry.version)]
            oldest = min(versions, key=debian_key, default=newest_version)
            advisories = read_entries(
                entries,
                ecosystem=question.ecosystem,
                source=question.source,
                above=question.lowest,
                upto=newest_version,
            )
        except (MalformedError, OversizeError) as error:
            return _Answer(problem=f"the changelog of {question.source} {newest_version}: {error.message}")
        # A shortened changelog may begin after what is installed: about the gap it says nothing.
        since = max(question.lowest, oldest, key=debian_key)
        return _Answer(advisories, Asked(question.ecosystem, question.source, since))

    def _changelog(self, question: _Question, version: str, candidates: Iterable[BinaryPackage]) -> str | None:
        fresh = {item.digest: item for item in candidates if item.source_version == version}
        tried = sorted(fresh.values(), key=lambda item: (item.size, item.name))
        for package in tried:
            if (text := self._read(question.archive, package)) is not None:
                return text
        others = _siblings(question, version, fresh)
        for package in others[:_TRIES]:
            if (text := self._read(question.archive, package)) is not None:
                return text
        return None

    def _read(self, archive: Archive, package: BinaryPackage) -> str | None:
        return changelog_of(archive.fetch(package, progress=self._progress))


def _siblings(question: _Question, version: str, tried: Collection[Digest]) -> list[BinaryPackage]:
    """Other packages of the same source and version: where documentation is a link, one of them holds it."""
    found: list[BinaryPackage] = []
    index = question.archive.packages(question.binaries[0][1])
    for name in index.names():
        package = index.newest(name)
        if package is not None and (package.source, package.source_version) == (question.source, version):
            found.append(package)
    return sorted((item for item in found if item.digest not in tried), key=lambda item: (item.size, item.name))


def _questions(archives: Sequence[Archive], bills: Iterable[Bill]) -> list[_Question]:
    lowest: dict[tuple[int, str, str], str] = {}
    binaries: dict[tuple[int, str, str], set[tuple[str, str]]] = {}
    for bill in bills:
        number = next((i for i, archive in enumerate(archives) if serves(archive.releases, bill.distribution)), None)
        if number is None or bill.distribution is None:
            continue
        debs = [package for package in bill.packages if package.kind == "deb"]
        named = (package.architecture for package in debs if package.architecture != "all")
        own = next(named, "") or _architecture(bill)
        for package in debs:
            key = (number, bill.distribution.ecosystem, package.source)
            lowest[key] = min(lowest.get(key, package.source_version), package.source_version, key=debian_key)
            # What is for all architectures stands in every index: the one that is read anyway is at hand.
            architecture = own if package.architecture == "all" else package.architecture
            binaries.setdefault(key, set()).add((package.name, architecture))
    return [
        _Question(archives[number], ecosystem, source, lowest[number, ecosystem, source], tuple(sorted(found)))
        for (number, ecosystem, source), found in sorted(binaries.items())
    ]


def _architecture(bill: Bill) -> str:
    """Debian's word for the platform of an image that has nothing but packages for all of them."""
    try:
        return debian_architecture(bill.platform)
    except UsageError:
        return "all"  # no index has that name, so the source says that it was not asked


def serves(releases: Iterable[Release], distribution: Distribution | None) -> bool:
    """Whether these are the suites of ``distribution``: versions of another release's archive say nothing about it."""
    if distribution is None or distribution.id != "debian":
        return False
    for release in releases:
        if distribution.codename and release.codename.partition("-")[0] == distribution.codename:
            return True
        if not distribution.codename and release.version.partition(".")[0] == distribution.version_id.partition(".")[0]:
            return bool(release.version)
    return False


def as_of(releases: Sequence[Release]) -> datetime:
    """How fresh the archive's word on vulnerabilities is: the oldest date of its security suites.

    The release suite itself changes a few times a year and is no older for that; where it is asked
    alone, its date counts.
    """
    dates = [release.date for release in releases if "security" in f"{release.suite.name} {release.codename}"]
    return min(dates or [release.date for release in releases])


def read_entries(
    entries: Iterable[ChangelogEntry], *, ecosystem: str, source: str, above: str, upto: str
) -> tuple[Advisory, ...]:
    """What the changelog says about versions from ``above`` on. Pure.

    1. Entries count in the order of their versions, not of the file: branches were merged there.
    2. The oldest version that names a vulnerability closed it; a later one that names it again adds nothing,
    3. except that one which reverts a fix opens it, until a later version closes it again.
    4. An advisory is kept where it concerns ``above`` or a later version, up to ``upto``.
    """
    first, last = debian_key(above), debian_key(upto)
    ordered = sorted(
        ((debian_key(entry.version), entry) for entry in entries if _is_version(entry.version)),
        key=lambda item: item[0],
    )  # 1
    closed: set[str] = set()
    reopened: dict[str, tuple[str, Evidence]] = {}
    found: list[Advisory] = []

    def add(cve: str, fixed: str | None, *evidence: Evidence) -> None:
        introduced, why = "0", evidence
        if cve in reopened:
            introduced, before = reopened.pop(cve)
            why = (before, *evidence)
        # An upload's urgency is how fast it should migrate, not how bad a vulnerability is.
        found.append(Advisory(cve, (), ecosystem, source, introduced, fixed, Severity.UNKNOWN, why))

    for key, entry in ordered:
        if key > last or entry.source != source:
            continue
        for statement in entry.statements:
            cve, evidence = statement.id, Evidence(NAME, f"{entry.source} {entry.version}", statement.text)
            # Who reverts what no entry has fixed before reverts what caused it.
            reopens = statement.effect is Effect.REOPENS and (cve in closed or cve in reopened)
            if not reopens and cve not in closed:  # 2
                closed.add(cve)
                if key > first:  # 4
                    add(cve, entry.version, evidence)
                else:
                    reopened.pop(cve, None)
            elif reopens and cve in closed:  # 3
                closed.remove(cve)
                reopened[cve] = (entry.version, evidence)
    for cve in tuple(reopened):
        add(cve, None)
    return tidy(found)


def _is_version(version: str) -> bool:
    try:
        debian_key(version)
    except MalformedError:
        return False
    return True


def make(means: Means) -> ChangelogSource:
    """The entry point.

    Raises:
        UsageError: no archive was handed in.
    """
    if not means.archives:
        raise UsageError(
            "the changelog source needs a signed package archive",
            "use it outside, where outside.archive names a mirror; the inside reads the feed that crossed",
        )
    return ChangelogSource(*means.archives, executor=means.executor, progress=means.progress)


if TYPE_CHECKING:
    _fits: type[AdvisorySource] = ChangelogSource
    _makes: SourceMaker = make
