"""The inside door: prove a bundle whole, judge it again, let in what passed, and say what was done.

1. metadata: strict, canonical, signed by those whom the trusted root names
2. position: newer than the high-water mark, or the bundle whose import was broken off
3. destination: ours
4. statement: the signed one, and it agrees with itself and with the layout's files
5. folder: the named files and nothing else
6. required blobs: all in our store
7. quarantine: every byte read once, proven, and kept apart from the store
8. images: whole; layers, contents and configs are what they are said to be
9. signatures: by the release key that the approvers signed
10. scan: our own; what came with the bundle does not count
11. verdict: by our own policy; without a scan undecided, and undecided never crosses
12. import: the mark is raised first, then blobs, manifests, attachments, and the tag last
13. receipt: signed; then the import counts as complete

Steps 1 to 7 refuse the bundle as a whole, 8 to 11 one image. Until 12 nothing of the store has changed; a kill
after that is gone on from by receiving the same bundle again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from sallyport.advisories import Feed, read_feed
from sallyport.bundle import (
    MissingRequiredError,
    OpenedBundle,
    Released,
    TrustStore,
    check_files,
    open_sealed,
    verify_metadata,
)
from sallyport.engine import Clock, Executor, Inline, Progress, Silent, SystemClock, render_time
from sallyport.errors import DamagedError, SallyportError, UntrustedError
from sallyport.gate import Passed, Refused, Undecided, Verdict
from sallyport.match import Scan
from sallyport.oci import Descriptor, Digest, Image
from sallyport.receive.admit import admit, conflict
from sallyport.receive.examine import Layers, check_signature, first_fault, images_of, needs, prove_layers
from sallyport.receive.interface import FeedReader, Judge, Scanner
from sallyport.receive.model import Outcome, Received, Step
from sallyport.receive.quarantine import Beside, Quarantine, opened_quarantine
from sallyport.receive.receipt import keep_receipt, make_receipt
from sallyport.sign import Signer
from sallyport.store import Store

SIDE = "inside"
SKEW = timedelta(days=1)  # clocks may differ so much before it is worth a word
ENDS_SOON = timedelta(days=14)


def receive(
    folder: Path,
    store: Store,
    trust: TrustStore,
    *,
    scan: Scanner,
    judge: Judge,
    signer: Signer,
    registry: str | None,
    record: Callable[[Received], None] = lambda _: None,
    read_feeds: FeedReader = read_feed,
    clock: Clock = SystemClock(),  # noqa: B008 - an immutable value
    executor: Executor = Inline(),  # noqa: B008 - an immutable value
    progress: Progress = Silent(),  # noqa: B008 - an immutable value
    wait_s: float = 10.0,
) -> Received:
    """Receive the bundle in ``folder``, which is only read, into ``store``.

    ``signer`` signs the receipt. ``registry`` is the name under which the release signatures must name their
    images; None accepts any. ``wait_s`` is how many seconds to wait for somebody else who writes.

    Raises:
        the errors of :mod:`sallyport.bundle`, each its own for each way in which a bundle can be wrong;
        MissingRequiredError: the bundle builds on blobs that are not here;
        DiskFullError: there is no room for it; LockedError: another bundle is being received.
    """
    with store.lease(timeout_s=wait_s), opened_quarantine(store, timeout_s=wait_s) as quarantine:
        crossing = _Crossing(folder, store, trust, quarantine, clock, executor, progress)
        opened = crossing.prove()
        cases = crossing.examine(opened, registry)
        crossing.scan(opened, cases, scan, read_feeds)
        crossing.judge(cases, judge)
        crossing.admit(opened, cases)
        return crossing.finish(opened, cases, signer, record)


@dataclass
class _Case:
    """One image on its way through steps 8 to 12; a verdict that stands is not overruled."""

    released: Released
    needs: tuple[Descriptor, ...] = ()
    images: tuple[Image, ...] = ()
    scans: tuple[Scan, ...] = ()
    verdict: Verdict | None = None


@dataclass
class _Crossing:
    folder: Path
    store: Store
    trust: TrustStore
    quarantine: Quarantine
    clock: Clock
    executor: Executor
    progress: Progress
    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.blobs = Beside(self.quarantine.blobs, self.store.blobs)
        self.layers = Layers(self.store.state, self.quarantine)

    # --- 1 to 7: the bundle -------------------------------------------------------------------

    def prove(self) -> OpenedBundle:
        with self._step(1, "metadata"):
            sealed = verify_metadata(self.folder, self.trust.anchor)
            # Kept at once: keys that the holders of the root have withdrawn must not wait for a whole bundle.
            self.trust.renew(sealed.roots)
        with self._step(2, "position"):
            self.trust.check(sealed.position, sealed.statement)
        with self._step(4, "statement"):  # and 3: both compare what is signed with what is trusted
            opened = open_sealed(sealed)
            self._look_at_clocks(opened)
        with self._step(5, "folder"):
            check_files(opened)
        with self._step(6, "required blobs"):
            self._check_required(opened)
        with self._step(7, "quarantine") as count:
            count.append(self._quarantine(opened))
        return opened

    def _look_at_clocks(self, opened: OpenedBundle) -> None:
        now, created, ends = self.clock.now(), opened.contents.created, opened.sealed.ends
        if created > now + SKEW:
            self.notes.append(
                f"the clocks differ: the bundle was made at {render_time(created)}, and here it is {render_time(now)}"
            )
        if ends <= now:
            self.notes.append(
                f"by this machine's clock the bundle's signatures ended at {render_time(ends)}; "
                "no signed source says so, and so it is not refused"
            )
        elif ends <= now + ENDS_SOON:
            self.notes.append(f"the bundle's signatures end at {render_time(ends)}: ask the outside for a new one soon")

    def _check_required(self, opened: OpenedBundle) -> None:
        lacking = [
            blob.digest
            for blob in opened.contents.requires
            if not self.store.blobs.has(blob.digest) or self.store.blobs.size(blob.digest) != blob.size
        ]
        if lacking:
            named = ", ".join(str(digest) for digest in lacking[:5])
            more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""  # noqa: PLR2004 - as many as are named
            raise MissingRequiredError(
                f"{opened.name} builds on {len(lacking)} blobs that are not here: {named}{more}",
                "carry the newest receipt of this side to the outside and bundle again; without one it carries all",
            )

    def _quarantine(self, opened: OpenedBundle) -> int:
        carries = opened.contents.carries
        total = sum(blob.size for blob in carries)
        there = self.quarantine.keep_only(carries)
        known = {blob.digest for blob in carries if self.store.blobs.has(blob.digest)}
        self.quarantine.check_room(total - there - sum(blob.size for blob in carries if blob.digest in known))
        with self.progress.task(f"read {opened.name}", total) as task:
            for blob in carries:
                # What is here already is read too: every byte of the medium is proven, every time.
                if blob.digest in known or self.quarantine.blobs.has(blob.digest):
                    for chunk in opened.blobs.proven(blob.digest):
                        task.advance(len(chunk))
                else:
                    self.quarantine.take(blob.digest, opened.blobs, task)
        return total

    # --- 8 to 11: each image ------------------------------------------------------------------

    def examine(self, opened: OpenedBundle, registry: str | None) -> list[_Case]:
        cases = [_Case(released) for released in opened.contents.released]
        with self._step(8, "images") as count:
            for case in cases:
                with _refusing(case):
                    case.needs = needs(case.released, self.blobs)
                    case.images = images_of(case.released, self.blobs)
            images = [image for case in _open(cases) for image in case.images]
            wrong, read = prove_layers(images, self.blobs, self.layers, self.executor)
            count.append(read)
            for case in _open(cases):
                fault = first_fault(case.images, wrong)
                if fault is not None:
                    case.verdict = _refused(fault)
        with self._step(9, "signatures"):
            for case in _open(cases):
                with _refusing(case):
                    check_signature(case.released, self.blobs, opened.contents.keys, registry=registry)
        return cases

    def scan(self, opened: OpenedBundle, cases: Sequence[_Case], scan: Scanner, read_feeds: FeedReader) -> None:
        with self._step(10, "scan"):
            feeds = self._feeds(opened, read_feeds)

            def one(case: _Case) -> None:
                with _refusing(case):
                    case.scans = tuple(scan(case.released, self.blobs, feeds))

            for _ in self.executor.map(one, _open(cases)):
                pass

    def _feeds(self, opened: OpenedBundle, read_feeds: FeedReader) -> tuple[Feed, ...]:
        feeds: list[Feed] = []
        for feed in opened.contents.feeds:
            digest, size = feed.blob.digest, feed.blob.size
            path = self.quarantine.path(digest) or self.quarantine.bring(self.store.blobs, digest, size)
            if path is not None:
                feeds.extend(read_feeds(path))
        return tuple(feeds)

    def judge(self, cases: Sequence[_Case], judge: Judge) -> None:
        with self._step(11, "verdict"):
            for case in _open(cases):
                gap = _unscanned(case)
                taken = conflict(case.released, self.store)
                if gap:
                    case.verdict = Undecided((gap,))
                elif taken:
                    case.verdict = Refused((taken,))
                else:
                    case.verdict = judge(case.released, case.scans)

    # --- 12, 13: the store --------------------------------------------------------------------

    def admit(self, opened: OpenedBundle, cases: Sequence[_Case]) -> None:
        with self._step(12, "import"):
            self.trust.begin(opened.sealed.position, opened.sealed.statement)
            for case in cases:
                if isinstance(case.verdict, Passed):
                    self.progress.say(f"import {case.released.repository}:{case.released.tag}")
                    self.notes += admit(case.released, case.needs, self.quarantine, self.blobs, self.store)
            for feed in opened.contents.feeds:
                self.quarantine.move_to(self.store.blobs, feed.blob.digest, feed.blob.size)
            self.layers.keep(image for case in cases if isinstance(case.verdict, Passed) for image in case.images)

    def finish(
        self,
        opened: OpenedBundle,
        cases: Sequence[_Case],
        signer: Signer,
        record: Callable[[Received], None],
    ) -> Received:
        position, statement = opened.sealed.position, opened.sealed.statement
        carried = {blob.digest: blob.size for blob in opened.contents.carries}
        outcomes = tuple(_outcome(case, carried) for case in cases)
        with self._step(13, "receipt"):
            now = self.clock.now()
            receipt = make_receipt(
                self.store,
                destination=opened.contents.destination,
                position=position,
                now=now,
                refused=[f"{o.released.name}: {'; '.join(o.verdict.because)}" for o in outcomes if not o.imported],
            )
            path = keep_receipt(self.store, receipt, signer)
            feeds, notes = opened.contents.feeds, tuple(self.notes)
            received = Received(opened.name, position, outcomes, feeds, tuple(self.steps), notes, receipt, path)
            # Receipt and record first: a kill in between makes them anew, and never leaves an import without them.
            record(received)
            self.trust.finish(position, statement, signed_at=opened.contents.created, now=now)
            self.quarantine.clear()
        return replace(received, steps=tuple(self.steps))

    @contextmanager
    def _step(self, number: int, name: str) -> Iterator[list[int]]:
        self.progress.say(f"{number}. {name}")
        started = time.monotonic()
        count: list[int] = []
        yield count
        self.steps.append(Step(number, name, time.monotonic() - started, sum(count)))


def _open(cases: Sequence[_Case]) -> list[_Case]:
    return [case for case in cases if case.verdict is None]


@contextmanager
def _refusing(case: _Case) -> Iterator[None]:
    """What is wrong with one image refuses that image; a full disk or a missing program stops everything."""
    try:
        yield
    except (DamagedError, UntrustedError) as error:
        case.verdict = _refused(error)


def _refused(error: SallyportError) -> Refused:
    return Refused((f"{type(error).__name__.removesuffix('Error')}: {error.message}",))


def _unscanned(case: _Case) -> str:
    """Why the scans do not cover the image; empty where they do."""
    own = {found.image for found in case.scans if found.side == SIDE}
    if not own:
        return "the inside has made no scan of it; what came with the bundle does not count"
    missing = [str(image.config.platform) for image in case.images if image.descriptor.digest not in own]
    return f"the inside has made no scan for {', '.join(missing)}" if missing else ""


def _outcome(case: _Case, carried: dict[Digest, int]) -> Outcome:
    size = sum(carried.get(descriptor.digest, 0) for descriptor in case.needs)
    verdict = case.verdict or Undecided(("nothing was said about it",))
    return Outcome(case.released, verdict, case.scans, size)
