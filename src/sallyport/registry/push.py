"""A whole image to a registry: what it lacks of it is planned first, then what it refers to goes, itself last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sallyport.engine import Executor, Inline, Progress, Silent, Task
from sallyport.errors import DeniedError, NotFoundError
from sallyport.oci import BlobReader, Descriptor, Digest, Index, Manifest, load_manifest, media_types, verified, walk
from sallyport.registry.client import RegistryClient

_SILENT = Silent()
_INLINE = Inline()
FOREIGN = frozenset(
    {media_types.OCI_LAYER_FOREIGN, media_types.OCI_LAYER_FOREIGN_GZIP, media_types.DOCKER_LAYER_FOREIGN}
)
"""Layers that a registry need not have: whoever made them forbids handing them on."""


@dataclass(frozen=True, slots=True)
class PushPlan:
    """What a repository lacks of an image."""

    repository: str
    descriptor: Descriptor
    names: tuple[tuple[str, Descriptor | None], ...]  # under which it goes, and what each names there now
    manifests: tuple[Descriptor, ...]  # below it, in the order in which they go
    blobs: tuple[Descriptor, ...]
    listed: bool = True  # whether it stands among the referrers of what it is about

    @property
    def bytes(self) -> int:
        """What would go, at most: a registry may take blobs over from another repository."""
        return sum(item.size for item in (*self.blobs, *self.manifests)) + (self.descriptor.size if self.wanted else 0)

    @property
    def wanted(self) -> tuple[str, ...]:
        """The names that mean something else there, or nothing."""
        digest = self.descriptor.digest
        return tuple(name for name, there in self.names if there is None or there.digest != digest or not self.listed)

    @property
    def empty(self) -> bool:
        """Everything is there."""
        return not (self.wanted or self.manifests or self.blobs)


def plan_push(
    client: RegistryClient,
    repository: str,
    names: Sequence[str],
    blobs: BlobReader,
    descriptor: Descriptor,
    *,
    known: Collection[Digest] = (),
    executor: Executor = _INLINE,
) -> PushPlan:
    """Ask for every manifest and blob below ``descriptor``: that it is there itself does not mean that they are.

    What is ``known`` to be in the repository, because it was asked for or sent a moment ago, is not asked for again.

    Raises:
        MissingBlobError, DigestMismatchError: our own bytes are not whole.
        DeniedError, UnreachableError.
    """
    manifests = [*walk(blobs, descriptor)]
    wanted: dict[Digest, Descriptor] = {}
    for _, manifest in manifests:
        if isinstance(manifest, Manifest):
            wanted.update({blob.digest: blob for blob in manifest.blobs})
    wanted = {digest: blob for digest, blob in wanted.items() if digest not in known}
    plain = [b for b in wanted.values() if b.media_type not in FOREIGN or blobs.has(b.digest)]
    below = {
        found.digest: (found, manifest) for found, manifest in reversed(manifests[1:]) if found.digest not in known
    }

    def lacks_manifest(item: tuple[Descriptor, Manifest | Index]) -> bool:
        found, manifest = item
        there = client.head(repository, str(found.digest))
        return there is None or not _listed(client, repository, manifest)

    missing = executor.map(lacks_manifest, below.values())
    lacking = tuple(found for (found, _), gone in zip(below.values(), missing, strict=True) if gone)
    gone_blobs = executor.map(lambda blob: not client.has_blob(repository, blob.digest), plain)
    blobs_lacking = tuple(blob for blob, gone in zip(plain, gone_blobs, strict=True) if gone)
    there = tuple((name, client.head(repository, name)) for name in names or (str(descriptor.digest),))
    listed = _listed(client, repository, manifests[0][1])
    return PushPlan(repository, descriptor, there, lacking, blobs_lacking, listed)


def push_image(
    client: RegistryClient,
    repository: str,
    names: Sequence[str],
    blobs: BlobReader,
    descriptor: Descriptor,
    *,
    mount_from: str | Mapping[Digest, str] = "",
    progress: Progress = _SILENT,
    executor: Executor = _INLINE,
) -> int:
    """Push what the repository lacks of ``descriptor``, then itself under each of ``names``; returns the bytes sent.

    Without names it is pushed by its digest. Blobs of ``mount_from`` (another repository, or one for each blob) are
    taken over where the registry does that. Layers that must not be distributed stay out, if they are not here.

    Raises:
        MissingBlobError, DigestMismatchError: our own bytes are not whole; the name then stays as it was.
        ConflictError: a name is immutable there, and names another image.
        DeniedError, UnreachableError.
    """
    plan = plan_push(client, repository, names, blobs, descriptor, executor=executor)
    return carry_out(client, plan, blobs, mount_from=mount_from, progress=progress, executor=executor)


def carry_out(
    client: RegistryClient,
    plan: PushPlan,
    blobs: BlobReader,
    *,
    mount_from: str | Mapping[Digest, str] = "",
    progress: Progress = _SILENT,
    executor: Executor = _INLINE,
) -> int:
    """As :func:`push_image`, of what was planned."""
    repository = plan.repository
    with progress.task(f"push {repository}", sum(blob.size for blob in plan.blobs)) as task:

        def send(blob: Descriptor) -> int:
            source = mount_from if isinstance(mount_from, str) else mount_from.get(blob.digest, "")
            meter = _Meter(task)
            sent = 0
            if not _mounted(client, repository, blob, source):
                sent = client.push_blob(repository, blob.digest, blob.size, _reading(blobs, blob, meter))
            meter.reach(blob.size)
            return sent

        sent = sum(executor.map(send, plan.blobs))
    for below in plan.manifests:
        client.push_manifest(repository, str(below.digest), load_manifest(blobs, below))
        sent += below.size
    if plan.wanted:
        top = load_manifest(blobs, plan.descriptor)
        for name in plan.wanted:
            client.push_manifest(repository, name, top)
        sent += len(top.raw)
    return sent


class _Meter:
    """Tells a bar how far one blob is, never the same bytes twice, however often it is begun anew."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._shown = 0

    def reach(self, position: int) -> None:
        if position > self._shown:
            self._task.advance(position - self._shown)
            self._shown = position


def _reading(blobs: BlobReader, blob: Descriptor, meter: _Meter) -> Callable[[], Iterator[bytes]]:
    def chunks() -> Iterator[bytes]:
        position = 0
        for chunk in verified(blobs.chunks(blob.digest), blob.digest, blob.size):
            yield chunk
            position += len(chunk)
            meter.reach(position)

    return chunks


def _listed(client: RegistryClient, repository: str, manifest: Manifest | Index) -> bool:
    if manifest.subject is None:
        return True
    # Where clients keep the list themselves, a run that was killed may have pushed the one and not the other.
    return any(item.digest == manifest.digest for item in client.referrers(repository, manifest.subject.digest))


def _mounted(client: RegistryClient, repository: str, blob: Descriptor, source: str) -> bool:
    if not source or source == repository:
        return False
    # A repository that we may not read is no reason not to send the bytes ourselves.
    with suppress(DeniedError, NotFoundError):
        return client.mount(repository, blob.digest, source)
    return False
