"""One upstream repository, with every request counted, and what a tag there is made of."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from sallyport.errors import CycleError, MalformedError, NotFoundError, OversizeError
from sallyport.mirror.interface import Source
from sallyport.oci import (
    Descriptor,
    Digest,
    Index,
    Manifest,
    Platform,
    Reference,
    build_index,
    is_manifest,
    load_manifest,
    parse_config,
    verified,
)
from sallyport.store import BlobStore

MAX_DEPTH = 4
MAX_MANIFESTS = 5000
_CONFIG_LIMIT = 8 * 1024 * 1024
_SUBJECT = "vnd.docker.reference.digest"  # by which build tools tie their statements to an image of the same index


Said: TypeAlias = dict[tuple[str, Digest], tuple[Descriptor, ...]]
"""The referrers of a manifest in a repository of one registry."""


class Upstream:
    """Asks one repository for one tag's sake."""

    def __init__(self, client: Source, repository: str, said: Said | None = None) -> None:
        """``said`` is shared by the tags of one run."""
        self.client = client
        self.repository = repository
        self._said = {} if said is None else said
        self.requests = 0
        self.bytes = 0
        self._lock = Lock()

    def count(self, *, requests: int = 0, size: int = 0) -> None:
        """Note what was sent and what came; from any thread."""
        with self._lock:
            self.requests += requests
            self.bytes += size

    def head(self, name: str) -> Descriptor | None:
        self.count(requests=1)
        return self.client.head(self.repository, name)

    def manifest(self, descriptor: Descriptor, blobs: BlobStore) -> Manifest | Index:
        """From the store where it is there already.

        Raises:
            MalformedError: it is not what ``descriptor`` says of it, beside the digest.
        """
        if blobs.has(descriptor.digest):
            return load_manifest(blobs, descriptor)
        self.count(requests=1)
        found = self.client.manifest(self.repository, str(descriptor.digest), expected=descriptor.digest)
        self.count(size=len(found.raw))
        if (found.media_type, len(found.raw)) != (descriptor.media_type, descriptor.size):
            raise MalformedError(
                f"{self.repository}@{descriptor.digest} has another size or media type than it is referred to with",
                "the image is broken: ask its publisher to push it anew",
            )
        return found

    def blob(self, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        self.count(requests=1)
        for chunk in self.client.blob(self.repository, digest, offset=offset):
            self.count(size=len(chunk))
            yield chunk

    def referrers(self, digest: Digest) -> tuple[Descriptor, ...]:
        """Asked once for each digest, however many tags name it."""
        found = self._said.get((self.repository, digest))
        if found is None:
            self.count(requests=1)
            found = self.client.referrers(self.repository, digest)
            self._said[self.repository, digest] = found
        return found


@dataclass(frozen=True, slots=True)
class Piece:
    """A manifest or index that is to be held."""

    descriptor: Descriptor
    document: Manifest | Index
    subject: Digest | None = None


@dataclass(frozen=True, slots=True)
class Tree:
    """All that a tag is made of."""

    descriptor: Descriptor  # what the tag will name here
    pieces: tuple[Piece, ...]  # children first
    blobs: tuple[Descriptor, ...]  # configs, layers and other plain blobs, each once


def grow(
    upstream: Upstream, root: Descriptor, platforms: tuple[Platform, ...], blobs: BlobStore, what: Reference
) -> Tree:
    """Fetch every manifest below ``root``; where ``platforms`` are selected, leave the others out.

    An index that loses children is written anew. The original stays beside it, so that a signature over
    it can still be verified.

    Raises:
        NotFoundError: none of ``platforms`` is there.
        CycleError, OversizeError: it nests too deep, or is too large.
        DamagedError, UnreachableError: as the client says.
    """
    found: dict[Digest, Piece] = {}
    waiting = deque([(root, 0)])
    while waiting:
        current, level = waiting.popleft()
        if current.digest in found:
            continue
        document = upstream.manifest(current, blobs)
        found[current.digest] = Piece(_plain(current, document), document, _subject(document))
        if isinstance(document, Index):
            if level >= MAX_DEPTH:
                raise CycleError(f"{what} nests more than {MAX_DEPTH} indexes", "refuse it: no honest image does")
            for child in _chosen(document, platforms):
                if is_manifest(child):
                    waiting.append((child, level + 1))
        if len(found) + len(waiting) > MAX_MANIFESTS:
            raise OversizeError(f"{what} has more than {MAX_MANIFESTS} manifests", "refuse it: no honest image does")
    if platforms and isinstance(found[root.digest].document, Manifest):
        _check_platform(upstream, found[root.digest].document, platforms, blobs, what)
    return _assemble(found, root, platforms, what)


def _assemble(found: dict[Digest, Piece], root: Descriptor, platforms: tuple[Platform, ...], what: Reference) -> Tree:
    pieces: dict[Digest, Piece] = {}
    plain: dict[Digest, Descriptor] = {}

    def place(digest: Digest) -> Descriptor:
        piece = found[digest]
        document = piece.document
        if isinstance(document, Manifest):
            plain.update({blob.digest: blob for blob in document.blobs})
            pieces.setdefault(digest, piece)
            return piece.descriptor
        kept = _chosen(document, platforms)
        if platforms and document.manifests and not kept:
            there = ", ".join(sorted({str(child.platform) for child in document.manifests if child.platform}))
            raise NotFoundError(
                f"{what} has no image for {', '.join(map(str, platforms))}",
                f"select among what it has: {there[:300] or 'no platform is named'}",
            )
        renamed: list[Descriptor] = []
        for child in kept:
            if is_manifest(child):
                below = place(child.digest)
                renamed.append(
                    Descriptor(
                        below.media_type,
                        below.size,
                        below.digest,
                        child.platform,
                        child.artifact_type,
                        child.annotations,
                    )
                )
            else:
                plain[child.digest] = child
                renamed.append(child)
        pieces.setdefault(digest, piece)
        if tuple(renamed) == document.manifests:
            return piece.descriptor
        thinner = build_index(
            renamed,
            media_type=document.media_type,
            artifact_type=document.artifact_type,
            annotations=document.annotations,
        )
        descriptor = _plain(thinner.descriptor, thinner)
        pieces.setdefault(thinner.digest, Piece(descriptor, thinner))
        return descriptor

    top = place(root.digest)
    return Tree(top, tuple(pieces.values()), tuple(plain.values()))


def _chosen(index: Index, platforms: tuple[Platform, ...]) -> tuple[Descriptor, ...]:
    """The children for the selected platforms, and what build tools state about those."""
    if not platforms:
        return index.manifests
    images = [child for child in index.manifests if child.platform and fits(child.platform, platforms)]
    names = {str(child.digest) for child in images}
    return tuple(
        child
        for child in index.manifests
        if child in images or child.annotations.get(_SUBJECT) in names or (child.platform is None and _nested(child))
    )


def _nested(child: Descriptor) -> bool:
    return is_manifest(child) and "index" in child.media_type


def fits(platform: Platform, wanted: tuple[Platform, ...]) -> bool:
    """Whether one of ``wanted`` means ``platform``; one without a variant means every variant."""
    return any(
        (item.os, item.architecture) == (platform.os, platform.architecture)
        and item.variant in ("", platform.variant or ("v8" if item.architecture == "arm64" else ""))
        for item in wanted
    )


def _check_platform(
    upstream: Upstream, manifest: Manifest | Index, platforms: tuple[Platform, ...], blobs: BlobStore, what: Reference
) -> None:
    if not isinstance(manifest, Manifest) or not manifest.is_image:
        return
    config = manifest.config
    if config.size > _CONFIG_LIMIT:
        raise OversizeError(f"the config of {what} has {config.size} bytes", "refuse it: no honest image does")
    blobs.put(config.digest, config.size, verified(upstream.blob(config.digest), config.digest, config.size))
    raw = b"".join(verified(blobs.chunks(config.digest), config.digest, config.size))
    platform = parse_config(raw, what=f"the config of {what}").platform
    if not fits(platform, platforms):
        raise NotFoundError(
            f"{what} is an image for {platform}, not for {', '.join(map(str, platforms))}",
            "select its platform, or leave platforms out",
        )


def _plain(descriptor: Descriptor, document: Manifest | Index) -> Descriptor:
    """As it is held: without the platform that an index gives it, with the type by which referrers are listed."""
    kind = document.descriptor.artifact_type
    return Descriptor(document.media_type, len(document.raw), descriptor.digest, artifact_type=kind)


def _subject(document: Manifest | Index) -> Digest | None:
    return document.subject.digest if document.subject else None
