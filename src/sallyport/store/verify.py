"""Proves the store: every byte, every link, every line of the journal.

1. Every blob is hashed again.
2. Every tag and every held manifest is there and reads as what it was noted as.
3. Every config and layer that a held manifest needs is there, in its stated size.
4. The database itself is whole.
5. The journal's chain is whole.
6. No remains of broken copies are older than a week.
"""

from __future__ import annotations

from collections.abc import Iterator

from sallyport.engine import Progress, Silent
from sallyport.errors import DamagedError, SallyportError
from sallyport.oci import Descriptor, Digest, Manifest, verified
from sallyport.store.gc import LEFTOVERS_S
from sallyport.store.interface import Sweeping
from sallyport.store.manifests import read_manifest
from sallyport.store.model import Problem
from sallyport.store.store import Store

_AGAIN = "mirror or receive the image that needs it again"
_DISK = "check the disk (dmesg, smartctl); then mirror or receive the image that needs it again"


def verify_store(store: Store, *, progress: Progress = Silent()) -> tuple[Problem, ...]:  # noqa: B008 - an immutable value
    """Look at everything and change nothing; empty means whole."""
    problems = list(_blobs(store, progress))
    broken = {problem.subject for problem in problems}
    problems += _manifests(store, broken)
    problems += [
        Problem("the database", text, "restore state.db from a backup, or make the store anew")
        for text in store.state.damage()
    ]
    try:
        store.state.verify_journal()
    except DamagedError as error:
        problems.append(Problem("the journal", error.message, error.mend))
    if isinstance(store.blobs, Sweeping) and (left := store.blobs.sweep(older_than_s=LEFTOVERS_S, dry_run=True)):
        problems.append(Problem("partial", f"{left} bytes of broken copies are over a week old", "run 'sallyport gc'"))
    return tuple(problems)


def _blobs(store: Store, progress: Progress) -> Iterator[Problem]:
    """Step 1."""
    digests = sorted(store.blobs.digests())
    sizes = {digest: store.blobs.size(digest) for digest in digests}
    with progress.task("verify", sum(sizes.values())) as task:
        for digest in digests:
            try:
                for chunk in verified(store.blobs.chunks(digest), digest, sizes[digest]):
                    task.advance(len(chunk))
            except SallyportError as error:
                yield Problem(str(digest), error.message, f"remove it, and {_AGAIN}")
            except OSError as error:
                yield Problem(str(digest), f"{digest} cannot be read: {error.strerror or error}", _DISK)


def _manifests(store: Store, broken: set[str]) -> Iterator[Problem]:
    """Steps 2 and 3; what step 1 named already is not named twice."""
    for repository in store.state.repositories():
        for tag in store.state.tags(repository):
            if not store.blobs.has(tag.descriptor.digest):
                name = f"{repository}:{tag.name}"
                yield Problem(name, f"{name} names {tag.descriptor.digest}, which is not there", _AGAIN)
    for held in store.state.manifests():
        name = f"{held.repository}@{held.descriptor.digest}"
        if str(held.descriptor.digest) in broken:
            continue
        try:
            document = read_manifest(store.blobs, held.descriptor)
        except SallyportError as error:
            yield Problem(name, error.message, error.mend)
            continue
        # The children of an index are held by themselves: an index may be mirrored for some platforms only.
        if isinstance(document, Manifest):
            yield from (_part(store, name, blob) for blob in document.blobs if not _there(store, blob))


def _there(store: Store, blob: Descriptor) -> bool:
    # Layers that their publisher forbids to pass on stay where they are. Source: OCI image-spec 1.1, layer.md.
    if "nondistributable" in blob.media_type or "foreign" in blob.media_type:
        return True
    return store.blobs.has(blob.digest) and store.blobs.size(blob.digest) == blob.size


def _part(store: Store, name: str, blob: Descriptor) -> Problem:
    digest: Digest = blob.digest
    if not store.blobs.has(digest):
        return Problem(name, f"{name} needs {digest}, which is not there", _AGAIN)
    size = store.blobs.size(digest)
    return Problem(name, f"{name} needs {digest} with {blob.size} bytes, and there are {size}", _AGAIN)
