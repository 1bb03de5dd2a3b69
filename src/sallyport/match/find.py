"""Bill x feeds -> findings. Pure; what was found for one source package is remembered for all bills."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sallyport.advisories import (
    Advisory,
    Evidence,
    Feed,
    Severity,
    Stretch,
    VersionOrder,
    concerns,
    order_of,
    worst,
)
from sallyport.catalog import Bill, Package
from sallyport.match.model import Finding, Scan, SourceDate

_NAMED = 5  # packages that a gap lists by name
_KINDS = frozenset({"deb", "apk", "rpm"})  # packages of the distribution, matched by their source in its ecosystem


@dataclass(frozen=True, slots=True)
class _Rule:
    advisory: Advisory
    stretch: Stretch

    def holds(self, version: str, key: object) -> bool:
        return self.stretch.holds(key) or version in self.advisory.versions


@dataclass(frozen=True, slots=True)
class _Wrong:
    """A finding before it is known which binary packages carry it."""

    id: str
    fixed: str | None
    severity: Severity
    evidence: tuple[Evidence, ...]


class Known:
    """Feeds, indexed by source package once and asked for many bills."""

    def __init__(self, feeds: Iterable[Feed]) -> None:
        """Raises MalformedError where an advisory's bound is no version of its ecosystem."""
        self.feeds = tuple(feeds)
        self._rules: dict[str, list[_Rule]] = {}
        self._asked: list[dict[tuple[str, str], str]] = [
            {(item.ecosystem, item.package): item.since for item in feed.asked} for feed in self.feeds
        ]
        self._memory: dict[tuple[str, str, str], tuple[_Wrong, ...]] = {}
        for feed in self.feeds:
            for advisory in feed.advisories:
                order = order_of(advisory.ecosystem)
                if order is not None:
                    stretch = Stretch(order, advisory.introduced, advisory.fixed, advisory.last_affected)
                    self._rules.setdefault(advisory.package, []).append(_Rule(advisory, stretch))

    def find(self, bill: Bill) -> tuple[Finding, ...]:
        """Everything that is known to be wrong with the packages of ``bill``, sorted by id and package.

        1. A package is matched by the name and version of its source, in the order of its ecosystem.
        2. It has a vulnerability when any source says so about its version.
        3. Sources are merged by identifier: the fix is the highest that any of them names for that version,
           because closing it for one source is not closing it for all.
        4. The severity is the worst that any of them gives.
        5. The evidence of all of them is kept, also of one that calls this version safe.
        """
        if bill.distribution is None:
            return ()
        ecosystem = bill.distribution.ecosystem
        order = order_of(ecosystem)
        if order is None:
            return ()
        found = [
            Finding(wrong.id, package, wrong.fixed, wrong.severity, wrong.evidence)
            for package in bill.packages
            if package.kind in _KINDS
            for wrong in self._wrong(ecosystem, order, package)
        ]
        return tuple(sorted(found, key=lambda item: (item.id, item.package.key, item.package.version)))

    def _wrong(self, ecosystem: str, order: VersionOrder, package: Package) -> tuple[_Wrong, ...]:
        question = (ecosystem, package.source, package.source_version)
        known = self._memory.get(question)
        if known is None:
            known = self._memory[question] = tuple(self._look(ecosystem, order, package))
        return known

    def _look(self, ecosystem: str, order: VersionOrder, package: Package) -> Iterable[_Wrong]:
        rules = self._rules.get(package.source)
        if not rules:
            return
        key = order.key(package.source_version)  # 1
        by_id: dict[str, list[_Rule]] = {}
        for rule in rules:
            if concerns(rule.advisory.ecosystem, ecosystem):
                by_id.setdefault(rule.advisory.id, []).append(rule)
        for identifier, group in by_id.items():
            holding = [rule for rule in group if rule.holds(package.source_version, key)]
            if not holding:  # 2
                continue
            fixes = [rule.advisory.fixed for rule in holding if rule.advisory.fixed is not None]
            others = [rule for rule in group if rule not in holding]
            evidence = dict.fromkeys(item for rule in (*holding, *others) for item in rule.advisory.evidence)
            yield _Wrong(
                identifier,
                max(fixes, key=order.key, default=None),  # 3
                worst(*(rule.advisory.severity for rule in holding)),  # 4
                tuple(evidence),  # 5
            )

    def gaps(self, bill: Bill) -> tuple[tuple[SourceDate, ...], tuple[str, ...], int]:
        """The feeds that were asked about all of ``bill``, what the others lack, and how many packages any knows."""
        packages = [package for package in bill.packages if package.kind in _KINDS]
        ecosystem = "" if bill.distribution is None else bill.distribution.ecosystem
        order = order_of(ecosystem)
        covered: set[Package] = set()
        sources: list[SourceDate] = []
        gaps: list[str] = []
        for feed, asked in zip(self.feeds, self._asked, strict=True):
            if order is None:
                gaps.append(f"{feed.source}: nothing is known here about the distribution {ecosystem or 'of no name'}")
                continue
            told = [package for package in packages if _told(asked, ecosystem, order, package)]
            covered.update(told)
            if packages and len(told) == len(packages):
                sources.append(SourceDate(feed.source, feed.as_of))
            elif packages:
                missing = sorted({f"{p.source} {p.source_version}" for p in set(packages).difference(told)})
                more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
                gaps.append(f"{feed.source} was not asked about {', '.join(missing[:_NAMED])}{more} in {ecosystem}")
        return tuple(sources), tuple(gaps), len(covered)


def _told(asked: dict[tuple[str, str], str], ecosystem: str, order: VersionOrder, package: Package) -> bool:
    since = asked.get((ecosystem, package.source))
    if since is None:
        return False
    return since == "0" or bool(order.key(package.source_version) >= order.key(since))


def find(bill: Bill, feeds: Sequence[Feed] | Known) -> tuple[Finding, ...]:
    """Everything that is known to be wrong with the packages of ``bill``; see :meth:`Known.find`.

    For many bills make ``Known(feeds)`` once.
    """
    return (feeds if isinstance(feeds, Known) else Known(feeds)).find(bill)


def scan(bill: Bill, feeds: Sequence[Feed] | Known, *, now: datetime, side: str) -> Scan:
    """The findings in ``bill``, with who was asked and as of when.

    Only a source that was asked about every package counts as asked; packages that no source knows of
    are not looked at, so that silence never passes for cleanness.
    """
    known = feeds if isinstance(feeds, Known) else Known(feeds)
    sources, gaps, covered = known.gaps(bill)
    return Scan(bill.image, bill.platform, covered, known.find(bill), sources, now, side, gaps)
