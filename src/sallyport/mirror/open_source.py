"""Chooses what reads an upstream, by the scheme of its address.

``oci:FOLDER`` is an image layout, ``oci-archive:FILE`` one in a tar; everything else is a registry's repository.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sallyport.errors import UnsafePathError, UsageError
from sallyport.mirror.docker_archive import convert_docker_archive
from sallyport.mirror.interface import Source
from sallyport.mirror.layout_source import LayoutSource
from sallyport.oci import CHUNK, Kind, read_tar


@contextmanager
def open_files(scheme: str, path: Path, scratch: Path) -> Iterator[Source]:
    """A source that reads files; archives are unpacked below ``scratch`` for as long as the block runs.

    Raises:
        UsageError: there is no such file or folder.
        DamagedError: it is no layout or archive, or a broken one.
    """
    if not path.exists():
        raise UsageError(f"there is no {path}", "correct the path after the colon of from:")
    if scheme == "oci":
        yield LayoutSource(path)
        return
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".archive-", dir=scratch))
    try:
        if scheme == "oci-archive":
            _unpack(path, folder)
        else:
            convert_docker_archive(path, folder)
        yield LayoutSource(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _unpack(path: Path, folder: Path) -> None:
    """Only what a layout is made of, under names that cannot lead out."""
    with path.open("rb") as file:
        for entry, body in read_tar(iter(lambda: file.read(CHUNK), b""), what=str(path)):
            parts = entry.path.split("/")
            small = len(parts) == 1 and parts[0] in ("oci-layout", "index.json")
            blob = len(parts) == 3 and parts[0] == "blobs" and parts[1] in ("sha256", "sha512") and parts[2].isalnum()  # noqa: PLR2004
            if not (small or blob):
                continue
            if entry.kind is not Kind.FILE:
                raise UnsafePathError(f"{path}: {entry.path} is no plain file", "write the archive anew")
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as out:
                for chunk in body:
                    out.write(chunk)
