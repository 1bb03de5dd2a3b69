"""What some bytes are, how many, and their digest. Source: OCI image-spec 1.1, descriptor.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sallyport.errors import MalformedError
from sallyport.oci.digest import Digest
from sallyport.oci.strict_json import JSON

NO_ANNOTATIONS: Mapping[str, str] = {}  # no mapping proxy: it can be neither pickled nor encoded
_MEND = "the manifest is broken: fetch it again, or report it to whoever published it"
_SIZE_LIMIT = 1 << 50


@dataclass(frozen=True, slots=True, order=True)
class Platform:
    """Where an image runs; ``str`` gives ``linux/arm64/v8``."""

    os: str
    architecture: str
    variant: str = ""

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Read ``os/architecture[/variant]``."""
        parts = text.split("/")
        if len(parts) not in (2, 3) or not all(parts):
            raise MalformedError(f"{text[:60]!r} is not a platform", "write it like linux/amd64 or linux/arm/v7")
        return cls(*parts)

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """What some bytes are, how many, and their digest."""

    media_type: str
    size: int  # bytes; also the most that may be read
    digest: Digest
    platform: Platform | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    def to_json(self) -> dict[str, JSON]:
        """The form that stands in a manifest."""
        result: dict[str, JSON] = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        if self.artifact_type:
            result["artifactType"] = self.artifact_type
        if self.platform is not None:
            platform: dict[str, JSON] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                platform["variant"] = self.platform.variant
            result["platform"] = platform
        if self.annotations:
            result["annotations"] = dict(self.annotations)
        return result

    @classmethod
    def from_json(cls, value: JSON, *, what: str) -> Descriptor:
        """Read the form that stands in a manifest.

        Raises:
            MalformedError: a missing or wrong field, a negative or absurd size.
        """
        if not isinstance(value, dict):
            raise MalformedError(f"{what}: a descriptor is not an object", _MEND)
        media_type, size, digest = value.get("mediaType"), value.get("size"), value.get("digest")
        if not isinstance(media_type, str) or not media_type:
            raise MalformedError(f"{what}: a descriptor has no mediaType", _MEND)
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _SIZE_LIMIT:
            raise MalformedError(f"{what}: a descriptor has no valid size", _MEND)
        if not isinstance(digest, str):
            raise MalformedError(f"{what}: a descriptor has no digest", _MEND)
        artifact_type = value.get("artifactType", "")
        if not isinstance(artifact_type, str):
            raise MalformedError(f"{what}: artifactType is not a string", _MEND)
        return cls(
            media_type,
            size,
            Digest.parse(digest),
            _platform(value.get("platform"), what),
            artifact_type,
            parse_annotations(value.get("annotations"), what),
        )


def _platform(value: JSON, what: str) -> Platform | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise MalformedError(f"{what}: platform is not an object", _MEND)
    system, architecture, variant = value.get("os", ""), value.get("architecture", ""), value.get("variant", "")
    if not isinstance(system, str) or not isinstance(architecture, str) or not isinstance(variant, str):
        raise MalformedError(f"{what}: platform has a field that is not a string", _MEND)
    return Platform(system, architecture, variant)


def parse_annotations(value: JSON, what: str) -> Mapping[str, str]:
    """Read an annotations object; missing and null mean none."""
    if value is None:
        return NO_ANNOTATIONS
    if not isinstance(value, dict):
        raise MalformedError(f"{what}: annotations is not an object", _MEND)
    result: dict[str, str] = {}
    for key, item in value.items():
        if not isinstance(item, str):
            raise MalformedError(f"{what}: the annotation {key[:60]!r} is not a string", _MEND)
        result[key] = item
    return result
