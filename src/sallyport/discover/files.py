"""Files to look at: a folder, an archive that was read, a commit. Bounded, links never followed."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from posixpath import normpath
from typing import TYPE_CHECKING, Protocol

from sallyport.errors import MalformedError, OversizeError, StorageError, UsageError

FILE_LIMIT = 8 * 1024 * 1024  # bytes of one file
COUNT_LIMIT = 50_000  # files of a folder
FOLDER_LIMIT = 32  # folders in folders
TOTAL_LIMIT = 512 * 1024 * 1024  # bytes of all that is read
_SKIPPED = frozenset({".git", ".hg", ".svn", "node_modules", "__pycache__", ".terraform", ".venv", ".tox"})
_MEND = "name the file or folder that matters"


class Files(Protocol):
    """Regular files by their paths, which are relative and written with ``/``."""

    def names(self) -> tuple[str, ...]:
        """All of them, sorted."""

    def has(self, name: str) -> bool:
        """Whether it is a file here; the path may lead up with ``..``."""

    def read(self, name: str) -> bytes:
        """Its bytes, bounded."""


class FolderFiles:
    """Of a folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._left = TOTAL_LIMIT

    def names(self) -> tuple[str, ...]:
        found: list[str] = []
        waiting = [("", 0)]
        while waiting:
            folder, depth = waiting.pop()
            if depth > FOLDER_LIMIT:
                raise OversizeError(f"{folder[:200]} lies deeper than {FOLDER_LIMIT} folders", _MEND)
            try:
                with os.scandir(self._root / folder) as entries:
                    for entry in entries:
                        path = f"{folder}{entry.name}"
                        if entry.is_dir(follow_symlinks=False):
                            if entry.name not in _SKIPPED:
                                waiting.append((f"{path}/", depth + 1))
                        elif entry.is_file(follow_symlinks=False):
                            found.append(path)
            except OSError as error:
                raise StorageError(f"cannot read {self._root / folder}: {error.strerror}", _MEND) from error
            if len(found) > COUNT_LIMIT:
                raise OversizeError(f"{self._root} has over {COUNT_LIMIT} files", _MEND)
        return tuple(sorted(found))

    def has(self, name: str) -> bool:
        path = self._root / name
        try:
            # A link on the way is followed no more than one at its end.
            folder = os.path.normpath(self._root.resolve() / Path(name).parent)
            return os.path.realpath(path.parent) == folder and stat.S_ISREG(os.lstat(path).st_mode)
        except (OSError, ValueError):
            return False

    def read(self, name: str) -> bytes:
        data = read_file(self._root / name, what=name)
        self._left -= len(data)
        if self._left < 0:
            raise OversizeError(f"{self._root} has over {TOTAL_LIMIT} bytes that matter", _MEND)
        return data


class MemoryFiles:
    """That were read already."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._files = dict(sorted(files.items()))

    def names(self) -> tuple[str, ...]:
        return tuple(self._files)

    def has(self, name: str) -> bool:
        return normpath(name) in self._files

    def read(self, name: str) -> bytes:
        return self._files[normpath(name)]


def read_file(path: Path, *, what: str = "") -> bytes:
    """A regular file's bytes; no link, no device.

    Raises:
        UsageError: it cannot be read, or is no regular file.
        OversizeError: it is larger than FILE_LIMIT.
    """
    what = what or str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise UsageError(f"{what} is no regular file", _MEND)
            data = file.read(FILE_LIMIT + 1)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"cannot read {what}: {getattr(error, 'strerror', None) or error}", "links are not followed: name the file"
        ) from error
    if len(data) > FILE_LIMIT:
        raise OversizeError(f"{what} has over {FILE_LIMIT} bytes", "split it, or leave it out")
    return data


def text_of(data: bytes, what: str) -> str:
    """As UTF-8.

    Raises:
        MalformedError: it is none; the message names the line.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MalformedError(f"{what}, line {line}: it is no UTF-8", "mend the file, or leave it out") from error


if TYPE_CHECKING:
    _folder: type[Files] = FolderFiles
    _memory: type[Files] = MemoryFiles
