"""What cosign keeps under a tag (``sha256-….sig``, ``.att``) belongs to everybody: ours is added, theirs stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sallyport.oci import Descriptor, Digest, Manifest, build_manifest, media_types, render_json

_EPOCH = "0001-01-01T00:00:00Z"
_SHARED = (".sig", ".att")


@dataclass(frozen=True, slots=True)
class Merged:
    """A manifest with the layers of both, and its config's bytes."""

    manifest: Manifest
    config: bytes


def shared(tag: str) -> bool:
    """Whether several may keep something under this tag."""
    return tag.startswith("sha256-") and tag.endswith(_SHARED)


def merge(theirs: Manifest, ours: Manifest) -> Merged | None:
    """Theirs with what it lacks of ours; None where it lacks nothing."""
    known = {_key(layer) for layer in theirs.layers}
    missing = [layer for layer in ours.layers if _key(layer) not in known]
    if not missing:
        return None
    return _build([*theirs.layers, *missing])


def _key(layer: Descriptor) -> tuple[Digest, tuple[tuple[str, str], ...]]:
    # Two keys that sign the same payload share its digest; the signature stands in the annotations.
    return layer.digest, tuple(sorted(layer.annotations.items()))


def _build(layers: Sequence[Descriptor]) -> Merged:
    config = render_json(
        {
            "architecture": "",
            "config": {},
            "created": _EPOCH,
            "history": [{"created": _EPOCH} for _ in layers],
            "os": "",
            "rootfs": {"diff_ids": [str(layer.digest) for layer in layers], "type": "layers"},
        }
    )
    descriptor = Descriptor(media_types.OCI_CONFIG, len(config), Digest.of(config))
    return Merged(build_manifest(descriptor, layers), config)
