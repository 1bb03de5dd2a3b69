"""Counts: pure, from a report to the figures that its reader looks for first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sallyport.advisories import Evidence, Severity
from sallyport.audit.model import ImageReport, Report
from sallyport.gate import Passed, Refused, Undecided
from sallyport.match import Finding, Scan

SEVERITIES = tuple(sorted(Severity, key=lambda severity: -severity.rank))  # worst first
_ATTENTION = ("refused", "undecided", "none", "passed")


@dataclass(frozen=True, slots=True)
class Row:
    """One vulnerability in one package of one image, on all the platforms that have it."""

    id: str
    severity: Severity
    package: str
    version: str
    fixed: str | None
    platforms: tuple[str, ...]
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """One image in figures: vulnerabilities are distinct identifiers over all its platforms."""

    image: ImageReport
    before: int | None  # None: it was not patched, or not scanned before
    after: int | None  # None: not every platform was scanned
    fixable: int
    before_by: Mapping[Severity, int]
    after_by: Mapping[Severity, int]
    rows: tuple[Row, ...]  # what is left, worst first
    closed: tuple[Row, ...]  # what patching removed, worst first
    gaps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The fleet in figures; only current images count."""

    images: tuple[ImageSummary, ...]
    verdicts: Mapping[str, int]  # "passed", "refused", "undecided", "none"
    before: int
    after: int
    fixable: int
    after_by: Mapping[Severity, int]
    unscanned: int
    oldest_days: int | None

    @property
    def closed(self) -> int:
        return sum(len({row.id for row in image.closed}) for image in self.images)

    @property
    def scale(self) -> int:
        """The longest bar of a chart, at least 1."""
        counts = [by for image in self.images for by in (image.before_by, image.after_by)]
        return max([1, *(sum(by.values()) for by in counts)])


def summarise(report: Report) -> Summary:
    """Count what ``report`` holds."""
    # What needs somebody's eye comes first.
    ordered = sorted(report.images, key=lambda image: (_ATTENTION.index(verdict_word(image)), image.name))
    images = tuple(summarise_image(image) for image in ordered)
    verdicts = dict.fromkeys(_ATTENTION, 0)
    for image in report.images:
        verdicts[verdict_word(image)] += 1
    scanned = [image for image in images if image.after is not None]
    return Summary(
        images,
        verdicts,
        sum(image.after or 0 if image.before is None else image.before for image in scanned),
        sum(image.after or 0 for image in scanned),
        sum(image.fixable for image in images),
        {severity: sum(image.after_by[severity] for image in images) for severity in SEVERITIES},
        len(images) - len(scanned),
        max((source.days for source in report.sources), default=None),
    )


def verdict_word(image: ImageReport) -> str:
    """The verdict in one word; "none" where nobody judged."""
    match image.verdict:
        case Passed():
            return "passed"
        case Refused():
            return "refused"
        case Undecided():
            return "undecided"
        case _:
            return "none"


def summarise_image(image: ImageReport) -> ImageSummary:
    """Count one image."""
    after = [platform.scan for platform in image.platforms if platform.scan is not None]
    # A platform that was not patched was before what it is now.
    before = [scan for platform in image.platforms if (scan := platform.before or platform.scan) is not None]
    patched = any(platform.before is not None for platform in image.platforms)
    left, had = rows_of(after), rows_of(before)
    remaining = {row.id for row in left}
    return ImageSummary(
        image,
        len({row.id for row in had}) if patched else None,
        len(remaining) if image.scanned else None,
        len({row.id for row in left if row.fixed is not None}),
        by_severity(had),
        by_severity(left),
        left,
        tuple(row for row in had if row.id not in remaining) if patched else (),
        tuple(sorted({gap for scan in after for gap in scan.gaps})),
    )


def rows_of(scans: Iterable[Scan]) -> tuple[Row, ...]:
    """Findings of several platforms, the same ones merged, worst first."""
    merged: dict[tuple[str, str, str, str | None], list[tuple[str, Finding]]] = {}
    for scan in scans:
        for finding in scan.findings:
            key = (finding.id, finding.package.name, finding.package.version, finding.fixed)
            merged.setdefault(key, []).append((str(scan.platform), finding))
    rows = [
        Row(
            key[0],
            max((finding.severity for _, finding in places), key=lambda severity: severity.rank),
            key[1],
            key[2],
            key[3],
            tuple(sorted({platform for platform, _ in places})),
            tuple(dict.fromkeys(evidence for _, finding in places for evidence in finding.evidence)),
        )
        for key, places in merged.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.severity.rank, row.fixed is None, row.id, row.package)))


def by_severity(rows: Iterable[Row]) -> dict[Severity, int]:
    """Distinct identifiers by their worst severity."""
    worst: dict[str, Severity] = {}
    for row in rows:
        if row.id not in worst or worst[row.id].rank < row.severity.rank:
            worst[row.id] = row.severity
    return {severity: sum(1 for found in worst.values() if found is severity) for severity in SEVERITIES}
