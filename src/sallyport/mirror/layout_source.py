"""An OCI image layout as an upstream: a folder, as skopeo, oras, umoci and crane write it.

Source: OCI image-spec 1.1, image-layout.md. Names are the ``org.opencontainers.image.ref.name`` annotations: a tag, or
a whole reference whose tag counts. Referrers stand in ``index.json`` without a name, or under the tag that the
distribution-spec gives them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.errors import DamagedError, NotFoundError, OversizeError
from sallyport.mirror.interface import Source
from sallyport.oci import (
    MANIFEST_LIMIT,
    REF_NAME,
    Descriptor,
    Digest,
    Index,
    LayoutReader,
    Manifest,
    is_manifest,
    is_tag,
    parse_manifest,
    verified,
)
from sallyport.registry import referrers_tag

_MOST = 20_000  # manifests of a layout


class LayoutSource:
    """A folder. It has one repository, whatever that is called."""

    def __init__(self, folder: Path) -> None:
        """Read the index, and every manifest below it.

        Raises:
            MissingBlobError, MalformedError: the folder is no layout.
            OversizeError: it has more manifests than anybody needs.
        """
        self._layout = LayoutReader(folder)
        self._names: dict[str, Descriptor] = {}
        self._known: dict[Digest, Descriptor] = {}
        self._about: dict[Digest, list[Descriptor]] = {}
        for entry in self._layout.entries():
            self._learn(entry)
            name = entry.annotations.get(REF_NAME, "")
            # "latest", "app:latest", "registry.example/team/app:latest": what stands behind the last colon.
            tag = name.rpartition(":")[2] if ":" in name.rpartition("/")[2] else name
            if is_tag(tag):
                self._names[tag] = entry

    def head(self, repository: str, name: str) -> Descriptor | None:  # noqa: ARG002 - one layout, one repository
        if ":" not in name:
            return self._names.get(name)
        return self._known.get(Digest.parse(name))

    def manifest(self, repository: str, name: str, *, expected: Digest | None = None) -> Manifest | Index:
        found = self.head(repository, name)
        if found is None or (expected is not None and found.digest != expected):
            raise NotFoundError(f"{name[:140]} is not in the layout {self._layout.folder}", "name another")
        return self._read(found)

    def blob(self, repository: str, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:  # noqa: ARG002
        try:
            yield from self._layout.chunks(digest, offset=offset)
        except DamagedError as error:
            raise NotFoundError(error.message, error.mend) from error

    def tags(self, repository: str) -> Iterator[str]:  # noqa: ARG002
        kept = {referrers_tag(digest) for digest in self._known}
        return iter([name for name in self._names if name not in kept])

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:  # noqa: ARG002
        found = {item.digest: item for item in self._about.get(digest, ())}
        kept = self._names.get(referrers_tag(digest))
        listed = self._read(kept) if kept is not None else None
        if isinstance(listed, Index):
            found |= {item.digest: item for item in listed.manifests}
        return tuple(found.values())

    def _learn(self, entry: Descriptor) -> None:
        waiting = [entry]
        while waiting:
            descriptor = waiting.pop()
            if descriptor.digest in self._known or not is_manifest(descriptor):
                continue
            if len(self._known) >= _MOST:
                raise OversizeError(f"{self._layout.folder} has more than {_MOST} manifests", "split the layout")
            if not self._layout.has(descriptor.digest):
                continue  # a sparse index names images that are elsewhere
            document = self._read(descriptor)
            self._known[descriptor.digest] = Descriptor(descriptor.media_type, descriptor.size, descriptor.digest)
            if document.subject is not None:
                self._about.setdefault(document.subject.digest, []).append(document.descriptor)
            if isinstance(document, Index):
                waiting += document.manifests

    def _read(self, descriptor: Descriptor) -> Manifest | Index:
        if descriptor.size > MANIFEST_LIMIT:
            raise OversizeError(f"the manifest {descriptor.digest} has {descriptor.size} bytes", "refuse it")
        raw = b"".join(verified(self._layout.chunks(descriptor.digest), descriptor.digest, descriptor.size))
        return parse_manifest(raw, descriptor.media_type, what=f"{self._layout.folder}: {descriptor.digest}")


if TYPE_CHECKING:
    _fits: type[Source] = LayoutSource
