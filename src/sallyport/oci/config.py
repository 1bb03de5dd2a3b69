"""An image's configuration. Source: OCI image-spec 1.1, config.md."""

from __future__ import annotations

from dataclasses import dataclass, field

from sallyport.errors import MalformedError
from sallyport.oci.descriptor import Platform
from sallyport.oci.digest import Digest
from sallyport.oci.strict_json import JSON, parse_json

_MEND = "the image is broken: fetch it again, or ask its publisher to build it anew"
CONFIG_LIMIT = 8 * 1024 * 1024  # bytes; real ones are kilobytes


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The parts that sallyport reads; ``document`` is the whole, for a faithful rewrite."""

    platform: Platform
    diff_ids: tuple[Digest, ...]
    created: str
    document: dict[str, JSON] = field(repr=False, hash=False)


def parse_config(raw: bytes, *, what: str = "the image config") -> ImageConfig:
    """Read a configuration.

    Raises:
        MalformedError: no object, or a field of another type than the specification's.
    """
    value = parse_json(raw, what=what, limit=CONFIG_LIMIT)
    if not isinstance(value, dict):
        raise MalformedError(f"{what} is not an object", _MEND)
    fields = [value.get(name, "") for name in ("os", "architecture", "variant", "created")]
    system, architecture, variant, created = ("" if item is None else item for item in fields)
    if not all(isinstance(item, str) for item in (system, architecture, variant, created)):
        raise MalformedError(f"{what}: os, architecture, variant or created is not a string", _MEND)
    rootfs = value.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if diff_ids is None:
        diff_ids = []
    if not isinstance(diff_ids, list) or not all(isinstance(item, str) for item in diff_ids):
        raise MalformedError(f"{what}: rootfs.diff_ids is not a list of digests", _MEND)
    return ImageConfig(
        Platform(str(system), str(architecture), str(variant)),
        tuple(Digest.parse(str(item)) for item in diff_ids),
        str(created),
        value,
    )
