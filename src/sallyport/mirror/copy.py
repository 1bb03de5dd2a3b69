"""Upstream -> store. A tag whose image is here, whole, costs one HEAD; a broken copy goes on where it broke.

The order makes a stop harmless at any point: blobs, then manifests from the leaves up, then what the
repository holds, then the tag, then the note of what upstream's tag named.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sallyport.engine import Executor, Progress, Silent, Task, Threads
from sallyport.errors import DamagedError, NotFoundError, SallyportError, TruncatedError, UnreachableError, UsageError
from sallyport.mirror.attachments import attached
from sallyport.mirror.model import Mirrored, Planned, Selector
from sallyport.mirror.select import is_literal, select_tags
from sallyport.mirror.upstream import Tree, Upstream, grow
from sallyport.oci import Descriptor, Digest, Index, Reference, decode, encode, is_manifest, walk
from sallyport.registry import FOREIGN, RegistryClient
from sallyport.store import Store

Clients = Callable[[str], RegistryClient]
_SILENT = Silent()
_FOUR = Threads(4)
_FACT = "mirrored"
_TRIES = 4  # in a row without a new byte
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Known:
    """What upstream's tag named when it was last copied, and what stands here for it."""

    upstream: Digest
    descriptor: Descriptor
    platforms: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Job:
    selector: Selector
    tag: str
    upstream: Upstream

    @property
    def reference(self) -> Reference:
        return Reference(self.selector.source.registry, self.selector.source.repository, self.tag)

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


def plan_mirror(
    clients: Clients, selectors: Sequence[Selector], store: Store, *, executor: Executor = _FOUR
) -> tuple[Planned, ...]:
    """What ``mirror`` would do now; nothing is changed.

    Raises:
        NotFoundError, DeniedError, UnreachableError, DamagedError: of the first tag that cannot be had.
        UsageError: two selectors put different images under one name.
    """
    jobs, failures = _jobs(clients, selectors)
    if failures:
        raise failures[0]
    looks = _succeeded(executor.map(lambda job: _tried(_look, job, store), jobs))
    return tuple(
        Planned(
            look.job.reference,
            look.job.selector.repository,
            look.job.tag,
            look.upstream,
            look.descriptor,
            look.tree is not None,
            _missing_bytes(look.tree, store) if look.tree else 0,
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
) -> tuple[Mirrored, ...]:
    """Copy what the selectors mean today, with all that is said about it.

    One tag that fails does not lose the others: they are copied and kept, then the first failure is raised.

    Raises:
        NotFoundError, DeniedError, UnreachableError, DamagedError, StorageError: of a tag that failed.
        UsageError: two selectors put different images under one name.
        LockedError: garbage collection is at work.
    """
    with store.lease():
        jobs, failures = _jobs(clients, selectors)
        tried = [*executor.map(lambda job: _tried(_look, job, store), jobs)]
        failures += [look for look in tried if isinstance(look, SallyportError)]
        looks = [look for look in tried if isinstance(look, _Look)]
        wanted = _wanted(looks, store)
        with progress.task("mirror", sum(blob.size for blob, _ in wanted)) as task:
            copied = [*executor.map(lambda item: _tried(_copy, *item, store, task), wanted)]
        lost = {item[0].digest: error for item, error in zip(wanted, copied, strict=True) if error is not None}
        done: list[Mirrored] = []
        for look in looks:
            needs = look.tree.blobs if look.tree is not None else ()
            broken = next((lost[blob.digest] for blob in needs if blob.digest in lost), None)
            outcome = broken or _tried(_keep, look, store)
            if isinstance(outcome, Mirrored):
                done.append(outcome)
            else:
                failures.append(outcome)
    if failures:
        raise failures[0]
    return tuple(done)


def _jobs(clients: Clients, selectors: Sequence[Selector]) -> tuple[list[_Job], list[SallyportError]]:
    jobs: dict[tuple[str, str], _Job] = {}
    failures: list[SallyportError] = []
    for selector in selectors:
        client = clients(selector.source.registry)
        found = _tried(_tags, client, selector)
        if isinstance(found, SallyportError):
            failures.append(found)
            continue
        tags, requests = found
        for tag in tags:
            job = _Job(selector, tag, Upstream(client, selector.source.repository))
            same = jobs.setdefault((selector.repository, tag), job)
            if (same.reference, same.platforms) != (job.reference, job.platforms):
                raise UsageError(
                    f"{selector.repository}:{tag} would be both {same.reference} and {job.reference}",
                    "send one of them to another repository (to:)",
                )
            same.upstream.count(requests=requests)
            requests = 0
    return list(jobs.values()), failures


def _tags(client: RegistryClient, selector: Selector) -> tuple[tuple[str, ...], int]:
    """Each selected tag once, and the requests that finding them took; literal ones are not looked for."""
    literal = [pattern for pattern in selector.tags if is_literal(pattern)]
    if len(literal) == len(selector.tags):
        return tuple(dict.fromkeys(literal)), 0
    # A literal tag that is not there is an error and not an empty match.
    found = select_tags(selector.tags, [*literal, *client.tags(selector.source.repository)])
    if not found:
        raise NotFoundError(
            f"no tag of {selector.source} is meant by {', '.join(selector.tags)[:200]}",
            "correct the patterns, or take them out of the selection",
        )
    return found, 1


def _look(job: _Job, store: Store) -> _Look:
    head = job.upstream.head(job.tag)
    if head is None:
        raise NotFoundError(f"{job.reference} is not there", "check the name, or take it out of the selection")
    known = _known(store, job)
    if known is not None and known.upstream == head.digest and known.platforms == job.platforms:
        tag = store.state.tag(job.selector.repository, job.tag)
        if (
            tag is not None
            and tag.descriptor.digest == known.descriptor.digest
            and _whole(store, job, known.descriptor)
        ):
            return _Look(job, head, known.descriptor, None, {})
    tree = grow(job.upstream, head, job.selector.platforms, store.blobs, job.reference)
    tree, cosign = attached(job.upstream, tree, store.blobs)
    return _Look(job, head, tree.descriptor, tree, cosign)


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


def _missing_bytes(tree: Tree, store: Store) -> int:
    documents = sum(len(piece.document.raw) for piece in tree.pieces if not store.blobs.has(piece.descriptor.digest))
    return documents + sum(blob.size for blob in tree.blobs if not store.blobs.has(blob.digest))


def _wanted(looks: Sequence[_Look], store: Store) -> list[tuple[Descriptor, Upstream]]:
    """Each missing blob once, largest first, so that the last worker is not left with the longest copy."""
    wanted: dict[Digest, tuple[Descriptor, Upstream]] = {}
    for look in looks:
        for blob in look.tree.blobs if look.tree else ():
            if not store.blobs.has(blob.digest):
                wanted.setdefault(blob.digest, (blob, look.job.upstream))
    return sorted(wanted.values(), key=lambda item: -item[0].size)


def _copy(blob: Descriptor, upstream: Upstream, store: Store, task: Task) -> None:
    """One blob, through broken lines, as long as bytes arrive."""
    failures = 0
    while True:
        arrived = 0

        def fetch(offset: int) -> Iterator[bytes]:
            nonlocal arrived
            for chunk in upstream.blob(blob.digest, offset=offset):
                arrived += len(chunk)
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


def _keep(look: _Look, store: Store) -> Mirrored:
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
        known = Known(look.upstream.digest, tree.descriptor, job.platforms)
        store.state.put_fact(_FACT, job.key, encode(known))
    return Mirrored(
        job.reference, repository, job.tag, look.descriptor, job.upstream.bytes, job.upstream.requests, changed
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
