"""A layer while it is being drafted: what it adds to and takes from the root below it, and where links lead.

Sources: OCI image-spec 1.1, layer.md ("Change Types", "Whiteouts"); path_resolution(7).
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from sallyport.errors import CycleError, DiskFullError, MalformedError, StorageError, UnsafePathError
from sallyport.oci import CHUNK, OPAQUE, WHITEOUT, Entry, Kind, LayerWriter, Rootfs

_LINKS = 40
_MEND = "the image or package is broken: report it to whoever publishes it"


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """Bytes in the draft's scratch file; two members with the same object are hard links of each other."""

    at: int
    size: int


@dataclass(frozen=True, slots=True)
class Placed:
    """A member of the draft, under its real path."""

    entry: Entry
    content: Content | None
    owner: str  # the package that brought it; empty for files of our own


class Draft:
    """What one new layer will change over the root ``below`` (None: over nothing).

    Every path that is given is resolved through the links of the draft and of the root, so that a package's
    ``lib/x`` lands in ``usr/lib/x`` where ``lib`` is a link. Contents wait in one unnamed file, not in memory.
    Used as ``with Draft(below) as draft``; :meth:`write` then writes the layer: sorted, parents first, with the
    folders above each member as they were, because some runtimes would make them anew with default rights.
    """

    def __init__(self, below: Rootfs | None = None, *, mtime: int = 0, scratch: Path | None = None) -> None:
        """``mtime`` is given to folders that nobody brought; ``scratch`` is a folder for the unnamed file."""
        self.below = below if below is not None else Rootfs()
        self.mtime = mtime
        self._placed: dict[str, Placed] = {}
        self._removed: set[str] = set()
        self._implied: set[str] = set()  # folders that nobody has described yet
        self._lock = threading.Lock()
        self._size = 0
        try:
            self._file = tempfile.TemporaryFile(buffering=0, dir=scratch)  # noqa: SIM115 - closed by close()
        except OSError as error:
            raise _storage_error(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the scratch file back."""
        self._file.close()

    # --- contents -------------------------------------------------------------------------

    def keep(self, size: int, chunks: Iterable[bytes]) -> Content:
        """Put exactly ``size`` bytes into the scratch file. May be called by several threads."""
        with self._lock:
            content = Content(self._size, size)
            self._size += size
        at = content.at
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                try:
                    written = os.pwrite(self._file.fileno(), view, at)
                except OSError as error:
                    raise _storage_error(error) from error
                at += written
                view = view[written:]
        if at != content.at + size:
            raise MalformedError(f"a content has {at - content.at} bytes instead of {size}", _MEND)
        return content

    def read(self, content: Content) -> Iterator[bytes]:
        """The bytes again."""
        at, end = content.at, content.at + content.size
        while at < end:
            chunk = os.pread(self._file.fileno(), min(CHUNK, end - at), at)
            if not chunk:
                raise MalformedError("the scratch file was cut short", "run the same command again")
            at += len(chunk)
            yield chunk

    # --- looking --------------------------------------------------------------------------

    def entry(self, path: str) -> Entry | None:
        """What will stand at the real path ``path`` itself; None for nothing."""
        placed = self._placed.get(path)
        if placed is not None:
            return placed.entry
        if self._hidden(path):
            return None
        node = self.below.get(path)
        return None if node is None else node.entry

    def content(self, path: str) -> bytes | None:
        """The bytes of the file at the real path ``path``; None where there is none.

        Raises:
            MissingBlobError: it stands in the root below, whose listing did not keep it.
        """
        placed = self._placed.get(path)
        if placed is not None:
            return None if placed.content is None else b"".join(self.read(placed.content))
        return None if self._hidden(path) else self.below.read(path)

    def owner(self, path: str) -> str | None:
        """The package that brought the real path in this draft; None where the draft does not touch it."""
        placed = self._placed.get(path)
        return None if placed is None else placed.owner

    def resolve(self, path: str, *, follow_last: bool = True) -> str:
        """The real path behind ``path``; a tail that does not exist is kept.

        ``follow_last=False`` leaves the last component alone, as for a file that replaces a link.

        Raises:
            CycleError: links that lead in a circle.
        """
        waiting = [part for part in reversed(path.split("/")) if part not in ("", ".")]
        last = waiting.pop(0) if waiting and not follow_last else ""
        done = ""
        links = 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            step = f"{done}/{part}" if done else part
            entry = self.entry(step)
            if entry is None or entry.kind is not Kind.SYMLINK:
                done = step
                continue
            links += 1
            if links > _LINKS:
                raise CycleError(f"{path[:120]!r} leads through more than {_LINKS} links", _MEND)
            if entry.link.startswith("/"):
                done = ""
            waiting.extend(reversed(entry.link.split("/")))
        return f"{done}/{last}".strip("/") if last else done

    # --- changing -------------------------------------------------------------------------

    def put(self, entry: Entry, content: bytes | Content = b"", *, owner: str = "") -> str:
        """Add or replace one member; returns the real path.

        A folder that stands there already, also behind a link, stays as it is.

        Raises:
            MalformedError: it would stand below a file, or a file would replace a folder.
            UnsafePathError: the name is a whiteout's, which would delete.
        """
        path = self.resolve(entry.path, follow_last=False)
        if not path or any(part.startswith(WHITEOUT) for part in path.split("/")):
            raise UnsafePathError(f"{entry.path[:120]!r} is no name for a file in a layer", _MEND)
        there = self.entry(path)
        if path in self._implied:
            self._implied.discard(path)
            there = None if entry.kind is Kind.DIRECTORY else there
        if entry.kind is Kind.DIRECTORY and there is not None:
            behind = self.entry(self.resolve(path))
            if behind is None or behind.kind is not Kind.DIRECTORY:
                raise MalformedError(f"{path[:120]!r} is a folder to one and something else to another", _MEND)
            return path
        if there is not None and there.kind is Kind.DIRECTORY:
            raise MalformedError(f"{path[:120]!r} would replace a folder", _MEND)
        implied: list[str] = []
        for parent in _parents(path):
            above = self.entry(parent)
            if above is None:
                implied.append(parent)
            elif above.kind is not Kind.DIRECTORY:
                raise MalformedError(f"{path[:120]!r} stands below a file", _MEND)
            else:
                break
        for parent in implied:
            self._placed[parent] = Placed(Entry(parent, Kind.DIRECTORY, 0o755, mtime=self.mtime), None, "")
            self._implied.add(parent)
        kept: Content | None = None
        if entry.kind is Kind.FILE:
            kept = content if isinstance(content, Content) else self.keep(len(content), [content])
            entry = replace(entry, size=kept.size)
        self._placed[path] = Placed(replace(entry, path=path), kept, owner)
        return path

    def remove(self, path: str) -> bool:
        """Take the real path ``path`` away, with all below it; whether there was anything."""
        if self.entry(path) is None:
            return False
        prefix = f"{path}/"
        for placed in [placed for placed in self._placed if placed == path or placed.startswith(prefix)]:
            del self._placed[placed]
            self._implied.discard(placed)
        if self.below.get(path) is not None and not self._hidden(path):
            # One whiteout for a folder says it of all below.
            self._removed = {gone for gone in self._removed if not gone.startswith(prefix)} | {path}
        return True

    def children(self, path: str) -> list[str]:
        """The full paths of what will stand in the real folder ``path``, sorted."""
        found = {child for child in self.below.children(path) if self.entry(child) is not None}
        prefix = f"{path}/" if path else ""
        found |= {name for name in self._placed if name.startswith(prefix) and "/" not in name[len(prefix) :]}
        return sorted(found)

    def _hidden(self, path: str) -> bool:
        return bool(self._removed) and (
            path in self._removed or any(above in self._removed for above in _parents(path))
        )

    # --- writing --------------------------------------------------------------------------

    @property
    def empty(self) -> bool:
        """Whether the layer would hold nothing."""
        return not self._placed and not self._removed

    def write(self, writer: LayerWriter) -> None:
        """Write every member and whiteout into ``writer``, which the caller closes."""
        members: dict[str, Placed | None] = dict(self._placed)
        for path in self._removed:
            over = self._placed.get(path)
            if over is not None and over.entry.kind is Kind.DIRECTORY:
                members[f"{path}/{OPAQUE}"] = None  # a new folder, without what the old one held
            elif over is None:
                folder, _, name = path.rpartition("/")
                members[f"{folder}/{WHITEOUT}{name}" if folder else f"{WHITEOUT}{name}"] = None
        for path in list(members):
            for parent in _parents(path):
                if parent not in members:
                    there = self.entry(parent)
                    assert there is not None  # put() made it, or it stands below
                    members[parent] = Placed(there, None, "")
        first: dict[int, str] = {}
        for path in sorted(members):
            placed = members[path]
            if placed is None:
                writer.add(Entry(path, Kind.FILE, 0o644, mtime=self.mtime))
            elif placed.content is None:
                writer.add(placed.entry)
            elif (name := first.setdefault(id(placed.content), path)) != path:
                writer.add(replace(placed.entry, kind=Kind.HARDLINK, size=0, link=name))
            else:
                writer.add(placed.entry, self.read(placed.content))


def _storage_error(error: OSError) -> StorageError:
    folder = tempfile.gettempdir()
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFullError(
            f"no space left in {folder} for a layer's files", "free space, or set TMPDIR to another folder"
        )
    return StorageError(f"cannot keep a layer's files in {folder}: {error.strerror}", "set TMPDIR to another folder")


def _parents(path: str) -> Iterator[str]:
    """Every folder above ``path``, the nearest first, without the root."""
    at = path.rfind("/")
    while at > 0:
        path = path[:at]
        yield path
        at = path.rfind("/")
