"""What is asked for most, answered from memory: manifests and the places of blobs.

Everything here was found and proven by the ordinary way once, and is forgotten as soon as anybody, in this process
or another, writes to the state. So a moved tag, a deleted image or a withdrawn right is seen at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sallyport.oci import Descriptor
from sallyport.registry.proven import Stamp, stamp
from sallyport.store import Store

Headers = list[tuple[bytes, bytes]]
MANIFEST_BYTES = 64 * 1024 * 1024
"""Of manifests that are remembered, altogether."""
NAMES = 50_000
"""Of manifests, and as many of blobs, that are remembered."""


@dataclass(frozen=True, slots=True)
class ReadyManifest:
    """A whole answer."""

    headers: Headers
    body: bytes
    etag: bytes


@dataclass(frozen=True, slots=True)
class ReadyBlob:
    """A whole answer, whose body lies in a file."""

    headers: Headers
    path: str
    stamp: Stamp


class Hot:
    """For the one thread that answers requests."""

    def __init__(self, store: Store) -> None:
        self._watch = store.state.watch()
        self._version = self._watch.version()
        self._manifests: dict[tuple[str, str], ReadyManifest] = {}
        self._bytes = 0
        self._blobs: dict[tuple[str, str], ReadyBlob] = {}

    def version(self) -> int:
        """The state's version now; take it before the ordinary way is gone, and give it to ``keep_…``."""
        version = self._watch.version()
        if version != self._version:
            self._version = version
            self._manifests.clear()
            self._blobs.clear()
            self._bytes = 0
        return version

    def manifest(self, repository: str, name: str) -> ReadyManifest | None:
        self.version()
        return self._manifests.get((repository, name))

    def blob(self, repository: str, name: str) -> ReadyBlob | None:
        self.version()
        return self._blobs.get((repository, name))

    def keep_manifest(self, version: int, repository: str, name: str, descriptor: Descriptor, raw: bytes) -> None:
        """Remember what the ordinary way found, unless something was written meanwhile."""
        if self.version() != version:
            return
        if self._bytes + len(raw) > MANIFEST_BYTES or len(self._manifests) >= NAMES:
            self._manifests.clear()
            self._bytes = 0
        etag = f'"{descriptor.digest}"'.encode()
        headers = [
            (b"content-length", b"%d" % len(raw)),
            (b"content-type", descriptor.media_type.encode()),
            (b"docker-content-digest", str(descriptor.digest).encode()),
            (b"etag", etag),
            (b"x-content-type-options", b"nosniff"),
        ]
        self._manifests[repository, name] = ReadyManifest(headers, raw, etag)
        self._bytes += len(raw)

    def keep_blob(  # noqa: PLR0917 - as keep_manifest
        self,
        version: int,
        repository: str,
        name: str,
        path: Path | None,
        seen: Stamp | None,
        headers: Iterable[tuple[bytes, bytes]],
    ) -> None:
        """Remember where a blob that the repository may show lies, unless something was written meanwhile."""
        if path is None or seen is None or self.version() != version:
            return
        if len(self._blobs) >= NAMES:
            self._blobs.clear()
        self._blobs[repository, name] = ReadyBlob(list(headers), str(path), seen)


def still_there(blob: ReadyBlob) -> bool:
    """Whether the file is the same: garbage collection writes nothing to the state for a blob, nor does a bad disk."""
    return stamp(blob.path) == blob.stamp
