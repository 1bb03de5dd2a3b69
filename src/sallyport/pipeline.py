"""The journey in one readable file.

Every step takes a :class:`Site`, calls one room, writes what happened to the journal, and returns values.
A step that finds its work done already says so and changes nothing, so every step may be run again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sallyport.advisories import Feed, export_feed
from sallyport.archives import Archive
from sallyport.bundle import Attached, Blob, FeedFile, Released
from sallyport.catalog import Bill, catalogue
from sallyport.errors import ConfigError
from sallyport.gate import Passed, Undecided, Verdict, judge
from sallyport.ledger import Candidate, Ledger, Upstream
from sallyport.match import Scan, scan as scan_bill
from sallyport.mirror import Mirrored, Planned, Selector
from sallyport.oci import Descriptor, Digest, Image, load_images, walk
from sallyport.patch import Patched, PatchPlan
from sallyport.sign import Purpose
from sallyport.site import Site


@dataclass(frozen=True, slots=True)
class Scanned:
    """A tag with the scans of its platforms."""

    name: str
    descriptor: Descriptor
    scans: tuple[Scan, ...]

    @property
    def vulnerabilities(self) -> frozenset[str]:
        """Distinct identifiers over all platforms."""
        return frozenset[str]().union(*(scan.vulnerabilities for scan in self.scans))

    @property
    def fixable(self) -> int:
        """How many of them have a known fix."""
        return len({finding.id for scan in self.scans for finding in scan.findings if finding.fixable})


@dataclass(frozen=True, slots=True)
class Judged:
    """A candidate with the gate's verdict."""

    candidate: Candidate
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ReleaseOutcome:
    """A release, and whether this run made it."""

    released: Released
    new: bool


# --- outside: 1 to 8 --------------------------------------------------------------------------


def plan(site: Site) -> tuple[tuple[Planned, ...], tuple[tuple[str, PatchPlan], ...]]:
    """What ``mirror`` and ``patch`` would do; nothing is changed."""
    from sallyport.mirror import plan_mirror

    site.must_be("outside", "plan")
    with site.clients() as client_for:
        planned = plan_mirror(client_for, _selectors(site), site.store)
    ledger = Ledger(site.store.state)
    patches: list[tuple[str, PatchPlan]] = []
    if ledger.upstreams():
        with site.archive() as archive:
            for upstream in ledger.upstreams():
                for image in load_images(site.store.blobs, upstream.descriptor):
                    if (patch_plan := _plan_patch(site, archive, image)) is not None:
                        patches.append((upstream.name, patch_plan))
    return planned, tuple(patches)


def mirror(site: Site) -> tuple[Mirrored, ...]:
    """1. Upstream -> store."""
    from sallyport.mirror import mirror as copy

    site.must_be("outside", "mirror")
    with site.clients() as client_for:
        results = copy(client_for, _selectors(site), site.store, executor=site.executor, progress=site.progress)
    for result in results:
        reference = f"{result.reference.registry}/{result.reference.repository}:{result.reference.tag}"
        upstream = Upstream(result.repository, result.tag, f"{reference}@{result.descriptor.digest}", result.descriptor)
        Ledger(site.store.state).put_upstream(upstream)
        if result.changed:
            site.store.state.append("mirrored", upstream.reference, {"as": upstream.name, "bytes": str(result.bytes)})
    return results


def scan(site: Site) -> tuple[Scanned, ...]:
    """2 to 4. Store -> bills -> findings, for every mirrored tag."""
    site.must_be("outside", "scan")
    with site.archive() as archive:
        return _scan(site, archive, [(u.name, u.descriptor) for u in Ledger(site.store.state).upstreams()])


def patch(site: Site) -> tuple[Candidate, ...]:
    """5. Findings -> patched images, scanned again to prove it."""
    from sallyport.patch import patch_index

    site.must_be("outside", "patch")
    ledger = Ledger(site.store.state)
    candidates: list[Candidate] = []
    with site.archive() as archive:
        for upstream in ledger.upstreams():
            images = load_images(site.store.blobs, upstream.descriptor)
            done = tuple(p for image in images if (p := _patch_one(site, archive, upstream, image)) is not None)
            replaced = {p.before.digest: p.after for p in done if p.before.digest != p.after.digest}
            descriptor = upstream.descriptor
            if replaced:
                descriptor = patch_index(site.store.blobs, descriptor, replaced, base_name=upstream.reference)
                _hold(site, upstream.repository, descriptor)
            candidate = Candidate(upstream, descriptor, done)
            if ledger.put_candidate(candidate) and candidate.changed:
                site.store.state.append("patched", f"{upstream.name}@{descriptor.digest}", _patch_detail(candidate))
            candidates.append(candidate)
        _scan(site, archive, [(c.upstream.name, c.descriptor) for c in candidates])
    for candidate in candidates:
        for p in candidate.patched:
            before = ledger.scan(p.before.digest)
            if before is not None and p.before.digest != p.after.digest:
                ledger.put_scan_before(p.after.digest, before)
    return tuple(candidates)


def gate(site: Site) -> tuple[Judged, ...]:
    """6. Findings + policy -> verdict, for every candidate."""
    site.must_be("outside", "gate")
    ledger = Ledger(site.store.state)
    judged: list[Judged] = []
    for candidate in ledger.candidates():
        images = load_images(site.store.blobs, candidate.descriptor)
        scans = [found for image in images if (found := ledger.scan(image.descriptor.digest)) is not None]
        name = f"{candidate.upstream.name}@{candidate.descriptor.digest}"
        verdict = _judge(site, candidate.upstream.repository, images, scans)
        if ledger.put_verdict(candidate.descriptor.digest, verdict):
            _record_verdict(site, name, verdict)
        judged.append(Judged(candidate, verdict))
    return tuple(judged)


def release(site: Site) -> tuple[ReleaseOutcome, ...]:
    """7. Passed candidates -> immutable tag, signatures, scan statements."""
    site.must_be("outside", "release")
    ledger = Ledger(site.store.state)
    outcomes: list[ReleaseOutcome] = []
    for candidate in ledger.candidates():
        upstream, descriptor = candidate.upstream, candidate.descriptor
        known = [r for r in ledger.releases() if r.repository == upstream.repository and r.descriptor == descriptor]
        if known:
            outcomes.append(ReleaseOutcome(known[-1], new=False))
        elif isinstance(ledger.verdict(descriptor.digest), Passed):
            tag = _next_tag(site, upstream)
            attached = _sign(site, upstream.repository, tag, descriptor)
            # The tag last: whoever sees it finds the signatures already there.
            site.store.state.set_tag(upstream.repository, tag, descriptor, immutable=True)
            released = Released(upstream.repository, tag, descriptor, upstream.reference, attached)
            ledger.put_release(released)
            site.store.state.append(
                "released", f"{upstream.repository}:{tag}@{descriptor.digest}", {"upstream": upstream.reference}
            )
            outcomes.append(ReleaseOutcome(released, new=True))
    return tuple(outcomes)


# --- how the steps above do it ----------------------------------------------------------------


def _selectors(site: Site) -> tuple[Selector, ...]:
    from sallyport.mirror import make_selector

    return tuple(
        make_selector(section.source, section.tags, platforms=section.parsed_platforms(), to=section.to)
        for section in site.config.outside.mirror
    )


def _bill(site: Site, image: Image) -> Bill:
    """The image's bill; an image never changes, so it is catalogued once."""
    ledger = Ledger(site.store.state)
    bill = ledger.bill(image.descriptor.digest)
    if bill is None:
        bill = catalogue(image, site.store.blobs)
        ledger.put_bill(bill)
    return bill


def _scan(site: Site, archive: Archive, names: Sequence[tuple[str, Descriptor]]) -> tuple[Scanned, ...]:
    """Scan each named image for each of its platforms with every configured source."""
    ledger = Ledger(site.store.state)
    images = {name: load_images(site.store.blobs, descriptor) for name, descriptor in names}
    fleet = [image for upstream in ledger.upstreams() for image in load_images(site.store.blobs, upstream.descriptor)]
    wanted = {image.descriptor.digest: image for image in (*fleet, *(i for group in images.values() for i in group))}
    with site.progress.task("catalogue", len(wanted)) as task:
        bills = {}
        for digest, image in wanted.items():
            bills[digest] = _bill(site, image)
            task.advance(1)
    # The fleet as it came is asked about too, so that the feed that crosses knows what was mended.
    with site.sources(archive) as sources:
        feeds = tuple(source.feed(tuple(bills.values())) for source in sources)
    if not feeds:
        raise ConfigError(
            f"{site.root}: no advisory source is configured, so nothing can be scanned",
            "add one to sallyport.yaml, for example: advisories: [{kind: changelog}]",
        )
    _keep_feeds(site, feeds)
    results: list[Scanned] = []
    for name, descriptor in names:
        scans: list[Scan] = []
        for image in images[name]:
            digest = image.descriptor.digest
            found = scan_bill(bills[digest], feeds, now=site.clock.now(), side="outside")
            if ledger.put_scan(found):
                site.store.state.append(
                    "scanned",
                    f"{name}@{digest}",
                    {
                        "platform": str(found.platform),
                        "packages": str(found.packages),
                        "vulnerabilities": str(len(found.vulnerabilities)),
                    },
                )
            scans.append(found)
        results.append(Scanned(name, descriptor, tuple(scans)))
    return tuple(results)


def _keep_feeds(site: Site, feeds: tuple[Feed, ...]) -> None:
    """The advisories as one blob, for the inside to scan with."""
    raw = export_feed(feeds)
    digest = Digest.of(raw)
    site.store.blobs.put(digest, len(raw), [raw])
    as_of = min(feed.as_of for feed in feeds)
    Ledger(site.store.state).put_feed(FeedFile(Blob(digest, len(raw)), ", ".join(f.source for f in feeds), as_of))


def _plan_patch(site: Site, archive: Archive, image: Image) -> PatchPlan | None:
    from sallyport.patch import plan_patch

    ledger = Ledger(site.store.state)
    bill, found = ledger.bill(image.descriptor.digest), ledger.scan(image.descriptor.digest)
    if bill is None or found is None or not any(package.kind == "deb" for package in bill.packages):
        return None
    everything = site.config.outside.patch == "everything"
    return plan_patch(image, bill, found, archive, everything=everything, blobs=site.store.blobs)


def _patch_one(site: Site, archive: Archive, upstream: Upstream, image: Image) -> Patched | None:
    """Patch one image; the same image and plan were patched once already, and give the same digest."""
    from sallyport.patch import patch as apply

    plan_ = _plan_patch(site, archive, image)
    if plan_ is None:
        return None
    known = next((c for c in Ledger(site.store.state).candidates() if c.upstream.name == upstream.name), None)
    for before in known.patched if known is not None else ():
        if (
            before.plan == plan_
            and site.store.blobs.has(before.after.digest)
            and site.store.blobs.has(before.layer.digest)
        ):
            return before
    return apply(image, plan_, archive, site.store.blobs, progress=site.progress)


def _patch_detail(candidate: Candidate) -> dict[str, str]:
    names = sorted({f"{u.new.name} {u.new.version}" for p in candidate.patched for u in p.plan.upgrades})
    closes = {cve for p in candidate.patched for u in p.plan.upgrades for cve in u.closes}
    return {
        "upstream": candidate.upstream.reference,
        "packages": ", ".join(names)[:2000],
        "closes": str(len(closes)),
    }


def _judge(site: Site, repository: str, images: Sequence[Image], scans: Sequence[Scan]) -> Verdict:
    if len(scans) != len(images) or not images:
        return Undecided(("not every platform of the image was scanned",))
    return judge(scans, site.config.policy.policy(), repository=repository, now=site.clock.now())


def _record_verdict(site: Site, name: str, verdict: Verdict) -> None:
    detail = {"verdict": type(verdict).__name__.lower(), "because": "; ".join(verdict.because)[:2000]}
    site.store.state.append("judged", name, detail)


def _hold(site: Site, repository: str, descriptor: Descriptor) -> None:
    """Make the manifests below ``descriptor`` readable through ``repository``."""
    for found, manifest in walk(site.store.blobs, descriptor):
        subject = None if manifest.subject is None else manifest.subject.digest
        site.store.state.hold(repository, found, subject=subject)


def _next_tag(site: Site, upstream: Upstream) -> str:
    """``<upstream-tag>-<yyyymmdd>.<n>``, the first that is free."""
    stem = f"{upstream.tag[:110]}-{site.clock.now():%Y%m%d}"
    number = 1
    while site.store.state.tag(upstream.repository, f"{stem}.{number}") is not None:
        number += 1
    return f"{stem}.{number}"


def _sign(site: Site, repository: str, tag: str, descriptor: Descriptor) -> tuple[Attached, ...]:
    """Signatures in both forms on the index and on each image, and a scan statement on each image."""
    from sallyport.sign import attach, attest_scan, sign_image

    ledger = Ledger(site.store.state)
    release_key, scan_key = site.keys.signer(Purpose.RELEASE), site.keys.signer(Purpose.SCAN)
    reference = f"{site.config.registry_name}/{repository}:{tag}"
    attached: list[Attached] = []
    images = {image.descriptor.digest: image.descriptor for image in load_images(site.store.blobs, descriptor)}
    for subject in {descriptor.digest: descriptor, **images}.values():
        artifacts = list(sign_image(subject, reference=reference, signer=release_key))
        found = ledger.scan(subject.digest)
        if found is not None:
            artifacts.append(attest_scan(subject, found, signer=scan_key))
        for artifact in artifacts:
            where = attach(site.store, repository, artifact)
            attached.append(Attached(where, subject.digest, artifact.tag))
    return tuple(attached)
