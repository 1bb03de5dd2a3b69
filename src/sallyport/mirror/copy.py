"""Upstream -> store. A tag whose image is here, whole, costs one HEAD; a broken copy goes on where it broke.

The order makes a stop harmless at any point: blobs, then manifests from the leaves up, then what the
repository holds, then the tag, then the note of what upstream's tag named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sallyport.engine import Executor, Progress, Silent, Task, Threads
from sallyport.errors import (
    DamagedError,
    NotFoundError,
    RefusedError,
    SallyportError,
    TruncatedError,
    UnreachableError,
    UsageError,
)
from sallyport.mirror.addresses import split_address
from sallyport.mirror.attachments import attached
from sallyport.mirror.interface import Source
from sallyport.mirror.model import Mirrored, Planned, Selector
from sallyport.mirror.open_source import open_files
from sallyport.mirror.require import check_required
from sallyport.mirror.select import digest_tag, is_literal, is_pattern, newest, select_tags
from sallyport.mirror.upstream import Said, Tree, Upstream, grow
from sallyport.mirror.vouching import attachments_here, attachments_in, keep_manifests
from sallyport.oci import Descriptor, Digest, Index, Reference, decode, encode, is_manifest, walk
from sallyport.registry import FOREIGN
from sallyport.store import Store

if TYPE_CHECKING:
    from sallyport.vouch import Check, Vouched

Clients = Callable[[str], Source]
Failed = Callable[[str, SallyportError], None]
"""Takes ``repository:tag`` of ours, or the source whose tags cannot be listed, and what went wrong."""
_SILENT = Silent()
_FOUR = Threads(4)
_FACT = "mirrored"
_TRIES = 4  # in a row without a new byte
_PAUSE_S = 0.5
_SIGNATURE_DAYS = 3  # within which the first signature under a tag is noticed
_CHILD_DAYS = 7  # within which a statement about one image of an index is noticed
_LARGE = 8 * 1024 * 1024  # bytes of a blob


@dataclass(frozen=True, slots=True)
class Known:
    """What upstream's tag named when it was last copied, and what stands here for it."""

    upstream: Digest
    descriptor: Descriptor
    platforms: tuple[str, ...]
    said: tuple[Digest, ...] = ()  # the referrers of what the tag named
    cosign: tuple[tuple[str, Digest], ...] = ()  # cosign's tags about it, and what they named


@dataclass(frozen=True, slots=True)
class _Job:
    selector: Selector
    tag: str
    upstream: Upstream

    @property
    def reference(self) -> Reference:
        return Reference(self.selector.source.registry, self.selector.source.repository, self.tag)

    @property
    def name(self) -> str:
        """Where it goes: ``repository:tag``."""
        return f"{self.selector.repository}:{self.tag}"

    @property
    def key(self) -> str:
        return f"{self.reference} {self.selector.repository}:{self.tag}"

    @property
    def platforms(self) -> tuple[str, ...]:
        return tuple(sorted(str(platform) for platform in self.selector.platforms))


@dataclass(frozen=True, slots=True)
class _Look:
    """What a tag is made of; no tree where it is here already."""

    job: _Job
    upstream: Descriptor
    descriptor: Descriptor
    tree: Tree | None
    cosign: dict[str, Descriptor]
    said: tuple[Digest, ...] = ()


def plan_mirror(
    clients: Clients, selectors: Sequence[Selector], store: Store, *, executor: Executor = _FOUR
) -> tuple[Planned, ...]:
    """What ``mirror`` would do now; nothing is changed.

    Raises:
        NotFoundError, DeniedError, UnreachableError, DamagedError: of the first tag that cannot be had.
        UsageError: two selectors put different images under one name.
    """
    with ExitStack() as stack:
        jobs, failures = _jobs(clients, selectors, store, stack)
        if failures:
            raise failures[0][1]
        looks = [*_succeeded(executor.map(lambda job: _tried(_look, job, store), jobs))]
    counted: set[Digest] = set()
    return tuple(
        Planned(
            look.job.reference,
            look.job.selector.repository,
            look.job.tag,
            look.upstream,
            look.descriptor,
            look.tree is not None,
            _missing_bytes(look.tree, store, counted) if look.tree else 0,
            look.job.upstream.requests,
        )
        for look in looks
    )


def mirror(
    clients: Clients,
    selectors: Sequence[Selector],
    store: Store,
    *,
    executor: Executor = _FOUR,
    progress: Progress = _SILENT,
    check: Check | None = None,
    failed: Failed | None = None,
) -> tuple[Mirrored, ...]:
    """Copy what the selectors mean today, with all that is said about it.

    ``check`` says who vouches for an image, of those that are here already, too; its layers come only then.
    One tag that fails does not lose the others: they are copied and kept, then the first failure is raised.
    With ``failed`` none is raised: it is told of each.

    Raises:
        NotFoundError, DeniedError, UnreachableError, DamagedError, StorageError: of a tag that failed.
        UntrustedError: nobody vouches for an image.
        UsageError: two selectors put different images under one name.
        LockedError: garbage collection is at work.
    """
    with store.lease(), ExitStack() as stack:
        jobs, failures = _jobs(clients, selectors, store, stack)
        tried = [*executor.map(lambda job: _tried(_look, job, store), jobs)]
        failures += [
            (job.name, look) for job, look in zip(jobs, tried, strict=True) if isinstance(look, SallyportError)
        ]
        looks = [look for look in tried if isinstance(look, _Look)]
        vouched: dict[str, Vouched] = {}
        if check is not None:
            answers = [*executor.map(lambda look: _tried(_vouch, look, store, check), looks)]
            failures += [
                (look.job.name, answer)
                for look, answer in zip(looks, answers, strict=True)
                if isinstance(answer, SallyportError)
            ]
            vouched = {
                look.job.key: answer
                for look, answer in zip(looks, answers, strict=True)
                if not isinstance(answer, SallyportError)
            }
            looks = [look for look in looks if look.job.key in vouched]
        wanted = _wanted(looks, store)
        with progress.task("mirror", sum(blob.size for blob, _ in wanted)) as task:
            copied = [*executor.map(lambda item: _tried(_copy, *item, store, task, progress), wanted)]
        lost = {item[0].digest: error for item, error in zip(wanted, copied, strict=True) if error is not None}
        done: list[Mirrored] = []
        for look in looks:
            needs = look.tree.blobs if look.tree is not None else ()
            broken = next((lost[blob.digest] for blob in needs if blob.digest in lost), None)
            outcome = broken or _tried(_keep, look, store, vouched.get(look.job.key))
            if isinstance(outcome, Mirrored):
                done.append(outcome)
            else:
                failures.append((look.job.name, outcome))
    for name, error in failures:
        if failed is None:
            raise error
        failed(name, error)
    return tuple(done)


def _jobs(
    clients: Clients, selectors: Sequence[Selector], store: Store, stack: ExitStack
) -> tuple[list[_Job], list[tuple[str, SallyportError]]]:
    jobs: dict[tuple[str, str], _Job] = {}
    failures: list[tuple[str, SallyportError]] = []

    def open_one(selector: Selector) -> Source:
        scheme, path = split_address(selector.files)
        if not scheme:
            return clients(selector.source.registry)
        return stack.enter_context(open_files(scheme, Path(path), store.root / "partial"))

    for selector in selectors:
        client = _tried(open_one, selector)
        if isinstance(client, SallyportError):
            failures.append((selector.files or str(selector.source), client))
            continue
        found = _tried(_tags, client, selector)
        if isinstance(found, SallyportError):
            failures.append((selector.files or str(selector.source), found))
            continue
        tags, requests = found
        said: Said = {}
        for tag in tags:
            job = _Job(selector, tag, Upstream(client, selector.source.repository, said))
            same = jobs.setdefault((selector.repository, tag), job)
            if (same.reference, same.platforms) != (job.reference, job.platforms):
                raise UsageError(
                    f"{selector.repository}:{tag} would be both {same.reference} and {job.reference}",
                    "send one of them to another repository (to:)",
                )
            same.upstream.count(requests=requests)
            requests = 0
    return list(jobs.values()), failures


def _tags(client: Source, selector: Selector) -> tuple[tuple[str, ...], int]:
    """Each selected tag once, and the requests that finding them took; literal ones are not looked for."""
    # An image that is known by its digest alone gets a tag here that says so, as no registry lists what has none.
    digests = [digest_tag(digest) for digest in selector.digests]
    unwanted = [f"!{pattern}" for pattern in selector.deny if ":" not in pattern or is_pattern(pattern)]
    literal = [pattern for pattern in selector.tags if is_literal(pattern)]
    if len(literal) == len(selector.tags):
        named = select_tags([*literal, *unwanted], literal) if unwanted else tuple(dict.fromkeys(literal))
        return (*named, *digests), 0
    # A literal tag that is not there is an error and not an empty match.
    listed = [*literal, *client.tags(selector.source.repository)]
    found = select_tags([*selector.tags, *unwanted], listed)
    if selector.newest:
        found = newest(found, selector.newest)
    if digests:
        return (*found, *digests), 1
    if not found:
        raise NotFoundError(
            f"no tag of {selector.source} is meant by {', '.join(selector.tags)[:200]}",
            "correct the patterns, or take them out of the selection",
        )
    return found, 1


def _look(job: _Job, store: Store) -> _Look:
    known = _here(store, job)
    if known is not None and select_tags(job.selector.immutable, [job.tag]):
        return _Look(job, known.descriptor, known.descriptor, None, {})  # upstream has promised not to move it
    name = next((str(digest) for digest in job.selector.digests if digest_tag(digest) == job.tag), job.tag)
    head = job.upstream.head(name)
    if head is None:
        raise NotFoundError(f"{job.reference} is not there", "check the name, or take it out of the selection")
    if str(head.digest) in job.selector.deny:
        raise RefusedError(f"{job.reference} is {head.digest}, which deny: names", "take the tag out of the selection")
    if known is not None and known.upstream == head.digest and not _said_more(job, head, known, store):
        return _Look(job, head, known.descriptor, None, {})
    tree = grow(job.upstream, head, job.selector.platforms, store.blobs, job.reference)
    cosign: dict[str, Descriptor] = {}
    if job.selector.attachments:
        tree, cosign = attached(job.upstream, tree, store.blobs, job.reference)
    check_required(job.selector.require, tree, cosign, job.reference)
    said = tuple(sorted(piece.descriptor.digest for piece in tree.pieces if piece.subject == head.digest))
    return _Look(job, head, tree.descriptor, tree, cosign, said)


def _here(store: Store, job: _Job) -> Known | None:
    """What was mirrored for this tag, if it is whole and still what the tag means."""
    known = _known(store, job)
    if known is None or known.platforms != job.platforms:
        return None
    tag = store.state.tag(job.selector.repository, job.tag)
    if tag is None or tag.descriptor.digest != known.descriptor.digest or not _whole(store, job, known.descriptor):
        return None
    return known


def _said_more(job: _Job, head: Descriptor, known: Known, store: Store) -> bool:
    """Whether anything was attached, or cosign's tags were moved, since: a signature may come after its image.

    The image's referrers and the cosign tags that it has are looked at each time. What would cost a request for
    nothing nearly always is looked at in turns, for each image on a day of its own: whether it has got its first
    cosign signature, and the referrers of the images that its index names.
    """
    if not job.selector.attachments:
        return False
    listed = {item.digest for item in job.upstream.referrers(head.digest) if is_manifest(item)}
    if listed - set(known.said):
        return True
    for name, digest in known.cosign:
        now = job.upstream.head(name)
        if now is not None and now.digest != digest:
            return True
    first = f"{head.digest.algorithm}-{head.digest.hex}.sig"
    if first not in dict(known.cosign) and _turn(head.digest, _SIGNATURE_DAYS) and job.upstream.head(first):
        return True
    for child, _ in walk(store.blobs, known.descriptor):
        if child.digest != known.descriptor.digest and _turn(child.digest, _CHILD_DAYS):
            held = {one.descriptor.digest for one in store.state.referrers(job.selector.repository, child.digest)}
            if {item.digest for item in job.upstream.referrers(child.digest) if is_manifest(item)} - held:
                return True
    return False


def _turn(digest: Digest, days: int) -> bool:
    """Whether today is the image's day among so many."""
    return int(digest.hex[:8], 16) % days == _today() % days


def _today() -> int:
    return int(time.time() // 86_400)


def _known(store: Store, job: _Job) -> Known | None:
    raw = store.state.fact(_FACT, job.key)
    if raw is None:
        return None
    try:
        return decode(raw, Known, what="what was mirrored")
    except DamagedError:
        return None  # written by another version: the copy is looked at anew


def _whole(store: Store, job: _Job, descriptor: Descriptor) -> bool:
    """Whether everything below is here, held by our repository, in its stated size."""
    try:
        for current, document in walk(store.blobs, descriptor):
            if store.state.held(job.selector.repository, current.digest) is None:
                return False
            below = document.manifests if isinstance(document, Index) else document.blobs
            for blob in below:
                if is_manifest(blob) or (blob.media_type in FOREIGN and not store.blobs.has(blob.digest)):
                    continue
                if store.blobs.size(blob.digest) != blob.size:
                    return False
    except DamagedError:
        return False
    return True


def _missing_bytes(tree: Tree, store: Store, counted: set[Digest]) -> int:
    """What has to be fetched for it and is not fetched for a tag before it; what is seen goes into ``counted``."""
    sizes = {piece.descriptor.digest: len(piece.document.raw) for piece in tree.pieces}
    sizes |= {blob.digest: blob.size for blob in tree.blobs}
    new = {digest: size for digest, size in sizes.items() if digest not in counted and not store.blobs.has(digest)}
    counted |= set(new)
    return sum(new.values())


def _wanted(looks: Sequence[_Look], store: Store) -> list[tuple[Descriptor, Upstream]]:
    """Each missing blob once, largest first, so that the last worker is not left with the longest copy."""
    wanted: dict[Digest, tuple[Descriptor, Upstream]] = {}
    for look in looks:
        for blob in look.tree.blobs if look.tree else ():
            if not store.blobs.has(blob.digest):
                wanted.setdefault(blob.digest, (blob, look.job.upstream))
    return sorted(wanted.values(), key=lambda item: -item[0].size)


def _copy(blob: Descriptor, upstream: Upstream, store: Store, total: Task, progress: Progress) -> None:
    """One blob, with a line of its own on the terminal where it is large enough to be waited for."""
    shown = progress if blob.size >= _LARGE else _SILENT
    with shown.task(f"{upstream.repository} {blob.digest.short}", blob.size) as task:
        _fetch(blob, upstream, store, (total, task))


def _fetch(blob: Descriptor, upstream: Upstream, store: Store, tasks: Sequence[Task]) -> None:
    """Through broken lines, as long as bytes arrive."""
    failures = 0
    while True:
        arrived = 0

        def fetch(offset: int) -> Iterator[bytes]:
            nonlocal arrived
            for chunk in upstream.blob(blob.digest, offset=offset):
                arrived += len(chunk)
                for task in tasks:
                    task.advance(len(chunk))
                yield chunk

        try:
            store.blobs.resume(blob.digest, blob.size, fetch)
        except NotFoundError:
            if blob.media_type not in FOREIGN:
                raise
            return  # its maker forbids handing it on; it stays where it is
        except (UnreachableError, TruncatedError):
            failures = 1 if arrived else failures + 1
            if failures >= _TRIES:
                raise
            time.sleep(_PAUSE_S * failures)
        else:
            return


def _vouch(look: _Look, store: Store, check: Check) -> Vouched:
    job, tree = look.job, look.tree
    if tree is None:
        # The rules may have changed since it came.
        known = _known(store, job)
        upstream = known.upstream if known is not None else look.upstream.digest
        image, attachments = attachments_here(store, job.selector.repository, upstream, look.upstream)
        return check(job.reference, image, attachments)
    attachments = attachments_in(tree, look.cosign, look.upstream.digest)
    with _SILENT.task("signatures") as task:
        for blob in keep_manifests(tree, attachments, store):
            _copy(blob, job.upstream, store, task, _SILENT)
    return check(job.reference, look.upstream, attachments)


def _keep(look: _Look, store: Store, vouched: Vouched | None) -> Mirrored:
    job, tree = look.job, look.tree
    repository = job.selector.repository
    changed = False
    if tree is not None:
        for piece in tree.pieces:
            store.blobs.put(piece.descriptor.digest, len(piece.document.raw), (piece.document.raw,))
        for piece in tree.pieces:
            store.state.hold(repository, piece.descriptor, subject=piece.subject)
        for name, descriptor in look.cosign.items():
            store.state.set_tag(repository, name, descriptor)
        changed = store.state.set_tag(repository, job.tag, tree.descriptor)
        tags = tuple(sorted((name, descriptor.digest) for name, descriptor in look.cosign.items()))
        known = Known(look.upstream.digest, tree.descriptor, job.platforms, look.said, tags)
        store.state.put_fact(_FACT, job.key, encode(known))
    return Mirrored(
        job.reference, repository, job.tag, look.descriptor, job.upstream.bytes, job.upstream.requests, changed, vouched
    )


def _tried(work: Callable[..., object], *arguments: object) -> Any:
    """The result, or the error as a value: an executor would stop the others."""
    try:
        return work(*arguments)
    except SallyportError as error:
        return error


def _succeeded(looks: Iterator[_Look | SallyportError]) -> Iterator[_Look]:
    for look in looks:
        if isinstance(look, SallyportError):
            raise look
        yield look
