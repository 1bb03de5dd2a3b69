"""One image for one platform, from packages of a signed archive. Source: OCI image-spec 1.1, config.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from sallyport.archives import Archive, BinaryPackage, debian_architecture
from sallyport.compose.dpkg import DpkgDatabase, Style, is_database_file, read_database, record
from sallyport.compose.draft import Draft
from sallyport.compose.finish import Step
from sallyport.compose.solve import closure
from sallyport.compose.unpack import nothing, unpack
from sallyport.engine import Executor, Inline, Progress, Silent, render_time
from sallyport.oci import (
    JSON,
    Descriptor,
    Digest,
    Entry,
    GzipSink,
    Image,
    Kind,
    LayerWriter,
    Platform,
    Rootfs,
    build_manifest,
    list_layer,
    load_image,
    media_types,
    render_json,
)
from sallyport.store import BlobStore

GZIP_LEVEL = 4
"""Half the time of the usual 6, for 3 % more bytes."""
NO_VALUES: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """One layer: steps before, packages, steps after."""

    packages: tuple[str, ...] = ()
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    dependencies: bool = True  # False takes exactly the packages that are named
    without: tuple[str, ...] = ()  # names that nobody's dependency brings in
    essential: bool = False  # with the packages marked Essential
    note: str = ""  # for the image's history


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What to compose; a value, so that equal ones give equal digests."""

    name: str
    layers: tuple[LayerSpec, ...]
    style: Style = Style.STATUS
    exclude: Callable[[str], bool] = nothing
    env: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    user: str = ""
    working_dir: str = ""
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


def wanted_packages(
    archive: Archive, spec: ImageSpec, platform: Platform, *, base: Sequence[BinaryPackage] = ()
) -> tuple[tuple[BinaryPackage, ...], ...]:
    """The packages of each layer of ``spec``; ``base`` is what the image below has.

    Raises:
        NotFoundError, ConflictError: see :func:`closure`.
    """
    index = archive.packages(debian_architecture(platform))
    there = list(base)
    result: list[tuple[BinaryPackage, ...]] = []
    for layer in spec.layers:
        found = closure(
            index,
            layer.packages,
            installed=there,
            essential=layer.essential,
            dependencies=layer.dependencies,
            without=layer.without,
        )
        there += found
        result.append(found)
    return tuple(result)


def compose_image(
    archive: Archive,
    spec: ImageSpec,
    platform: Platform,
    blobs: BlobStore,
    *,
    base: Image | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Image:
    """Make the image and keep its layers, config and manifest in ``blobs``; the same inputs give the same digest.

    The time in it is that of the archive's release, never the clock's.

    Raises:
        NotFoundError, ConflictError: the packages do not fit together.
        DamagedError, UntrustedError, UnreachableError: a package cannot be had whole.
    """
    date = max(release.date for release in archive.releases)
    mtime = int(date.timestamp())
    created = render_time(date)
    architecture = debian_architecture(platform)
    index = archive.packages(architecture, progress=progress)
    layers = list(base.layers) if base else []
    history: list[JSON] = _history(base)
    root = _root(blobs, base)
    for number, layer in enumerate(spec.layers):
        database = read_database(root) if root else DpkgDatabase()
        packages = closure(
            index,
            layer.packages,
            installed=database.packages,
            essential=layer.essential,
            dependencies=layer.dependencies,
            without=layer.without,
        )
        debs = archive.fetch_all(packages, executor=executor, progress=progress)
        with Draft(root, mtime=mtime) as draft, (progress or Silent()).task(f"{spec.name} {platform}"):
            for step in layer.before:
                step(draft, architecture)
            unpacked = unpack(debs, draft, exclude=spec.exclude, executor=executor or Inline())
            after = database.having(record(item, spec.style) for item in unpacked)
            files, _ = after.changes(database)
            for path, file in files.items():
                draft.put(Entry(path, Kind.FILE, file.mode, mtime=mtime), file.content)
            for step in layer.after:
                step(draft, architecture)
            layers.append(write_draft(draft, blobs))
        history.append({"created": created, "created_by": layer.note or f"sallyport compose {spec.name}"})
        if number + 1 < len(spec.layers):
            root = _merged(blobs, layers)
    config = _config(spec, platform, created, [diff_id for _, diff_id in layers], history)
    annotations = {"org.opencontainers.image.created": created}
    if base is not None:
        annotations["org.opencontainers.image.base.digest"] = str(base.descriptor.digest)
    manifest = build_manifest(
        keep_blob(blobs, media_types.OCI_CONFIG, config), [layer for layer, _ in layers], annotations=annotations
    )
    keep_blob(blobs, manifest.media_type, manifest.raw)
    return load_image(blobs, Descriptor(manifest.media_type, len(manifest.raw), manifest.digest, platform))


def write_draft(draft: Draft, blobs: BlobStore, *, level: int = GZIP_LEVEL) -> tuple[Descriptor, Digest]:
    """The draft as a gzip layer in ``blobs``: its descriptor and diff_id."""
    with blobs.create() as writer:
        packed = GzipSink(writer.write, level)
        layer = LayerWriter(packed.write, gzip=False)
        draft.write(layer)
        diff_id = layer.close()
        packed.close()
        size = writer.size
        return Descriptor(media_types.OCI_LAYER_GZIP, size, writer.commit()), diff_id


def keep_blob(blobs: BlobStore, media_type: str, raw: bytes) -> Descriptor:
    """Keep a small document; its descriptor."""
    descriptor = Descriptor(media_type, len(raw), Digest.of(raw))
    blobs.put(descriptor.digest, descriptor.size, [raw])
    return descriptor


def _root(blobs: BlobStore, base: Image | None) -> Rootfs | None:
    return None if base is None else _merged(blobs, base.layers)


def _merged(blobs: BlobStore, layers: Sequence[tuple[Descriptor, Digest]]) -> Rootfs:
    return Rootfs.merge(list_layer(blobs, layer, diff_id=diff_id, keep=is_database_file) for layer, diff_id in layers)


def _history(base: Image | None) -> list[JSON]:
    history = base.config.document.get("history") if base else None
    return list(history) if isinstance(history, list) else []


def _config(
    spec: ImageSpec, platform: Platform, created: str, diff_ids: Sequence[Digest], history: Sequence[JSON]
) -> bytes:
    run: dict[str, JSON] = {"Env": list(spec.env)}
    for name, values in (("Entrypoint", spec.entrypoint), ("Cmd", spec.cmd)):
        if values:
            run[name] = list(values)
    if spec.user:
        run["User"] = spec.user
    if spec.working_dir:
        run["WorkingDir"] = spec.working_dir
    if spec.labels:
        run["Labels"] = dict(spec.labels)
    document: dict[str, JSON] = {
        "architecture": platform.architecture,
        "os": platform.os,
        "created": created,
        "config": run,
        "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]},
        "history": list(history),
    }
    if platform.variant:
        document["variant"] = platform.variant
    return render_json(document)
