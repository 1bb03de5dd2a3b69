"""Takes a site and a value -> gives one step's result; the journey itself is in pipeline.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sallyport.advisories import Feed, export_feed
from sallyport.archives import Archive
from sallyport.bundle import (
    Attached,
    Blob,
    BundlePlan,
    FeedFile,
    Receipt,
    Released,
    Written,
    parse_bundle_name,
)
from sallyport.catalog import Bill, catalogue
from sallyport.errors import ConfigError, DamagedError, RefusedError
from sallyport.gate import Passed, Refused, Undecided, Verdict, judge
from sallyport.ledger import Candidate, Ledger, Sealed, Upstream
from sallyport.match import Known, Scan
from sallyport.match import scan as scan_bill
from sallyport.mirror import Mirrored
from sallyport.oci import BlobReader, Descriptor, Digest, Image, Listing, load_images, walk
from sallyport.patch import Patched, PatchPlan
from sallyport.receive import Received
from sallyport.sign import Purpose
from sallyport.site import Site


@dataclass(frozen=True, slots=True)
class Scanned:
    """A tag with the scans of its platforms."""

    name: str
    descriptor: Descriptor
    scans: tuple[Scan, ...]
    problems: tuple[str, ...] = ()  # why a platform could not be scanned

    @property
    def vulnerabilities(self) -> frozenset[str]:
        """Distinct identifiers over all platforms."""
        return frozenset[str]().union(*(scan.vulnerabilities for scan in self.scans))

    @property
    def fixable(self) -> int:
        """How many of them have a known fix."""
        return len({finding.id for scan in self.scans for finding in scan.findings if finding.fixable})


def _bill(site: Site, image: Image, cache: dict[Digest, Listing]) -> Bill:
    """The image's bill; an image never changes, so it is catalogued once. ``cache``: layers that images share."""
    ledger = Ledger(site.store.state)
    bill = ledger.bill(image.descriptor.digest)
    if bill is None:
        bill = catalogue(image, site.store.blobs, cache=cache)
        ledger.put_bill(bill)
    return bill


def scan_images(site: Site, archive: Archive, names: Sequence[tuple[str, Descriptor]]) -> tuple[Scanned, ...]:
    """Scan each named image for each of its platforms with every configured source."""
    ledger = Ledger(site.store.state)
    images = {name: load_images(site.store.blobs, descriptor) for name, descriptor in names}
    fleet = [image for upstream in ledger.upstreams() for image in load_images(site.store.blobs, upstream.descriptor)]
    wanted = {image.descriptor.digest: image for image in (*fleet, *(i for group in images.values() for i in group))}
    bills: dict[Digest, Bill] = {}
    layers: dict[Digest, Listing] = {}
    with site.progress.task("catalogue", len(wanted)) as task:
        for digest, image in wanted.items():
            try:
                bills[digest] = _bill(site, image, layers)
                ledger.put_problem(digest, "")
            except DamagedError as error:
                # Without a bill there is no scan, and without a scan no verdict: it cannot cross, others can.
                ledger.put_problem(digest, error.message)
                site.progress.say(f"{digest.short} cannot be catalogued: {error.message}; {error.mend}")
            task.advance(1)
    # The fleet as it came is asked about too, so that the feed that crosses knows what was mended.
    with site.sources(archive) as sources:
        feeds = tuple(source.feed(tuple(bills.values())) for source in sources)
    if not feeds:
        raise ConfigError(
            f"{site.root}: no advisory source is configured, so nothing can be scanned",
            "add one to sallyport.yaml, for example: advisories: [{kind: changelog}]",
        )
    for problem in (problem for feed in feeds for problem in feed.problems):
        site.progress.say(f"note: {problem}")
    _keep_feeds(site, feeds)
    known = Known(feeds)
    results: list[Scanned] = []
    for name, descriptor in names:
        scans: list[Scan] = []
        for image in images[name]:
            digest = image.descriptor.digest
            if digest not in bills:
                continue
            found = scan_bill(bills[digest], known, now=site.clock.now(), side="outside")
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
        problems = (ledger.problem(image.descriptor.digest) for image in images[name])
        results.append(Scanned(name, descriptor, tuple(scans), tuple(problem for problem in problems if problem)))
    return tuple(results)


def _keep_feeds(site: Site, feeds: tuple[Feed, ...]) -> None:
    """The advisories as one blob, for the inside to scan with."""
    raw = export_feed(feeds)
    digest = Digest.of(raw)
    site.store.blobs.put(digest, len(raw), [raw])
    as_of = min(feed.as_of for feed in feeds)
    Ledger(site.store.state).put_feed(FeedFile(Blob(digest, len(raw)), ", ".join(f.source for f in feeds), as_of))


def plan_for(site: Site, archive: Archive, image: Image) -> PatchPlan | None:
    from sallyport.patch import plan_patch

    ledger = Ledger(site.store.state)
    bill, found = ledger.bill(image.descriptor.digest), ledger.scan(image.descriptor.digest)
    if bill is None or found is None or not any(package.kind == "deb" for package in bill.packages):
        return None
    codenames = {release.codename.partition("-")[0] for release in archive.releases}
    if bill.distribution is not None and bill.distribution.codename not in ("", *codenames):
        # Newer, and of another release: an upgrade of the whole distribution is no patch.
        archives = ", ".join(sorted(codenames))
        raise RefusedError(
            f"{image.descriptor.digest.short} is {bill.distribution.codename}, the archive is {archives}",
            "set outside.archive.suite to the image's release, or give such images a configuration of their own",
        )
    everything = site.config.outside.patch == "everything"
    return plan_patch(image, bill, found, archive, everything=everything, blobs=site.store.blobs)


def patch_image(site: Site, archive: Archive, upstream: Upstream, image: Image) -> Patched | None:
    """Patch one image; the same image and plan were patched once already, and give the same digest."""
    from sallyport.patch import patch as apply

    plan_ = plan_for(site, archive, image)
    if plan_ is None:
        return None
    known = Ledger(site.store.state).candidate(upstream)
    for before in known.patched if known is not None else ():
        blobs = site.store.blobs
        if before.plan == plan_ and blobs.has(before.after.digest) and blobs.has(before.layer.digest):
            return before
    return apply(
        image,
        plan_,
        archive,
        site.store.blobs,
        progress=site.progress,
        executor=site.executor,
        base_name=upstream.reference,
    )


def patch_candidate(site: Site, archive: Archive, upstream: Upstream) -> Candidate:
    """The index of ``upstream`` with its images patched, or as it came, with the reason why."""
    from sallyport.patch import patch_index

    try:
        images = load_images(site.store.blobs, upstream.descriptor)
        done = tuple(p for image in images if (p := patch_image(site, archive, upstream, image)) is not None)
    except RefusedError as error:
        site.progress.say(f"{upstream.name} stays as it is: {error.message}; {error.mend}")
        return Candidate(upstream, upstream.descriptor, (), error.message)
    replaced = {p.before.digest: p.after for p in done if p.before.digest != p.after.digest}
    if not replaced:
        return Candidate(upstream, upstream.descriptor, done)
    descriptor = patch_index(site.store.blobs, upstream.descriptor, replaced, base_name=upstream.reference)
    hold(site, upstream.repository, descriptor)
    return Candidate(upstream, descriptor, done)


def patch_detail(candidate: Candidate) -> dict[str, str]:
    names = sorted({f"{u.new.name} {u.new.version}" for p in candidate.patched for u in p.plan.upgrades})
    closes = {cve for p in candidate.patched for u in p.plan.upgrades for cve in u.closes}
    return {
        "upstream": candidate.upstream.reference,
        "packages": ", ".join(names)[:2000],
        "closes": str(len(closes)),
    }


def judge_image(site: Site, repository: str, descriptor: Descriptor, problem: str = "") -> Verdict:
    """What the policy says of the newest scans of an image; ``problem`` is why it could not be patched."""
    ledger = Ledger(site.store.state)
    images = load_images(site.store.blobs, descriptor)
    scans = [found for image in images if (found := ledger.scan(image.descriptor.digest)) is not None]
    if len(scans) != len(images) or not images:
        problems = (ledger.problem(image.descriptor.digest) for image in images)
        return Undecided(("not every platform of the image was scanned", *filter(None, problems)))
    policy = site.config.policy.policy()
    verdict = judge(scans, policy, repository=repository, now=site.clock.now(), side="outside")
    if isinstance(verdict, Passed) or not problem:
        return verdict
    return type(verdict)((*verdict.because, f"it could not be patched: {problem}"))


def record_verdict(site: Site, name: str, verdict: Verdict) -> None:
    detail = {"verdict": type(verdict).__name__.lower(), "because": "; ".join(verdict.because)[:2000]}
    site.store.state.append("judged", name, detail)


def hold(site: Site, repository: str, descriptor: Descriptor) -> None:
    """Make the manifests below ``descriptor`` readable through ``repository``."""
    for found, manifest in walk(site.store.blobs, descriptor):
        subject = None if manifest.subject is None else manifest.subject.digest
        site.store.state.hold(repository, found, subject=subject)


def next_tag(site: Site, upstream: Upstream) -> str:
    """``<upstream-tag>-<yyyymmdd>.<n>``, the first that is free."""
    stem = f"{stem_of(upstream)}-{site.clock.now():%Y%m%d}"
    number = 1
    while site.store.state.tag(upstream.repository, f"{stem}.{number}") is not None:
        number += 1
    return f"{stem}.{number}"


def sign_release(site: Site, repository: str, tag: str, descriptor: Descriptor) -> tuple[Attached, ...]:
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


def stem_of(upstream: Upstream) -> str:
    """What the immutable tags of its releases begin with; a tag has at most 128 signs."""
    return upstream.tag[:110]


def line_of(tag: str) -> str:
    """The upstream tag that a release follows: ``12-slim`` of ``12-slim-20261124.1``."""
    return tag.rpartition("-")[0]


def with_attached(site: Site, released: Released) -> Released:
    """The release with what is attached to it now: signatures under further names are merged into older ones."""
    from sallyport.sign import attached

    images = load_images(site.store.blobs, released.descriptor)
    subjects = dict.fromkeys((released.descriptor.digest, *(image.descriptor.digest for image in images)))
    found = tuple(
        Attached(one.descriptor, subject, one.tag)
        for subject in subjects
        for one in attached(site.store, released.repository, subject)
    )
    return replace(released, attached=found)


def newest_releases(ledger: Ledger) -> tuple[Released, ...]:
    """The newest release of each upstream tag of each repository; tags carry their date and number."""
    newest: dict[tuple[str, str], Released] = {}
    for released in ledger.releases():
        key = (released.repository, line_of(released.tag))
        known = newest.get(key)
        if known is None or _stamp(known) < _stamp(released):
            newest[key] = released
    return tuple(newest.values())


def _stamp(released: Released) -> tuple[int, int]:
    day, _, number = released.tag.rpartition("-")[2].partition(".")
    return (int(day), int(number)) if day.isdecimal() and number.isdecimal() else (0, 0)


def channel_of(released: Released, channel: str, releases: Sequence[Released]) -> str:
    """What the channel is called: ``stable``, or ``12-slim-stable`` in a repository that follows several tags."""
    lines = {line_of(other.tag) for other in releases if other.repository == released.repository}
    return channel if len(lines) == 1 else f"{line_of(released.tag)}-{channel}"


def may_move(site: Site, released: Released, channel: str, *, named: bool, newest: bool) -> bool:
    """Whether the channel may move there: who names an older release rolls back, and a run respects that.

    The channel is held until somebody names the newest release.
    """
    ledger = Ledger(site.store.state)
    if not named:
        return not ledger.held(released.repository, channel)
    ledger.put_held(released.repository, channel, "" if newest else released.tag)
    return True


def remember_bundle(site: Site, written: Written) -> None:
    """What the newest bundle brings, so that it is not written twice while it waits on the medium."""
    names = tuple(sorted(released.name for released in written.contents.released))
    Ledger(site.store.state).put_sealed(written.contents.destination, Sealed(written.name, names))


def waiting_bundle(site: Site, medium: Path, plan: BundlePlan, receipt: Receipt | None) -> str:
    """The newest bundle, where it still lies on the medium, was not received, and brings just what is planned."""
    sealed = Ledger(site.store.state).sealed(site.config.destination)
    parsed = None if sealed is None else parse_bundle_name(sealed.name)
    if sealed is None or parsed is None or plan.empty:
        return ""
    received = receipt is not None and receipt.position >= parsed[1]
    same = sealed.released == tuple(sorted(released.name for released in plan.released))
    return sealed.name if same and not received and (medium / sealed.name).is_dir() else ""


def scan_inside(site: Site, released: Released, blobs: BlobReader, feeds: tuple[Feed, ...]) -> tuple[Scan, ...]:
    """The inside's own scan of a release in quarantine: its own catalogue, against feeds that crossed or are here."""
    with site.sources(None) as sources:
        images = load_images(blobs, released.descriptor)
        layers: dict[Digest, Listing] = {}
        bills = tuple(catalogue(image, blobs, cache=layers) for image in images)
        own = tuple(source.feed(bills) for source in sources)
    return tuple(scan_bill(bill, (*feeds, *own), now=site.clock.now(), side="inside") for bill in bills)


def record_received(site: Site, received: Received) -> None:
    """Write a crossing to the ledger and the journal, and sign what was imported with our own admission key."""
    from sallyport.sign import attach, sign_image

    ledger, state = Ledger(site.store.state), site.store.state
    signer = site.keys.signer(Purpose.ADMISSION)
    for outcome in received.outcomes:
        released = outcome.released
        for found in outcome.scans:
            ledger.put_scan(found)
        if ledger.put_verdict(released.repository, released.descriptor.digest, outcome.verdict):
            record_verdict(site, released.name, outcome.verdict)
        if outcome.imported:
            reference = f"{site.config.registry_name}/{released.repository}:{released.tag}"
            images = load_images(site.store.blobs, released.descriptor)
            subjects = {d.digest: d for d in (released.descriptor, *(image.descriptor for image in images))}
            for subject in subjects.values():
                for artifact in sign_image(subject, reference=reference, signer=signer):
                    attach(site.store, released.repository, artifact)
            if ledger.put_release(released):
                state.append("imported", released.name, {"bundle": received.name, "upstream": released.upstream})
    if received.feeds:
        ledger.put_feed(received.feeds[-1])
    ledger.put_receipt(received.receipt)
    for note in received.notes:
        state.append("noted", received.name, {"note": note})
    state.append(
        "received",
        received.name,
        {
            "imported": str(sum(outcome.imported for outcome in received.outcomes)),
            "refused": str(sum(not outcome.imported for outcome in received.outcomes)),
            "bytes": str(received.bytes),
        },
    )


def due_times(site: Site) -> Iterator[datetime]:
    """When ``schedule`` says to run, from now on.

    Raises:
        ConfigError: there is none, or it is no cron expression.
    """
    from cronsim import CronSim, CronSimError

    expression = site.config.schedule
    if not expression:
        raise ConfigError("no schedule is configured", 'add one to sallyport.yaml, for example: schedule: "0 3 * * *"')
    try:
        yield from CronSim(expression, site.clock.now())
    except CronSimError as error:
        raise ConfigError(
            f"{expression!r} is no cron expression", "write it like 0 3 * * * (minute hour day month weekday)"
        ) from error


# --- what a step did, in a few words ----------------------------------------------------------


def tell_mirrored(mirrored: Sequence[Mirrored]) -> str:
    changed = [one for one in mirrored if one.changed]
    if not changed:
        return f"nothing new in {_count(len(mirrored), 'tag')}"
    return f"{len(changed)} of {_count(len(mirrored), 'tag')} new, {_size(sum(one.bytes for one in changed))}"


def tell_scanned(scanned: Sequence[Scanned]) -> str:
    found = frozenset[str]().union(*(one.vulnerabilities for one in scanned))
    return f"{_count(len(found), 'known vulnerability', 'known vulnerabilities')} in {_count(len(scanned), 'image')}"


def tell_patched(candidates: Sequence[Candidate]) -> str:
    closes = {cve for c in candidates for p in c.patched for u in p.plan.upgrades for cve in u.closes}
    changed = sum(candidate.changed for candidate in candidates)
    return f"{_count(changed, 'image')} patched, {_count(len(closes), 'vulnerability', 'vulnerabilities')} closed"


def tell_verdicts(verdicts: Sequence[Verdict]) -> str:
    passed = sum(isinstance(verdict, Passed) for verdict in verdicts)
    refused = sum(isinstance(verdict, Refused) for verdict in verdicts)
    return f"{passed} passed, {refused} refused, {len(verdicts) - passed - refused} undecided"


def tell_new(count: int, what: str) -> str:
    return f"{_count(count, f'new {what}')}" if count else f"no new {what}"


def tell_received(received: Sequence[Received]) -> str:
    if not received:
        return "no new bundle on the medium"
    outcomes = [outcome for one in received for outcome in one.outcomes]
    read = _size(sum(one.bytes for one in received))
    return f"{sum(o.imported for o in outcomes)} of {_count(len(outcomes), 'image')} imported, {read} read"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _size(count: int) -> str:
    return f"{count / 1024 / 1024:.1f} MiB"
