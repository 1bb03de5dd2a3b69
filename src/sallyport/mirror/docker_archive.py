"""What ``docker save`` wrote, as an image layout.

An archive has no manifest: one is made, of the config as it is and of the layers as they lie there, uncompressed.
Made twice it is the same, to the digest; it is not the digest that a registry had, which the archive does not keep.
Source: the Docker image specification v1.2, "Combined Image JSON + Filesystem Changeset Format".
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from pathlib import Path

from sallyport.errors import MalformedError, MissingBlobError, OversizeError
from sallyport.oci import (
    CHUNK,
    REF_NAME,
    Descriptor,
    Entry,
    Hasher,
    Kind,
    build_index,
    build_manifest,
    media_types,
    parse_config,
    parse_json,
    read_tar,
)

_SMALL = 16 * 1024 * 1024  # bytes of manifest.json, and of a config
_MEND = "save the image anew, or mirror it from a registry"


def convert_docker_archive(path: Path, folder: Path) -> None:
    """Write a layout with each image of the archive, under each of its tags, to ``folder``.

    Raises:
        MalformedError, MissingBlobError, OversizeError: the archive is none, or a broken one.
    """
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    files: dict[str, Descriptor] = {}
    links: dict[str, str] = {}
    with path.open("rb") as file:
        for entry, body in read_tar(iter(lambda: file.read(CHUNK), b""), what=str(path)):
            if entry.kind is Kind.FILE:
                files[entry.path] = _keep(entry, body, blobs)
            elif entry.kind in (Kind.SYMLINK, Kind.HARDLINK):
                # A layer that two images share lies there once; the others link to it.
                links[entry.path] = posixpath.normpath(
                    posixpath.join(posixpath.dirname(entry.path), entry.link)
                    if entry.kind is Kind.SYMLINK
                    else entry.link
                )
    for name, target in links.items():
        if target in files:
            files[name] = files[target]
    entries: list[Descriptor] = []
    for item in _items(files, blobs, path):
        config = _config(item, files, blobs, path)
        layers = tuple(_layer(files, name, path) for name in _names(item, "Layers", path))
        manifest = build_manifest(config, layers)
        (blobs / manifest.digest.hex).write_bytes(manifest.raw)
        made = Descriptor(manifest.media_type, len(manifest.raw), manifest.digest)
        for name in _names(item, "RepoTags", path) or ("",):
            notes = {REF_NAME: name} if name else {}
            entries.append(Descriptor(made.media_type, made.size, made.digest, annotations=notes))
    if not entries:
        raise MalformedError(f"{path} holds no image", _MEND)
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "index.json").write_bytes(build_index(entries).raw)


def _keep(entry: Entry, body: Iterable[bytes], blobs: Path) -> Descriptor:
    temporary = blobs / ".member"
    hasher = Hasher()
    with temporary.open("wb") as out:
        for chunk in body:
            hasher.update(chunk)
            out.write(chunk)
    digest = hasher.digest()
    temporary.replace(blobs / digest.hex)
    return Descriptor(media_types.OCI_LAYER, entry.size, digest)


def _items(files: dict[str, Descriptor], blobs: Path, path: Path) -> list[dict[str, object]]:
    known = files.get("manifest.json")
    if known is None:
        raise MalformedError(f"{path} has no manifest.json: docker save did not write it", _MEND)
    value = parse_json(_small(known, blobs, f"{path}: manifest.json"), what=f"{path}: manifest.json", limit=_SMALL)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise MalformedError(f"{path}: manifest.json is no list of images", _MEND)
    return [dict(item) for item in value if isinstance(item, dict)]


def _config(item: dict[str, object], files: dict[str, Descriptor], blobs: Path, path: Path) -> Descriptor:
    name = item.get("Config")
    found = files.get(name) if isinstance(name, str) else None
    if found is None:
        raise MissingBlobError(f"{path}: the config {str(name)[:100]!r} is not there", _MEND)
    parse_config(_small(found, blobs, f"{path}: {name}"), what=f"{path}: {name}")
    return Descriptor(media_types.OCI_CONFIG, found.size, found.digest)


def _layer(files: dict[str, Descriptor], name: str, path: Path) -> Descriptor:
    if name not in files:
        raise MissingBlobError(f"{path}: the layer {name[:100]!r} is not there", _MEND)
    return files[name]


def _names(item: dict[str, object], key: str, path: Path) -> tuple[str, ...]:
    value = item.get(key) or []
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise MalformedError(f"{path}: {key} in manifest.json is no list of names", _MEND)
    return tuple(str(name) for name in value)


def _small(found: Descriptor, blobs: Path, what: str) -> bytes:
    if found.size > _SMALL:
        raise OversizeError(f"{what} has {found.size} bytes", _MEND)
    return (blobs / found.digest.hex).read_bytes()
