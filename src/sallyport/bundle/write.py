"""Write a bundle: stream the blobs once, state what they are, let people and pipeline sign, rename at the end."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, runtime_checkable

from sallyport.bundle.errors import BundleExistsError, NoBundleError
from sallyport.bundle.folder import blob_path, list_files, read_file
from sallyport.bundle.index import CONTENTS_FILE, INDEX_FILE, LAYOUT, LAYOUT_FILE, render_index
from sallyport.bundle.metadata import build_snapshot, build_targets, build_timestamp, sign_metadata
from sallyport.bundle.model import FORMAT, Blob, BundlePlan, Contents, Position, Signers, Staged, Written
from sallyport.bundle.name import bundle_name, check_destination
from sallyport.bundle.profile import METADATA
from sallyport.bundle.read import CONTENTS_LIMIT, read_contents
from sallyport.bundle.roots import root_path, verify_roots
from sallyport.bundle.seal import TARGETS_LIMIT, verify_metadata
from sallyport.bundle.stream import copy_blob
from sallyport.bundle.trust import Anchor
from sallyport.engine import Progress, Silent, Task, exclusive, fsync_folder, storage_error
from sallyport.errors import DiskFullError, LockedError, SallyportError, UsageError
from sallyport.oci import CHUNK, BlobReader, Digest, Hasher, decode, encode
from sallyport.sign import Signer
from sallyport.store import Store

VALID = timedelta(days=90)
_PART = ".part"
_SPARE = 4 * 1024 * 1024  # bytes for folders and metadata beside what the files themselves need


def next_position(store: Store, destination: str, *, new_epoch: bool = False) -> Position:
    """Take the next position in the order of ``destination``; it is never given out twice.

    ``new_epoch`` is for an outside that was built again and has lost its count: every bundle of the new epoch
    is newer than all of the old one.
    """
    check_destination(destination)
    # Not the store's own lock: the caller may share that one to keep the collector out.
    with exclusive(store.root / ".positions"):
        raw = store.state.fact("position", destination)
        last = Position(1, 0) if raw is None else decode(raw, Position, what="the last position")
        taken = Position(last.epoch + 1, 1) if new_epoch else Position(last.epoch, last.sequence + 1)
        store.state.put_fact("position", destination, encode(taken))
    return taken


def write_bundle(
    plan: BundlePlan,
    blobs: BlobReader,
    folder: Path,
    *,
    position: Position,
    created: datetime,
    roots: Sequence[bytes],
    signers: Signers,
    valid: timedelta = VALID,
    progress: Progress = Silent(),  # noqa: B008 - an immutable value
) -> Written:
    """Write ``plan`` as a sealed bundle into ``folder``: :func:`stage_bundle`, then :func:`seal_bundle`.

    Raises:
        DiskFullError: the medium has less room than the bundle needs; nothing was written.
        BundleExistsError: there is a bundle of this position already.
        MissingBlobError, DigestMismatchError: the store does not have, whole, what the plan names.
        WronglySignedError: the signers do not meet the root's thresholds.
    """
    started = time.monotonic()
    staged = stage_bundle(
        plan, blobs, folder, position=position, created=created, roots=roots, valid=valid, progress=progress
    )
    written = seal_bundle(staged, signers, valid=valid)
    return Written(
        written.folder, written.name, written.contents, written.bytes, staged.copied, time.monotonic() - started
    )


def stage_bundle(
    plan: BundlePlan,
    blobs: BlobReader,
    folder: Path,
    *,
    position: Position,
    created: datetime,
    roots: Sequence[bytes],
    valid: timedelta = VALID,
    progress: Progress = Silent(),  # noqa: B008 - an immutable value
) -> Staged:
    """Put everything but the signatures in place, under a dotted name beside the final one.

    What an earlier run of the same destination left there is gone on with: whole blobs are read and hashed
    again, not copied again. The approvers then sign ``Staged.targets``, here or on machines of their own.
    """
    contents = _contents(plan, position, created)
    name = bundle_name(plan.destination, position)
    chain = verify_roots(roots)
    if chain.destination != plan.destination:
        raise UsageError(
            f"the root is for {chain.destination}, the bundle for {plan.destination}",
            "use the root of the same destination",
        )
    files = _statement(contents)
    with _alone(folder):
        if (folder / name).exists():
            raise BundleExistsError(f"there is a bundle {folder / name} already", "take the next position")
        partial = folder / f".{plan.destination}.partial"
        try:
            there = _prepare(partial, contents)
            _check_room(folder, contents, there, files)
            copied = _copy_blobs(contents, blobs, partial, there, progress)
            targets = build_targets(
                files,
                version=position.sequence,
                expires=created + valid,
                destination=plan.destination,
                epoch=position.epoch,
                root=chain.version,
            )
            for path, data in files.items():
                _write(partial / path, data)
            for version, raw in enumerate(roots, start=1):
                _write(partial / root_path(version), raw)
            _write(partial / METADATA / "targets.json", targets)
        except OSError as error:
            raise storage_error(error, partial) from error
    return Staged(partial, name, contents, targets, copied)


def find_staged(folder: Path, destination: str) -> Staged:
    """The bundle that waits in ``folder`` for its approvers.

    Raises:
        NoBundleError: none does, or its writing was broken off.
    """
    partial = folder / f".{check_destination(destination)}.partial"
    try:
        targets = _read(partial / METADATA / "targets.json", TARGETS_LIMIT)
        contents = read_contents(_read(partial / CONTENTS_FILE, CONTENTS_LIMIT))
    except (OSError, SallyportError) as error:
        raise NoBundleError(
            f"no bundle for {destination} waits in {folder}", "write it first: sallyport bundle"
        ) from error
    return Staged(partial, bundle_name(destination, contents.position), contents, targets, 0)


def approve_bundle(staged: Staged, signers: Sequence[Signer]) -> Staged:
    """Add approvers' signatures to a staged bundle, each when they can."""
    raw = sign_metadata(staged.targets, signers)
    _write(staged.folder / METADATA / "targets.json", raw)
    return Staged(staged.folder, staged.name, staged.contents, raw, staged.copied)


def seal_bundle(staged: Staged, signers: Signers, *, valid: timedelta = VALID) -> Written:
    """Sign, prove the whole chain as the inside will, make it durable, and give it its name.

    ``signers.targets`` may be empty where the approvers have signed before.

    Raises:
        WronglySignedError, UnsignedBundleError: somebody has still to sign, or is not in the root.
    """
    started = time.monotonic()
    partial, contents = staged.folder, staged.contents
    final = partial.parent / staged.name
    version, ends = contents.position.sequence, contents.created + valid
    with _alone(partial.parent):
        targets = sign_metadata(staged.targets, signers.targets)
        snapshot = sign_metadata(build_snapshot(targets, version=version, expires=ends), [signers.snapshot])
        timestamp = sign_metadata(build_timestamp(snapshot, version=version, expires=ends), [signers.timestamp])
        try:
            for path, raw in (("targets", targets), ("snapshot", snapshot), ("timestamp", timestamp)):
                _write(partial / METADATA / f"{path}.json", raw)
            verify_metadata(partial, Anchor.of(_read(partial / root_path(1), TARGETS_LIMIT)))
            size = _make_durable(partial)
            if final.exists():
                raise BundleExistsError(f"there is a bundle {final} already", "take the next position")
            partial.rename(final)
            fsync_folder(final.parent)
        except OSError as error:
            raise storage_error(error, final) from error
    return Written(final, staged.name, contents, size, staged.copied, time.monotonic() - started)


@runtime_checkable
class _Local(Protocol):
    def path(self, digest: Digest) -> Path | None: ...


# --- the parts ----------------------------------------------------------------------------


def _contents(plan: BundlePlan, position: Position, created: datetime) -> Contents:
    contents = Contents(
        FORMAT,
        plan.destination,
        position,
        created,
        plan.released,
        plan.carries,
        plan.requires,
        plan.feeds,
        plan.keys,
    )
    # The inside would refuse what this refuses; better here, where it can be mended.
    return read_contents(encode(contents))


def _statement(contents: Contents) -> dict[str, bytes]:
    return {CONTENTS_FILE: encode(contents), INDEX_FILE: render_index(contents), LAYOUT_FILE: LAYOUT}


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One writer in a folder. The folder itself is locked: a lock file would stay on the medium."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise storage_error(error, folder) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockedError(
                f"another process writes a bundle into {folder}", "wait until it has ended, then run it again"
            ) from error
        yield
    finally:
        os.close(handle)


def _prepare(partial: Path, contents: Contents) -> Mapping[str, int]:
    """Make the folders, remove what does not belong; returns the whole-looking blobs by path, with their sizes."""
    wanted = {blob_path(blob.digest): blob.size for blob in contents.carries}
    shutil.rmtree(partial / METADATA, ignore_errors=True)
    (partial / METADATA).mkdir(parents=True, exist_ok=True)
    for algorithm in {"sha256"} | {blob.digest.algorithm for blob in contents.carries}:
        (partial / "blobs" / algorithm).mkdir(parents=True, exist_ok=True)
    there: dict[str, int] = {}
    for path, status in list(list_files(partial)):
        if stat.S_ISDIR(status.st_mode):
            continue
        if stat.S_ISREG(status.st_mode) and wanted.get(path) == status.st_size:
            there[path] = status.st_size
        else:
            (partial / path).unlink()
    return there


def _check_room(folder: Path, contents: Contents, there: Mapping[str, int], files: Mapping[str, bytes]) -> None:
    needed = sum(blob.size for blob in contents.carries) - sum(there.values())
    needed += sum(len(data) for data in files.values()) + _SPARE + 4096 * len(contents.carries)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DiskFullError(
            f"the bundle needs {needed:,} bytes in {folder}, where {free:,} are free",
            "free space or use a larger medium; nothing was written",
        )


def _copy_blobs(
    contents: Contents, blobs: BlobReader, partial: Path, there: Mapping[str, int], progress: Progress
) -> int:
    copied = 0
    with progress.task("bundle", sum(blob.size for blob in contents.carries)) as task:
        for blob in contents.carries:
            path = partial / blob_path(blob.digest)
            if blob_path(blob.digest) in there and _whole(path, blob, task):
                continue
            _copy_blob(blob, blobs, path, task)
            copied += blob.size
    return copied


def _copy_blob(blob: Blob, blobs: BlobReader, path: Path, task: Task) -> None:
    part = path.with_name(path.name + _PART)
    # A store that keeps its blobs in files lets the kernel copy them.
    local = blobs.path(blob.digest) if isinstance(blobs, _Local) else None
    with part.open("w+b", buffering=0) as file, nullcontext() if local is None else local.open("rb") as source:
        for size in copy_blob(blobs, blob.digest, blob.size, file, source=source):
            task.advance(size)
    # Not yet durable: whoever goes on after a power cut hashes what has a blob's name, and sealing syncs all.
    part.replace(path)


def _whole(path: Path, blob: Blob, task: Task) -> bool:
    hasher = Hasher(blob.digest.algorithm)
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            hasher.update(chunk)
    if hasher.digest() != blob.digest:
        return False
    task.advance(blob.size)
    return True


def _write(path: Path, data: bytes) -> None:
    # No chmod, unlike engine's atomic files: FAT and exFAT refuse one, and the folder gets its name only at the end.
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]


def _read(path: Path, limit: int) -> bytes:
    return read_file(path.parent, path.name, limit)


def _make_durable(partial: Path) -> int:
    """Send every file and folder to the disk; returns the bytes of all files."""
    size = 0
    folders = [partial]
    for path, status in list_files(partial):
        if stat.S_ISDIR(status.st_mode):
            folders.append(partial / path)
            continue
        size += status.st_size
        handle = os.open(partial / path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    for folder in folders:
        fsync_folder(folder)
    return size
