"""One member of a layer. Sources: OCI image-spec 1.1, layer.md; POSIX.1-2017 pax, "ustar Interchange Format"."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

NO_XATTRS: Mapping[str, bytes] = {}  # no mapping proxy: it can be neither pickled nor encoded
WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"


class Kind(enum.Enum):
    """What a member is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"
    CHARACTER = "character device"
    BLOCK = "block device"
    FIFO = "fifo"


@dataclass(frozen=True, slots=True)
class Entry:
    """A member's metadata.

    ``path`` is relative, normalised, without a leading ``./`` or a trailing slash, and never
    contains ``..``; the root itself is the empty string. ``link`` is a symlink's target as
    written, or a hard link's target as a normalised path.
    """

    path: str
    kind: Kind
    mode: int = 0o644  # permission bits with setuid, setgid and sticky
    uid: int = 0
    gid: int = 0
    size: int = 0  # bytes of content; 0 for all but files
    mtime: int = 0  # seconds since the epoch
    link: str = ""
    device: tuple[int, int] = (0, 0)  # major, minor
    xattrs: Mapping[str, bytes] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        """The last component."""
        return self.path.rpartition("/")[2]

    @property
    def parent(self) -> str:
        """The folder's path; the root's is the empty string."""
        return self.path.rpartition("/")[0]
