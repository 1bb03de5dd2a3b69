"""What may cross, and who knows what is wrong with it."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import msgspec

from sallyport.advisories import Severity
from sallyport.config.section import Duration, Section, duration
from sallyport.gate import Policy, Waiver

Meta = msgspec.Meta


class WaiverSection(Section, frozen=True, kw_only=True):
    """One vulnerability that somebody accepts until a day."""

    id: Annotated[str, Meta(description="the vulnerability: CVE-2026-1234")]
    images: Annotated[str, Meta(description="repositories that it holds for; * and ? as in a glob")] = "*"
    owner: Annotated[str, Meta(description="who accepts it; a waiver without an owner does not count")]
    reason: Annotated[str, Meta(description="why; a waiver without a reason does not count")]
    expires: Annotated[date, Meta(description="the last day on which it holds, in UTC")]


class PolicySection(Section, frozen=True, kw_only=True):
    """What may cross; without any limit everything is refused."""

    fixable: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="most findings with a known fix, on each platform; a limit"),
    ] = None
    severity: Annotated[
        Severity | None,
        Meta(description="worst severity that may cross; a limit"),
    ] = None
    unknown_as: Annotated[Severity, Meta(description="how to count a finding that no source rates")] = Severity.MEDIUM
    findings: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="most findings altogether, on each platform; a limit"),
    ] = None
    sources: Annotated[
        tuple[str, ...],
        Meta(description="advisory sources that must have been asked about every package, by name: changelog, osv"),
    ] = ()
    max_age: Annotated[
        Duration | None,
        Meta(description="how old a required source may be (without any: each that was asked): 36h, 14d, 2w"),
    ] = None
    waivers: Annotated[
        tuple[WaiverSection, ...], Meta(description="vulnerabilities that somebody accepts for a while")
    ] = ()

    def policy(self) -> Policy:
        """As the gate's noun."""
        return Policy(
            fixable=self.fixable,
            severity=self.severity,
            unknown_as=self.unknown_as,
            findings=self.findings,
            sources=self.sources,
            max_age=None if self.max_age is None else duration(self.max_age),
            waivers=tuple(Waiver(w.id, w.images, w.owner, w.reason, w.expires) for w in self.waivers),
        )


class AdvisorySection(Section, frozen=True, kw_only=True):
    """One source of advisories."""

    kind: Annotated[str, Meta(min_length=1, description="changelog, osv, or the name of an installed plug-in")]
    location: Annotated[
        str, Meta(description="where the source reads: for osv a folder, a zip, or a zip's address")
    ] = ""
