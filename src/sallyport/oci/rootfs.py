"""Layers laid over each other: the file system that a container would see, without writing any of it.

Sources: OCI image-spec 1.1, layer.md ("Changeset Files", "Whiteouts"); path_resolution(7) for links.
Where the specification is silent, this does what containerd and Docker do: members are applied in their
order, and a member below a link lands where the link leads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sallyport.errors import CycleError, MalformedError, MissingBlobError, OversizeError, UnsafePathError
from sallyport.oci.digest import Digest
from sallyport.oci.entry import OPAQUE, WHITEOUT, Entry, Kind
from sallyport.oci.listing import Listing

MAX_LINKS = 40
"""Links followed for one path. Source: path_resolution(7)."""
NAMES_LIMIT = 512 * 1024**2
"""Bytes of all paths of one root, those of folders that no member named included."""
STEPS_LIMIT = 50_000_000
"""Folders and links looked at while layers are merged; an honest root needs one for every few members."""
_RESERVED = ".wh..wh."  # AUFS kept its own records under such names
_MEND = "the image is broken: ask its publisher to build it anew"


@dataclass(frozen=True, slots=True)
class Node:
    """What stands at a path, and which layer brought its content.

    A hard link has the entry of the file that it names, under its own path.
    """

    entry: Entry
    layer: Digest  # of the blob
    content: bytes | None = field(default=None, repr=False)  # only where the listing kept it
    member: str = ""  # the path by which ``layer`` holds the content


class Rootfs:
    """The merged file system; made by :meth:`merge`, then only read.

    Paths are relative to the root, whose own is the empty string; every key of ``nodes`` is a real path,
    with no link among its folders.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}
        self._below: dict[str, set[str]] = {}  # full paths of what stands in a folder
        self._names = 0
        self._steps = 0

    @classmethod
    def merge(cls, listings: Iterable[Listing]) -> Rootfs:
        """Lay ``listings`` over each other, the base first.

        Raises:
            MalformedError: a hard link to nothing, or a member below something that is no folder.
            UnsafePathError: a whiteout for ``.`` or ``..``.
            CycleError: links among folders that lead nowhere.
            OversizeError: more names than any honest root has, or a tangle that takes too long.
        """
        root = cls()
        for listing in listings:
            root._apply(listing)
        return root

    @property
    def nodes(self) -> Mapping[str, Node]:
        return MappingProxyType(self._nodes)

    def get(self, path: str) -> Node | None:
        """What stands at ``path`` itself; no link is followed."""
        return self._nodes.get(path.strip("/"))

    def resolve(self, path: str) -> str:
        """The real path behind ``path``: links in every component are followed, inside the root.

        A tail that does not exist is kept.

        Raises:
            CycleError: more than :data:`MAX_LINKS` links.
        """
        return self._resolve(path)[0]

    def _resolve(self, path: str) -> tuple[str, int]:
        """The real path, and how many components were looked at."""
        done = ""
        steps = 0
        waiting = path.split("/")
        waiting.reverse()
        links = 0
        while waiting:
            part = waiting.pop()
            steps += 1
            if part in ("", "."):
                continue
            if part == "..":
                done = done.rpartition("/")[0]
                continue
            step = f"{done}/{part}" if done else part
            node = self._nodes.get(step)
            if node is None or node.entry.kind is not Kind.SYMLINK:
                done = step
                continue
            links += 1
            if links > MAX_LINKS:
                raise CycleError(f"{path[:120]!r} leads through more than {MAX_LINKS} links", _MEND)
            target = node.entry.link
            if target.startswith("/"):
                done = ""
            waiting.extend(reversed(target.split("/")))
        return done, steps

    def _real(self, path: str) -> str:
        """As :meth:`resolve`, at the expense of the merge."""
        real, steps = self._resolve(path)
        self._spend(steps)
        return real

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > STEPS_LIMIT:
            raise OversizeError("the layers are too tangled to merge", "refuse it: no honest image is like that")

    def read(self, path: str) -> bytes | None:
        """The content of the file behind ``path``; None where there is no file.

        Raises:
            MissingBlobError: there is one, and its content was not kept. Silence would look like absence.
            CycleError: as :meth:`resolve` says.
        """
        resolved = self.resolve(path)
        node = self._nodes.get(resolved)
        if node is None or node.entry.kind is not Kind.FILE:
            return None
        if node.content is None and node.entry.size:
            raise MissingBlobError(
                f"{path[:120]!r} leads to {resolved[:120]!r}, whose content was not kept",
                "the image keeps this file at an unusual place: it cannot be judged",
            )
        return node.content or b""

    def children(self, path: str) -> list[str]:
        """The full paths of what stands in the folder behind ``path``, sorted; empty where there is none."""
        return sorted(self._below.get(self.resolve(path), ()))

    def _apply(self, listing: Listing) -> None:
        fresh: set[str] = set()  # what this layer brought; its own whiteouts do not hide it
        nodes, contents, layer = self._nodes, listing.contents, listing.layer
        for entry in listing.entries:
            path = entry.path
            if WHITEOUT in path and self._white_out(path, fresh):
                continue
            parent = path.rpartition("/")[0]
            above = nodes.get(parent)
            if above is None or above.entry.kind is not Kind.DIRECTORY:
                above = None
                path = self._make_parent(path, parent, layer, fresh)
            content = None
            if entry.kind is Kind.FILE:
                content = contents.get(entry.path)
                node = Node(entry, layer, content, entry.path)
            elif entry.kind is Kind.HARDLINK:
                node = self._linked(entry, path)
            else:
                node = Node(entry, layer)
            if path != node.entry.path:
                node = replace(node, entry=replace(node.entry, path=path))
            self._put(path, node)
            fresh.add(path)

    def _make_parent(self, path: str, parent: str, layer: Digest, fresh: set[str]) -> str:
        """Make the missing folders above ``path``, and say where it really lands."""
        if not path:
            return path
        real = self._real(parent)
        missing = []
        at = real
        while at not in self._nodes:
            missing.append(at)
            if not at:
                break
            at = at.rpartition("/")[0]
        else:
            if self._nodes[at].entry.kind is not Kind.DIRECTORY:
                raise MalformedError(f"{path[:120]!r} stands below {at[:120]!r}, which is no folder", _MEND)
        for folder in reversed(missing):
            self._put(folder, Node(Entry(folder, Kind.DIRECTORY, 0o755), layer))
            fresh.add(folder)
        name = path.rpartition("/")[2]
        return f"{real}/{name}" if real else name

    def _put(self, path: str, node: Node) -> None:
        old = self._nodes.get(path)
        if old is None:
            self._names += len(path)
            if self._names > NAMES_LIMIT:
                raise OversizeError(f"the root has more than {NAMES_LIMIT} bytes of paths", "refuse it")
            if path:
                self._below[path.rpartition("/")[0]].add(path)
        elif old.entry.kind is Kind.DIRECTORY and node.entry.kind is not Kind.DIRECTORY:
            if not path:
                raise MalformedError("a layer replaces the root by a file", _MEND)
            self._remove(path, set())
            self._put(path, node)
            return
        self._nodes[path] = node
        if node.entry.kind is Kind.DIRECTORY:
            self._below.setdefault(path, set())

    def _linked(self, entry: Entry, path: str) -> Node:
        parent, _, name = entry.link.rpartition("/")
        folder = self._real(parent)
        target = self._nodes.get(f"{folder}/{name}" if folder else name)
        if target is None or target.entry.kind is Kind.DIRECTORY:
            raise MalformedError(f"the hard link {path[:120]!r} names {entry.link[:120]!r}, which is no file", _MEND)
        return target

    def _white_out(self, path: str, fresh: set[str]) -> bool:
        """Whether ``path`` was a whiteout; then what it hides is gone."""
        parent, _, name = path.rpartition("/")
        if path.startswith(_RESERVED) or f"/{_RESERVED}" in path:
            if name == OPAQUE:
                for child in list(self._below.get(self._real(parent), ())):
                    self._remove(child, fresh)
            return True
        if parent.startswith(WHITEOUT) or f"/{WHITEOUT}" in parent:
            raise MalformedError(f"{path[:120]!r} stands below a whiteout", _MEND)
        if not name.startswith(WHITEOUT):
            return False
        hidden = name.removeprefix(WHITEOUT)
        if hidden in ("", ".", ".."):
            raise UnsafePathError(f"the whiteout {path[:120]!r} hides no name", _MEND)
        folder = self._real(parent)
        self._remove(f"{folder}/{hidden}" if folder else hidden, fresh)
        return True

    def _remove(self, path: str, fresh: set[str]) -> None:
        """Remove ``path`` and all below it, but not what is ``fresh`` nor the folders that lead there."""
        if path not in self._nodes:
            return
        found = [path]
        for at in found:  # grows as it goes, so that no depth of folders meets the stack's
            found.extend(self._below.get(at, ()))
        self._spend(len(found))
        for at in reversed(found):
            if at in fresh or self._below.get(at):
                continue
            del self._nodes[at]
            self._names -= len(at)
            self._below.pop(at, None)
            self._below[at.rpartition("/")[0]].discard(at)
