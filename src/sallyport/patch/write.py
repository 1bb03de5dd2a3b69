"""The new image around the new layer: config, manifest, index. Sources: OCI image-spec 1.1; Docker image spec 1.2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from sallyport.compose import Draft, write_draft
from sallyport.engine import parse_time, render_time
from sallyport.errors import MalformedError
from sallyport.oci import (
    JSON,
    Descriptor,
    Digest,
    Image,
    Index,
    build_index,
    build_manifest,
    load_manifest,
    media_types,
    render_json,
)
from sallyport.patch.model import Upgrade
from sallyport.store import BlobStore

BASE_DIGEST = "org.opencontainers.image.base.digest"
BASE_NAME = "org.opencontainers.image.base.name"
CREATED = "org.opencontainers.image.created"
_MEND = "the image is broken: ask its publisher to build it anew"


def write_layer(draft: Draft, blobs: BlobStore, *, docker: bool) -> tuple[Descriptor, Digest]:
    """Keep the drafted layer; its descriptor and diff_id."""
    layer, diff_id = write_draft(draft, blobs)
    return replace(layer, media_type=media_types.DOCKER_LAYER_GZIP) if docker else layer, diff_id


def write_image(
    image: Image,
    layer: Descriptor,
    diff_id: Digest,
    upgrades: Sequence[Upgrade],
    blobs: BlobStore,
    *,
    mtime: int,
    base_name: str = "",
) -> Descriptor:
    """Keep config and manifest of ``image`` with ``layer`` on top; the manifest's descriptor, platform kept.

    ``mtime`` is of the newest file in the packages: an image is dated by what is in it, never by the clock, so
    that the same inputs give the same digest on any day.
    """
    created = _created(image, mtime)
    config = render_json(_config(image, diff_id, upgrades, created))
    digest = Digest.of(config)
    blobs.put(digest, len(config), [config])
    annotations = {**image.manifest.annotations, BASE_DIGEST: str(image.descriptor.digest)}
    if base_name:
        annotations[BASE_NAME] = base_name
    if CREATED in annotations:
        annotations[CREATED] = created
    manifest = build_manifest(
        replace(image.manifest.config, size=len(config), digest=digest),
        (*image.manifest.layers, layer),
        media_type=image.manifest.media_type,
        annotations=annotations,
    )
    blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
    return replace(manifest.descriptor, platform=image.descriptor.platform)


def _created(image: Image, mtime: int) -> str:
    newest = datetime.fromtimestamp(mtime, UTC)
    try:
        base = parse_time(image.config.created)
    except MalformedError:
        base = newest
    # A patched image is never older than what it was made from.
    return render_time(max(newest, base))


def _config(image: Image, diff_id: Digest, upgrades: Sequence[Upgrade], created: str) -> dict[str, JSON]:
    document = dict(image.config.document)
    rootfs, history = document.get("rootfs"), document.get("history") or []
    if not isinstance(rootfs, dict) or not isinstance(history, list):
        raise MalformedError(f"the config of {image.descriptor.digest.short} has no rootfs or a strange history", _MEND)
    document["rootfs"] = {**rootfs, "diff_ids": [*(str(item) for item in image.config.diff_ids), str(diff_id)]}
    names = " ".join(f"{upgrade.new.name}={upgrade.new.version}" for upgrade in upgrades)
    step: JSON = {"created": created, "created_by": f"sallyport patch {names}"}
    document["history"] = [*history, step]
    document["created"] = created
    # Docker's older fields name the container that a layer was committed from; there is none.
    for name in ("container", "container_config", "id", "parent"):
        document.pop(name, None)
    return document


def patch_index(
    blobs: BlobStore, index: Descriptor, patched: Mapping[Digest, Descriptor], *, base_name: str = ""
) -> Descriptor:
    """Keep a copy of ``index`` with each child in ``patched`` replaced; its descriptor.

    Where ``index`` is itself one image's manifest, the patched one's descriptor. Order, platforms and the children
    that were not patched stay; statements about a child that is gone (build attestations point to it by digest) are
    left out, since they say nothing about the new one.

    Raises:
        DamagedError: ``index`` is not what its digest says.
    """
    if index.digest in patched:
        return patched[index.digest]
    found = load_manifest(blobs, index)
    if not isinstance(found, Index):
        return index
    children: list[Descriptor] = []
    for child in found.manifests:
        about = child.annotations.get("vnd.docker.reference.digest", "")
        if about and any(str(digest) == about for digest in patched):
            continue
        new = patched.get(child.digest)
        if new is None and child.media_type in media_types.INDEXES:
            nested = patch_index(blobs, child, patched)
            new = None if nested.digest == child.digest else nested
        children.append(child if new is None else _in_place_of(child, new))
    if all(one is other for one, other in zip(children, found.manifests, strict=False)):
        return index
    annotations = {**found.annotations, BASE_DIGEST: str(index.digest)}
    if base_name:
        annotations[BASE_NAME] = base_name
    written = build_index(children, media_type=found.media_type, annotations=annotations)
    blobs.put(written.digest, len(written.raw), [written.raw])
    return replace(written.descriptor, platform=index.platform, annotations=index.annotations)


def _in_place_of(child: Descriptor, new: Descriptor) -> Descriptor:
    return replace(child, media_type=new.media_type, size=new.size, digest=new.digest)


def is_docker(image: Image) -> bool:
    """Whether the image is of Docker's family of media types."""
    return image.manifest.media_type == media_types.DOCKER_MANIFEST
