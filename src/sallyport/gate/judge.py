"""Scans + policy -> verdict. Pure: the same values give the same verdict on any machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from sallyport.advisories import Severity
from sallyport.gate.model import Passed, Policy, Refused, Undecided, Verdict, Waiver
from sallyport.match import Finding, Scan, SourceDate

_SENTENCES = 40  # of one kind in a verdict; the scan has them all
_SKEW = timedelta(days=1)  # clocks differ; more than that is another matter


def judge(
    scans: Sequence[Scan] | None, policy: Policy, *, repository: str, now: datetime, side: str | None = None
) -> Verdict:
    """Whether the image with these ``scans``, one for each platform, may cross.

    With ``side`` only that side's own scans count. The rules, in order:

    1. A policy without a limit on findings refuses everything.
    2. No scan: undecided.
    3. A scan that looked at no package, or that no source answered, is none: undecided.
    4. A required source that was not asked about every package: undecided.
    5. A required source (without any: each that was asked) older than the limit, or from the future: undecided.
    6. A waiver takes its finding out of the count until its last day has passed, in the images it names, when it
       has an owner and a reason. It stands in the verdict either way.
    7. What a distribution calls unimportant is named, never counted.
    8. Each limit is held against each platform by itself; one that is broken refuses.
    """
    if policy.fixable is None and policy.severity is None and policy.findings is None:  # 1
        return Refused(("the policy sets no limit, and an empty policy refuses everything",))
    own = [scan for scan in scans or () if side is None or scan.side == side]
    if not own:  # 2
        return Undecided((f"there is no scan{f' by the {side}' if side else ''}, so nothing is known about it",))
    doubts = [sentence for scan in own for sentence in _doubts(scan, policy, now)]
    if doubts:
        return Undecided(_few(doubts))
    held = [_hold(scan, policy, repository, now) for scan in own]
    notes = _few(sentence for item in held for sentence in item.notes)
    broken = [sentence for item in held for sentence in _broken(item, policy)]
    if broken:
        return Refused((*_few(broken), *notes))
    return Passed((*(sentence for item in held for sentence in _summary(item)), *notes))


def _doubts(scan: Scan, policy: Policy, now: datetime) -> Iterable[str]:
    where = f"{scan.platform}: "
    if scan.packages == 0:  # 3
        yield f"{where}no package was looked at, and nothing to look at is not clean"
    if not scan.sources:
        yield f"{where}no source was asked about every package"
        yield from (f"{where}{gap}" for gap in scan.gaps)
        return
    for name in policy.sources:  # 4
        if not any(_is(source, name) for source in scan.sources):
            yield f"{where}the required source {name} did not answer for every package"
            yield from (f"{where}{gap}" for gap in scan.gaps if gap.startswith(name))
    if policy.max_age is None:
        return
    for source in scan.sources:  # 5
        if policy.sources and not any(_is(source, name) for name in policy.sources):
            continue
        age = now - source.as_of
        if age > policy.max_age:
            yield (
                f"{where}{source.source} is as of {source.as_of:%Y-%m-%d %H:%M} UTC, {_span(age)} old; "
                f"the policy allows {_span(policy.max_age)}"
            )
        elif age < -_SKEW:
            yield f"{where}{source.source} is as of {source.as_of:%Y-%m-%d}, which this clock has not reached"


def _is(source: SourceDate, name: str) -> bool:
    return source.source == name or source.source.startswith(f"{name}:")


@dataclass(frozen=True, slots=True)
class _Held:
    """One platform's findings, sorted into those that count and what is to be said about the others."""

    scan: Scan
    counted: tuple[Finding, ...]
    unimportant: int
    waived: int
    notes: tuple[str, ...]


def _hold(scan: Scan, policy: Policy, repository: str, now: datetime) -> _Held:
    counted: list[Finding] = []
    unimportant = waived = 0
    notes: dict[str, None] = {}
    mine = [waiver for waiver in policy.waivers if fnmatchcase(repository, waiver.images)]
    for finding in scan.findings:
        if finding.severity is Severity.NEGLIGIBLE:  # 7
            unimportant += 1
            continue
        accepted = False
        for waiver in mine:  # 6
            if waiver.id == finding.id:
                holds, note = _waive(waiver, now)
                notes.setdefault(note)
                accepted = accepted or holds
        if accepted:
            waived += 1
        else:
            counted.append(finding)
    return _Held(scan, tuple(counted), unimportant, waived, tuple(notes))


def _waive(waiver: Waiver, now: datetime) -> tuple[bool, str]:
    if not waiver.owner.strip() or not waiver.reason.strip():
        return False, f"the waiver for {waiver.id} has no owner or no reason, and does not count"
    if now.astimezone(UTC).date() > waiver.expires:
        return False, f"the waiver of {waiver.owner} for {waiver.id} expired on {waiver.expires}: {waiver.reason}"
    return True, f"{waiver.id} is accepted by {waiver.owner} until {waiver.expires}: {waiver.reason}"


def _broken(held: _Held, policy: Policy) -> Iterable[str]:  # 8
    where = f"{held.scan.platform}: "
    fixable = [finding for finding in held.counted if finding.fixable]
    if policy.fixable is not None and len(fixable) > policy.fixable:
        yield f"{where}{_count(len(fixable), 'finding has', 'findings have')} a fix; the policy allows {policy.fixable}"
        yield from _few(_sentence(finding) for finding in fixable)
    if policy.findings is not None and len(held.counted) > policy.findings:
        yield f"{where}{_count(len(held.counted), 'finding', 'findings')}; the policy allows {policy.findings}"
        yield from _few(_sentence(finding) for finding in held.counted)
    if policy.severity is not None:
        worse = [item for item in held.counted if _rank(item, policy) > policy.severity.rank]
        if worse:
            limit = policy.severity.value
            yield f"{where}{_count(len(worse), 'finding is', 'findings are')} worse than the {limit} that is allowed"
            yield from _few(_sentence(finding) for finding in worse)


def _rank(finding: Finding, policy: Policy) -> int:
    severity = policy.unknown_as if finding.severity is Severity.UNKNOWN else finding.severity
    return severity.rank


def _sentence(finding: Finding) -> str:
    package = finding.package
    source = "" if package.source == package.name else f" (source {package.source} {package.source_version})"
    fix = f"is fixed in {finding.fixed}" if finding.fixed is not None else "has no known fix"
    rating = "" if finding.severity is Severity.UNKNOWN else f", {finding.severity.value}"
    return f"{finding.id} in {package.name} {package.version}{source} {fix}{rating}"


def _summary(held: _Held) -> Iterable[str]:
    scan = held.scan
    fixable = sum(finding.fixable for finding in held.counted)
    asked = ", ".join(f"{source.source} as of {source.as_of:%Y-%m-%d}" for source in scan.sources)
    yield (
        f"{scan.platform}: {_count(scan.packages, 'package', 'packages')} looked at, "
        f"{_count(len(held.counted), 'finding counts', 'findings count')}, {fixable} with a fix ({asked})"
    )
    if held.unimportant:
        yield f"{scan.platform}: {_count(held.unimportant, 'finding', 'findings')} unimportant, not counted"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _span(age: timedelta) -> str:
    hours = age / timedelta(hours=1)
    return f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours"  # noqa: PLR2004 - from two days on


def _few(sentences: Iterable[str]) -> tuple[str, ...]:
    """Each once, the first forty."""
    distinct = tuple(dict.fromkeys(sentences))
    if len(distinct) <= _SENTENCES:
        return distinct
    return (*distinct[:_SENTENCES], f"and {len(distinct) - _SENTENCES} more")
