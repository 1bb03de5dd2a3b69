"""Removes what nothing needs: mark from the roots, then sweep; the writers' lock is held throughout."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeAlias

from sallyport.engine import sweep
from sallyport.errors import DamagedError, MissingBlobError, StorageError
from sallyport.oci import Descriptor, Digest
from sallyport.store.interface import Aging, Sweeping
from sallyport.store.manifests import guess, reach
from sallyport.store.model import Collected, Held, LetGo
from sallyport.store.retain import Retention
from sallyport.store.store import Store

GRACE_S = 3600.0
"""A blob this young may belong to an image whose manifest is still on its way through the registry."""
LEFTOVERS_S = 7 * 86400.0
"""A broken copy this old is not gone on with any more."""

Lost: TypeAlias = frozenset[tuple[str, str]]


def collect_garbage(
    store: Store,
    *,
    roots: Iterable[Digest] = (),
    dry_run: bool = False,
    untagged: bool = False,
    within: Callable[[str], bool] = lambda _: True,
    retention: Callable[[], Retention] | None = None,
    grace_s: float = GRACE_S,
    leftovers_s: float = LEFTOVERS_S,
    timeout_s: float = 10.0,
) -> Collected:
    """Remove every blob that neither a tag, nor a held manifest, nor ``roots`` reach.

    The tags of the plan that ``retention`` makes, asked while no writer is at work, go first, each into the journal.
    With ``untagged``, manifests in repositories ``within`` that no tag of theirs and no root reaches are let go next,
    and with them the signatures and attestations about them. Blobs younger than ``grace_s`` seconds stay.

    Raises:
        LockedError: a writer is at work.
        StorageError: a held manifest is missing or damaged, so that what it needs cannot be known.
    """
    # Held throughout: between marking and sweeping a writer could come to need what was not marked.
    with store.lock(timeout_s=timeout_s):
        before = time.time() - grace_s
        tags = retention().going if retention is not None else ()
        lost = frozenset((one.repository, one.tag) for one in tags)
        try:
            bare = [guess(store.blobs, digest) for digest in roots]
            kept, gone = _sort(store, lost, bare, before, within if untagged else None)
            marked = _mark(store, lost, kept, bare)
        except DamagedError as error:
            raise _unknowable(error) from error
        unused = sorted(digest for digest in store.blobs.digests() if digest not in marked)
        doomed = [digest for digest in unused if not _younger(store, digest, before)]
        if dry_run:
            removed = sum(store.blobs.size(digest) for digest in doomed)
        else:
            for one in tags:
                _let_go(store, one)
            # The fact before the bytes: a stop in between leaves garbage, never a manifest without its layers.
            for held in gone:
                store.state.unhold(held.repository, held.descriptor.digest)
            removed = sum(store.blobs.delete(digest) for digest in doomed)
        swept = store.blobs.sweep(older_than_s=leftovers_s, dry_run=dry_run) if isinstance(store.blobs, Sweeping) else 0
        if not dry_run:
            swept += sweep(store.root)
        return Collected(tuple(doomed), removed, swept, len(gone), len(unused) - len(doomed), dry_run, tags)


def _let_go(store: Store, tag: LetGo) -> None:
    # The journal first: a stop in between lets the next run say it again, and never loses it.
    store.state.append("expired", tag.name, {"rule": tag.rule, "reason": tag.reason})
    store.state.delete_tag(tag.repository, tag.tag)


def _tagged(store: Store, repository: str, lost: Lost) -> list[Descriptor]:
    return [tag.descriptor for tag in store.state.tags(repository) if (repository, tag.name) not in lost]


def _mark(store: Store, lost: Lost, kept: Iterable[Held], roots: Iterable[Descriptor]) -> frozenset[Digest]:
    start = [held.descriptor for held in kept]
    for repository in store.state.repositories():
        start += _tagged(store, repository, lost)
    marked = set(reach(store.blobs, [*start, *roots]))
    for digest in [root.digest for root in roots]:
        # What is about a root stays with it, in whatever repository it is held.
        for place in store.state.held_everywhere(digest):
            about = store.state.referrers(place.repository, digest)
            marked |= reach(store.blobs, [held.descriptor for held in about])
    return frozenset(marked)


def _sort(
    store: Store, lost: Lost, roots: list[Descriptor], before: float, within: Callable[[str], bool] | None
) -> tuple[list[Held], list[Held]]:
    """Held manifests that stay, and those that go; none goes where ``within`` is None."""
    every = store.state.manifests()
    missing = [held for held in every if not store.blobs.has(held.descriptor.digest)]
    if missing:
        raise MissingBlobError(f"{missing[0].repository}@{missing[0].descriptor.digest} is held, but not there", "")
    if within is None:
        return every, []
    rooted = reach(store.blobs, roots)
    kept: list[Held] = []
    gone: list[Held] = []
    for repository in sorted({held.repository for held in every}):
        ours = [held for held in every if held.repository == repository]
        if not within(repository):
            kept += ours
            continue
        # A young one may be part of an index that is still on its way.
        young = [h.descriptor for h in ours if _younger(store, h.descriptor.digest, before)]
        live = rooted | reach(store.blobs, [*_tagged(store, repository, lost), *young])
        # A referrer lives as long as its subject; a referrer of a referrer needs another round.
        while more := [h for h in ours if h.subject in live and h.descriptor.digest not in live]:
            live |= reach(store.blobs, [held.descriptor for held in more])
        kept += [held for held in ours if held.descriptor.digest in live]
        gone += [held for held in ours if held.descriptor.digest not in live]
    return kept, gone


def _younger(store: Store, digest: Digest, before: float) -> bool:
    return isinstance(store.blobs, Aging) and store.blobs.changed_at(digest) > before


def _unknowable(error: DamagedError) -> StorageError:
    return StorageError(
        f"nothing was removed, because the store is damaged: {error.message}",
        "run 'sallyport verify --store', mirror or receive what it names again, then collect garbage",
    )
