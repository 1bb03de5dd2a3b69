"""Manifests and indexes, both families. Sources: OCI image-spec 1.1, manifest.md and image-index.md;
Docker image manifest v2, schema 2. The raw bytes stay beside the parsed view: the digest is over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sallyport.errors import MalformedError, OversizeError, UnknownMediaTypeError
from sallyport.oci import media_types
from sallyport.oci.descriptor import NO_ANNOTATIONS, Descriptor, parse_annotations
from sallyport.oci.digest import Digest
from sallyport.oci.strict_json import JSON, MANIFEST_LIMIT, parse_json, render_json

MAX_CHILDREN = 4096
"""Descriptors in one manifest or index; a bound against hostile input."""
_MEND = "the manifest is broken: fetch it again, or report it to whoever published it"
EMPTY_CONFIG = Descriptor(media_types.OCI_EMPTY, 2, Digest.of(b"{}"))
"""Source: OCI image-spec 1.1, manifest.md, "Guidance for an Empty Descriptor"."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """One image for one platform, or one artifact."""

    raw: bytes = field(repr=False)
    media_type: str
    config: Descriptor
    layers: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def digest(self) -> Digest:
        return Digest.of(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        """Of this manifest itself, with the type by which a referrers list names it."""
        kind = self.artifact_type or ("" if self.is_image else self.config.media_type)
        return Descriptor(self.media_type, len(self.raw), self.digest, artifact_type=kind)

    @property
    def is_image(self) -> bool:
        """Whether this is a container image rather than another artifact.

        Signatures and attestations borrow the config's type; what they hold tells them apart. One layer of a
        file system is enough to count as an image, so that none escapes a scan by the company it keeps.
        """
        return self.config.media_type in media_types.CONFIGS and (
            not self.layers or any(layer.media_type.startswith(media_types.LAYER_PREFIXES) for layer in self.layers)
        )

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers."""
        return (self.config, *self.layers)


@dataclass(frozen=True, slots=True)
class Index:
    """Several manifests under one name."""

    raw: bytes = field(repr=False)
    media_type: str
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def digest(self) -> Digest:
        return Digest.of(self.raw)

    @property
    def descriptor(self) -> Descriptor:
        return Descriptor(self.media_type, len(self.raw), self.digest, artifact_type=self.artifact_type)


def parse_manifest(raw: bytes, media_type: str = "", *, what: str = "the manifest") -> Manifest | Index:
    """Read a manifest or index; ``media_type`` is what the transport or descriptor said, if anything.

    Raises:
        OversizeError: over 4 MiB, or over :data:`MAX_CHILDREN` descriptors.
        UnknownMediaTypeError: neither family, or transport and document disagree.
        MalformedError: JSON or a field is wrong.
    """
    value = parse_json(raw, what=what, limit=MANIFEST_LIMIT)
    if not isinstance(value, dict):
        raise MalformedError(f"{what} is not an object", _MEND)
    kind = _kind(value, media_type.split(";", maxsplit=1)[0].strip().lower(), what)
    if value.get("schemaVersion") != 2:  # noqa: PLR2004 - the specification's constant
        raise UnknownMediaTypeError(
            f"{what} has schemaVersion {str(value.get('schemaVersion'))[:12]}",
            "only version 2 is understood: ask the publisher to push the image anew with a current tool",
        )
    subject = value.get("subject")
    subject_descriptor = None if subject is None else Descriptor.from_json(subject, what=f"{what}, subject")
    artifact_type = value.get("artifactType", "")
    if not isinstance(artifact_type, str):
        raise MalformedError(f"{what}: artifactType is not a string", _MEND)
    annotations = parse_annotations(value.get("annotations"), what)
    if kind in media_types.INDEXES:
        manifests = _descriptors(value, "manifests", what)
        return Index(raw, kind, manifests, subject_descriptor, artifact_type, annotations)
    config = Descriptor.from_json(value.get("config"), what=f"{what}, config")
    layers = _descriptors(value, "layers", what)
    return Manifest(raw, kind, config, layers, subject_descriptor, artifact_type, annotations)


def _kind(value: Mapping[str, JSON], said: str, what: str) -> str:
    known = media_types.MANIFESTS | media_types.INDEXES
    stated = value.get("mediaType")
    if stated is not None and not isinstance(stated, str):
        raise MalformedError(f"{what}: mediaType is not a string", _MEND)
    generic = {"", "application/json", "text/plain", "application/octet-stream"}
    if stated and said not in generic and said != stated:
        # A document that is one thing to one reader and another to the next (CVE-2021-41190).
        raise UnknownMediaTypeError(f"{what} was sent as {said[:80]} and says it is {stated[:80]}", _MEND)
    kind = stated or ("" if said in generic else said)
    if not kind:
        # The OCI specification lets mediaType be absent; the members then tell, if they are unambiguous.
        kind = media_types.OCI_INDEX if "manifests" in value else media_types.OCI_MANIFEST
    if kind not in known:
        raise UnknownMediaTypeError(
            f"{what} has the media type {kind[:80]!r}, which is no image manifest or index",
            "only OCI and Docker schema 2 manifests and indexes are understood",
        )
    if "manifests" in value and ("layers" in value or "config" in value):
        raise UnknownMediaTypeError(f"{what} has both manifests and layers", _MEND)
    return kind


def _descriptors(value: Mapping[str, JSON], key: str, what: str) -> tuple[Descriptor, ...]:
    items = value.get(key)
    if items is None and key == "layers" and "artifactType" in value:
        return ()
    if not isinstance(items, list):
        raise MalformedError(f"{what}: {key} is not a list", _MEND)
    if len(items) > MAX_CHILDREN:
        raise OversizeError(f"{what} has {len(items)} {key}; the limit is {MAX_CHILDREN}", "refuse it")
    return tuple(Descriptor.from_json(item, what=f"{what}, {key}[{number}]") for number, item in enumerate(items))


def build_manifest(
    config: Descriptor,
    layers: Sequence[Descriptor],
    *,
    media_type: str = media_types.OCI_MANIFEST,
    subject: Descriptor | None = None,
    artifact_type: str = "",
    annotations: Mapping[str, str] = NO_ANNOTATIONS,
) -> Manifest:
    """A manifest in canonical bytes: the same inputs give the same digest."""
    value: dict[str, JSON] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    _optional(value, subject, artifact_type, annotations)
    raw = render_json(value)
    return Manifest(raw, media_type, config, tuple(layers), subject, artifact_type, dict(annotations))


def build_index(
    manifests: Sequence[Descriptor],
    *,
    media_type: str = media_types.OCI_INDEX,
    subject: Descriptor | None = None,
    artifact_type: str = "",
    annotations: Mapping[str, str] = NO_ANNOTATIONS,
) -> Index:
    """An index in canonical bytes: the same inputs give the same digest."""
    value: dict[str, JSON] = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": [manifest.to_json() for manifest in manifests],
    }
    _optional(value, subject, artifact_type, annotations)
    return Index(render_json(value), media_type, tuple(manifests), subject, artifact_type, dict(annotations))


def _optional(
    value: dict[str, JSON], subject: Descriptor | None, artifact_type: str, annotations: Mapping[str, str]
) -> None:
    if subject is not None:
        value["subject"] = Descriptor(subject.media_type, subject.size, subject.digest).to_json()
    if artifact_type:
        value["artifactType"] = artifact_type
    if annotations:
        value["annotations"] = dict(annotations)
