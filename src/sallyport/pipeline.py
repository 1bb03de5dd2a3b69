"""The journey in one readable file.

Every step takes a :class:`Site`, calls one room, writes what happened to the journal, and returns values.
A step that finds its work done already says so and changes nothing, so every step may be run again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from sallyport import founding, steps, upstreams
from sallyport.audit import Report, write_report
from sallyport.bundle import (
    Anchor,
    BundlePlan,
    Position,
    Receipt,
    Released,
    Signers,
    TrustedKey,
    TrustStore,
    Written,
    newest_receipt,
    next_position,
    plan_bundle,
    read_roots,
    verify_bundle,
    write_bundle,
)
from sallyport.errors import (
    ConfigError,
    DamagedError,
    RefusedError,
    SallyportError,
    StorageError,
    UntrustedError,
    UsageError,
)
from sallyport.gate import Passed, Verdict, judge
from sallyport.gitops import Pinned, PinTo, init_repository, pin
from sallyport.ledger import Candidate, Ledger, Upstream
from sallyport.mirror import Mirrored, Planned
from sallyport.oci import Reference, load_images, reachable
from sallyport.patch import PatchPlan
from sallyport.promote import Promotion
from sallyport.receive import Received
from sallyport.sign import FileSigner, Purpose
from sallyport.site import PASSPHRASE, Site
from sallyport.steps import Scanned
from sallyport.store import Problem, verify_store
from sallyport.transport import open_transport
from sallyport.upstreams import Failure

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mirroring:
    """What was mirrored, and which sources failed."""

    mirrored: tuple[Mirrored, ...]
    failures: tuple[Failure, ...]


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


@dataclass(frozen=True, slots=True)
class BundleOutcome:
    """What was carried, or would be."""

    plan: BundlePlan
    written: Written | None  # None: a dry run, or nothing to carry
    since: Position | None  # of the receipt that it builds on
    ignored: tuple[str, ...]  # receipts that do not count, and why
    waiting: str = ""  # the bundle on the medium that brings just this already

    @property
    def carried(self) -> int:
        """Bytes of all files of the bundle."""
        return 0 if self.written is None else self.written.bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run."""

    name: str
    seconds: float
    summary: str


@dataclass(frozen=True, slots=True)
class Run:
    """One side's pipeline, once."""

    side: str
    steps: tuple[Step, ...]
    refused: tuple[str, ...]  # images that did not pass, and why
    carried: int  # bytes written to the medium outside, read from it inside
    notes: tuple[str, ...] = ()  # what is odd, and stopped nothing
    images: tuple[tuple[str, int], ...] = ()  # inside: repository:tag@digest, and the bytes carried for it


# --- outside: 1 to 8 --------------------------------------------------------------------------


def plan(site: Site) -> tuple[tuple[Planned, ...], tuple[tuple[str, PatchPlan], ...]]:
    """What ``mirror`` and ``patch`` would do; nothing is changed."""
    from sallyport.mirror import plan_mirror

    site.must_be("outside", "plan")
    with site.clients() as client_for:
        planned = plan_mirror(client_for, upstreams.selectors(site), site.store)
    ledger = Ledger(site.store.state)
    patches: list[tuple[str, PatchPlan]] = []
    if ledger.upstreams():
        with site.archive() as archive:
            for upstream in ledger.upstreams():
                try:
                    plans = [
                        steps.plan_for(site, archive, i) for i in load_images(site.store.blobs, upstream.descriptor)
                    ]
                except RefusedError as error:
                    site.progress.say(f"{upstream.name} cannot be patched: {error.message}")
                    continue
                patches += [(upstream.name, found) for found in plans if found is not None]
    return planned, tuple(patches)


def mirror(site: Site) -> Mirroring:
    """1. Upstream -> store. A source that fails holds up no other."""
    site.must_be("outside", "mirror")
    ledger = Ledger(site.store.state)
    results, failures = upstreams.mirror_all(site)
    for result in results:
        reference = f"{result.reference.registry}/{result.reference.repository}:{result.reference.tag}"
        upstream = Upstream(result.repository, result.tag, f"{reference}@{result.descriptor.digest}", result.descriptor)
        ledger.put_upstream(upstream)
        if result.changed:
            word = result.vouched
            detail = {
                "as": upstream.name,
                "bytes": str(result.bytes),
                "vouched": "" if word is None else f"{word.rule}: {', '.join(word.signers)}"[:2000],
            }
            site.store.state.append("mirrored", upstream.reference, detail)
    # What nobody vouches for any more, or may not come any more, goes no further, however it came here before.
    for failure in failures:
        if failure.exit_code in (RefusedError.exit_code, UntrustedError.exit_code) and ledger.forget_upstream(
            failure.image
        ):
            site.store.state.append("dropped", failure.image, {"because": failure.message[:2000]})
    if not failures:
        for name in ledger.keep_upstreams({f"{result.repository}:{result.tag}" for result in results}):
            site.store.state.append("dropped", name, {"because": "nothing selects it any more"})
    return Mirroring(results, failures)


def scan(site: Site) -> tuple[Scanned, ...]:
    """2 to 4. Store -> bills -> findings, for every mirrored tag."""
    site.must_be("outside", "scan")
    with site.archive() as archive:
        return steps.scan_images(site, archive, [(u.name, u.descriptor) for u in Ledger(site.store.state).upstreams()])


def patch(site: Site) -> tuple[Candidate, ...]:
    """5. Findings -> patched images, scanned again to prove it. What cannot be patched does not hold up the others."""
    site.must_be("outside", "patch")
    ledger = Ledger(site.store.state)
    candidates: list[Candidate] = []
    # The lease keeps the collector out until everything that was made is held.
    with site.store.lease(), site.archive() as archive:
        for upstream in ledger.upstreams():
            candidate = steps.patch_candidate(site, archive, upstream)
            if ledger.put_candidate(candidate) and candidate.changed:
                site.store.state.append(
                    "patched", f"{upstream.name}@{candidate.descriptor.digest}", steps.patch_detail(candidate)
                )
            candidates.append(candidate)
        again = [(c.upstream.name, c.descriptor) for c in candidates]
        again += [
            (r.name, r.descriptor) for r in steps.newest_releases(ledger) if (r.descriptor not in dict(again).values())
        ]
        steps.scan_images(site, archive, again)
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
        name = f"{candidate.upstream.name}@{candidate.descriptor.digest}"
        verdict = steps.judge_image(site, candidate.upstream.repository, candidate.descriptor, candidate.problem)
        if ledger.put_verdict(candidate.upstream.repository, candidate.descriptor.digest, verdict):
            steps.record_verdict(site, name, verdict)
        judged.append(Judged(candidate, verdict))
    # What was released before is judged again: a release that would not pass today is not carried either.
    current = {(one.candidate.upstream.repository, one.candidate.descriptor.digest) for one in judged}
    for released in steps.newest_releases(ledger):
        if (released.repository, released.descriptor.digest) not in current:
            verdict = steps.judge_image(site, released.repository, released.descriptor)
            if ledger.put_verdict(released.repository, released.descriptor.digest, verdict):
                steps.record_verdict(site, released.name, verdict)
    return tuple(judged)


def release(site: Site) -> tuple[ReleaseOutcome, ...]:
    """7. Passed candidates -> immutable tag, signatures, scan statements.

    Raises:
        RefusedError: some cannot be signed (upstream has hung too much on them); all others are released first.
        UsageError: a key is missing.
    """
    site.must_be("outside", "release")
    for purpose in (Purpose.RELEASE, Purpose.SCAN):
        site.keys.signer(purpose)  # before anything is done, and so that it is not taken for an image's own fault
    ledger = Ledger(site.store.state)
    # By upstream tag, too: two tags may name one image, and each has releases of its own.
    before = {(r.repository, steps.line_of(r.tag), r.descriptor.digest): r for r in ledger.releases()}
    outcomes: list[ReleaseOutcome] = []
    failed: list[str] = []
    with site.store.lease():
        for candidate in ledger.candidates():
            upstream, descriptor = candidate.upstream, candidate.descriptor
            known = before.get((upstream.repository, steps.stem_of(upstream), descriptor.digest))
            if known is not None:
                outcomes.append(ReleaseOutcome(known, new=False))
            elif isinstance(ledger.verdict(upstream.repository, descriptor.digest), Passed):
                tag = steps.next_tag(site, upstream)
                try:
                    attached = steps.sign_release(site, upstream.repository, tag, descriptor)
                except (UsageError, DamagedError) as error:
                    failed.append(f"{upstream.name}: {error.message}; {error.mend}")
                    continue
                # The tag last: whoever sees it finds the signatures already there.
                site.store.state.set_tag(upstream.repository, tag, descriptor, immutable=True)
                released = Released(upstream.repository, tag, descriptor, upstream.reference, attached)
                ledger.put_release(released)
                site.store.state.append(
                    "released", f"{upstream.repository}:{tag}@{descriptor.digest}", {"upstream": upstream.reference}
                )
                outcomes.append(ReleaseOutcome(released, new=True))
    if failed:
        raise RefusedError(
            f"not released: {'; '.join(failed)}", "everything else is released; mend those and run it again"
        )
    return tuple(outcomes)


def bundle(site: Site, *, dry_run: bool = False, full: bool = False) -> BundleOutcome:
    """8 and 9. Newest releases -> a signed bundle on the medium, without what the newest receipt lists."""
    site.must_be("outside", "bundle")
    ledger, medium = Ledger(site.store.state), open_transport(site.medium)
    receipt: Receipt | None = None
    wrong: tuple[SallyportError, ...] = ()
    if not full:
        receipt_key = site.path(site.config.outside.receipt_key)
        if receipt_key.is_file():
            key = founding.read_public(receipt_key)
            receipt, wrong = newest_receipt(medium.receipts(), key, destination=site.config.destination)
    feed = ledger.feed()
    plan_ = plan_bundle(
        [
            steps.with_attached(site, released)
            for released in steps.newest_releases(ledger)
            if isinstance(ledger.verdict(released.repository, released.descriptor.digest), Passed)
        ],
        lambda descriptor: reachable(site.store.blobs, descriptor),
        receipt,
        destination=site.config.destination,
        feeds=() if feed is None else (feed,),
        keys=tuple(TrustedKey(p.value, site.keys.public(p).pem) for p in (Purpose.RELEASE, Purpose.SCAN)),
    )
    written = None
    waiting = steps.waiting_bundle(site, medium.outgoing, plan_, receipt)
    if not plan_.empty and not dry_run and (full or not waiting):
        if not medium.outgoing.is_dir():
            raise UsageError(
                f"the medium {medium.outgoing} is not there", "mount it, or name another with medium: in sallyport.yaml"
            )
        waiting = ""
        with site.store.lease():
            written = write_bundle(
                plan_,
                site.store.blobs,
                medium.outgoing,
                position=next_position(site.store, site.config.destination),
                created=site.clock.now(),
                roots=read_roots(founding.roots_folder(site)),
                signers=_signers(site),
                progress=site.progress,
            )
        medium.deliver(written.folder)
        detail = {"releases": str(len(plan_.released)), "bytes": str(written.bytes), "left out": str(plan_.spared)}
        site.store.state.append("bundled", written.name, detail)
        steps.remember_bundle(site, written)
    since = None if receipt is None else receipt.position
    return BundleOutcome(plan_, written, since, tuple(error.message for error in wrong), waiting)


# --- inside: 10 to 14 -------------------------------------------------------------------------


def receive(site: Site, folder: Path | None = None) -> tuple[Received, ...]:
    """10. Bundles on the medium -> imported images, a receipt back."""
    from sallyport.receive import receive as cross

    site.must_be("inside", "receive")
    medium = open_transport(site.medium)
    trust = TrustStore.open(founding.trust_folder(site))
    waiting = [folder] if folder is not None else medium.waiting(trust.destination, after=trust.position)
    results: list[Received] = []
    failures: list[SallyportError] = []
    for path in waiting:
        try:
            received = cross(
                path,
                site.store,
                TrustStore.open(founding.trust_folder(site)),
                scan=lambda released, blobs, feeds: steps.scan_inside(site, released, blobs, feeds),
                judge=lambda released, scans: judge(
                    scans,
                    site.config.policy.policy(),
                    repository=released.repository,
                    now=site.clock.now(),
                    side="inside",
                ),
                signer=site.keys.signer(Purpose.RECEIPT),
                registry=site.config.registry_name,
                record=lambda received: steps.record_received(site, received),
                clock=site.clock,
                executor=site.executor,
                progress=site.progress,
            )
        except (DamagedError, UntrustedError) as error:
            # A newer bundle may be whole, and bring all that this one would have.
            failures.append(error)
            continue
        try:
            medium.put_receipt(received.receipt_file)
        except StorageError as error:
            # What was received is received; a write-protected medium must not make it look otherwise.
            note = (
                f"the receipt could not be written to the medium ({error.message}): carry {received.receipt_file} out"
            )
            site.store.state.append("noted", received.name, {"note": note})
            received = replace(received, notes=(*received.notes, note))
        results.append(received)
    if failures and not results:
        raise failures[0]
    notes = tuple(f"another bundle on the medium was refused: {error.message}; {error.mend}" for error in failures)
    return (*results[:-1], replace(results[-1], notes=(*results[-1].notes, *notes))) if results else ()


def promote(site: Site, *, image: str = "", channel: str = "") -> tuple[Promotion, ...]:
    """12. Newest imported releases -> the channel."""
    from sallyport.promote import promote as move

    channel = channel or site.config.inside.channel
    releases = Ledger(site.store.state).releases()
    if image:
        repository, _, tag = image.rpartition(":")
        wanted = [released for released in releases if (released.repository, released.tag) == (repository, tag)]
        if not wanted:
            raise UsageError(f"{image!r} is no release here", "name one as status shows it: library/web:12-20261124.1")
    else:
        wanted = list(steps.newest_releases(Ledger(site.store.state)))
    newest = steps.newest_releases(Ledger(site.store.state))
    results: list[Promotion] = []
    for released in wanted:
        name = steps.channel_of(released, channel, releases)
        if not steps.may_move(site, released, name, named=bool(image), newest=released in newest):
            continue
        promotion = move(site.store.state, released.repository, released.tag, channel=name)
        if promotion.moved:
            detail = {"channel": name, "digest": str(promotion.descriptor.digest)}
            site.store.state.append("promoted", f"{released.repository}:{released.tag}", detail)
        results.append(promotion)
    return tuple(results)


def gitops(site: Site) -> Pinned | None:
    """13. The channel -> digests pinned in Git."""
    site.must_be("inside", "gitops")
    section, channel = site.config.inside.gitops, site.config.inside.channel
    if section is None:
        raise ConfigError("no Git repository is configured", "add inside.gitops.repository to sallyport.yaml")
    repository = site.path(section.repository)
    if not repository.exists():
        init_repository(repository, {}, branch=section.branch, author=section.author, now=site.clock.now())
    pins: dict[str, PinTo] = {}
    releases = Ledger(site.store.state).releases()
    for released in releases:
        name = steps.channel_of(released, channel, releases)
        tag = site.store.state.tag(released.repository, name)
        if tag is not None and tag.descriptor.digest == released.descriptor.digest:
            image = f"{site.config.registry_name}/{released.repository}"
            line = "" if name == channel else f":{steps.line_of(released.tag)}"
            digest = released.descriptor.digest
            pins[image + line] = PinTo(Reference(site.config.registry_name, released.repository, released.tag, digest))
    message = (
        f"Roll out {channel}: {', '.join(sorted(f'{p.reference.repository}:{p.shown_tag}' for p in pins.values()))}"
    )
    pinned = pin(
        repository, branch=section.branch, pins=pins, message=message, author=section.author, now=site.clock.now()
    )
    if pinned is not None:
        site.store.state.append("pinned", pinned.commit, {"files": ", ".join(pinned.files)[:2000]})
    return pinned


def audit(site: Site, output: Path | None = None) -> tuple[Path, Report]:
    """14. Journal and facts -> the report.

    Raises:
        DamagedError: the journal's chain is broken; the report is written first, and says so.
    """
    path = output or site.path(site.config.inside.report)
    title = f"{site.config.destination}, {site.config.side}"
    report = write_report(site.store, path, title=title, now=site.clock.now())
    site.store.state.verify_journal()
    return path, report


# --- the whole side, once or on a schedule ----------------------------------------------------


def run(site: Site, *, schedule: bool = False) -> Iterator[Run]:
    """The whole side once, or whenever the configured cron expression says, until interrupted.

    Raises:
        ConfigError: a schedule is asked for and none, or a wrong one, is configured.
    """
    once = run_outside if site.config.side == "outside" else run_inside
    if not schedule:
        yield once(site)
        return
    for at in steps.due_times(site):
        site.progress.say(f"next run at {at:%Y-%m-%d %H:%M} UTC")
        time.sleep(max(0.0, (at - site.clock.now()).total_seconds()))
        try:
            yield once(site)
        except SallyportError as error:
            # Tomorrow the mirror may answer again.
            yield Run(site.config.side, (), (f"{type(error).__name__}: {error.message}; {error.mend}",), 0)


def run_outside(site: Site) -> Run:
    """1 to 9. What fails for one image is told at the end, and holds up no other."""
    if not (site.config.outside.mirror or site.config.outside.discover):
        raise ConfigError("nothing is selected to mirror", "add outside.mirror to sallyport.yaml")
    done = _Steps(site)
    mirrored = done("mirror", lambda: mirror(site), lambda value: steps.tell_mirrored(value.mirrored))
    done("scan", lambda: scan(site), steps.tell_scanned)
    done("patch", lambda: patch(site), steps.tell_patched)
    judged = done("gate", lambda: gate(site), lambda value: steps.tell_verdicts([j.verdict for j in value]))
    unsigned: list[str] = []

    def release_what_can_be() -> tuple[ReleaseOutcome, ...]:
        try:
            return release(site)
        except RefusedError as error:
            unsigned.append(error.message)
            return ()

    done("release", release_what_can_be, lambda value: steps.tell_new(sum(o.new for o in value), "release"))
    carried = done("bundle", lambda: bundle(site), _tell_bundle)
    refused = [f"{failure.what}: {failure.message}; {failure.mend}" for failure in mirrored.failures]
    refused += [
        f"{j.candidate.upstream.name}: {'; '.join(j.verdict.because)}"
        for j in judged
        if not isinstance(j.verdict, Passed)
    ]
    return Run("outside", tuple(done.steps), (*refused, *unsigned), carried.carried)


def run_inside(site: Site) -> Run:
    """10 to 14."""
    done = _Steps(site)
    received = done("receive", lambda: receive(site), steps.tell_received)
    done("promote", lambda: promote(site), lambda value: steps.tell_new(sum(p.moved for p in value), "channel move"))
    if site.config.inside.gitops is not None:
        done("gitops", lambda: gitops(site), lambda value: "nothing to commit" if value is None else value.commit[:12])
    done("audit", lambda: audit(site), lambda value: str(value[0].name))
    outcomes = [outcome for one in received for outcome in one.outcomes]
    refused = tuple(f"{o.released.name}: {'; '.join(o.verdict.because)}" for o in outcomes if not o.imported)
    carried_for = tuple((outcome.released.name, outcome.bytes) for outcome in outcomes)
    notes = tuple(f"{one.name}: {note}" for one in received for note in one.notes)
    return Run("inside", tuple(done.steps), refused, sum(one.bytes for one in received), notes, carried_for)


class _Steps:
    """Times each step and says what it did."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.steps: list[Step] = []

    def __call__(self, name: str, work: Callable[[], T], tell: Callable[[T], str]) -> T:
        started = time.monotonic()
        result = work()
        step = Step(name, time.monotonic() - started, tell(result))
        self.steps.append(step)
        self._site.progress.say(f"{name:8} {step.seconds:6.1f} s  {step.summary}")
        return result


# --- beside the journey -----------------------------------------------------------------------


def verify(site: Site, folder: Path | None = None) -> tuple[Problem, ...]:
    """Prove a bundle (against the root that this side trusts), or the store."""
    if folder is None:
        return verify_store(site.store, progress=site.progress)
    if site.config.side == "inside":
        anchor = TrustStore.open(founding.trust_folder(site)).anchor
    else:
        anchor = Anchor.of(read_roots(founding.roots_folder(site))[0])
    try:
        verify_bundle(folder, anchor, progress=site.progress)
    except DamagedError as error:
        return (Problem(folder.name, error.message, error.mend),)
    return ()


def _signers(site: Site) -> Signers:
    passphrase = os.environ.get(PASSPHRASE)
    approvers = tuple(FileSigner.load(site.path(path), passphrase) for path in site.config.outside.approvers)
    return Signers(approvers, site.keys.signer(Purpose.SNAPSHOT), site.keys.signer(Purpose.TIMESTAMP))


def _tell_bundle(outcome: BundleOutcome) -> str:
    if outcome.waiting:
        return f"{outcome.waiting} lies on the medium already, with just this: carry it across"
    if outcome.written is None:
        return "nothing to carry: the inside holds everything already"
    plan_ = outcome.plan
    return (
        f"{outcome.written.name}: {len(plan_.released)} releases, {outcome.carried / 1024 / 1024:.1f} MiB carried, "
        f"{plan_.spared / 1024 / 1024:.1f} MiB left out"
    )


def wait_for_interrupt() -> None:
    """Until Ctrl-C or a termination signal."""
    import signal
    import threading

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
