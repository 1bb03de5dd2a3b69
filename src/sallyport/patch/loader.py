"""The loader's cache, ``/etc/ld.so.cache``, which ``ldconfig`` would write anew.

It is kept as it is. glibc looks a name up in the cache first and then, for a name that is not there or whose file is
gone, in its default folders; so a cache that does not know a new library in a default folder costs a look-up, never
the library. To white the cache out would be worse: libraries in folders that only ``/etc/ld.so.conf`` names could no
longer be found. What the cache alone can answer is a new library in such a folder, and that is reported.
Sources: ld.so(8); glibc, ``elf/dl-load.c`` (_dl_map_object) and ``sysdeps/generic/dl-cache.h`` (the format).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable

CACHE = "etc/ld.so.cache"
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = 48
_ENTRY = struct.Struct("<iIIIQ")
_LIBRARY = re.compile(r"(?:\A|/)(?:lib|ld-)[^/]*\.so(?:\.[^/]*)?\Z")
_DEFAULT = re.compile(r"(?:usr/)?lib(?:32|64|x32)?(?:/[a-z0-9_]+-linux-gnu[a-z0-9]*)?\Z")


def cached_libraries(cache: bytes) -> frozenset[str] | None:
    """The relative paths that the cache names; None where its format is not known."""
    start = cache.find(_MAGIC)
    if start < 0 or len(cache) < start + _HEADER:
        return None
    (count,) = struct.unpack_from("<I", cache, start + len(_MAGIC))
    if count * _ENTRY.size > len(cache) - start - _HEADER:
        return None
    found: set[str] = set()
    for number in range(count):
        value = _ENTRY.unpack_from(cache, start + _HEADER + number * _ENTRY.size)[2]
        end = cache.find(b"\0", start + value)
        if end < 0:
            return None
        found.add(cache[start + value : end].decode("utf-8", "replace").lstrip("/"))
    return frozenset(found)


def unknown_to_loader(cache: bytes, paths: Iterable[str]) -> tuple[str, ...]:
    """Of the new files' real ``paths`` the libraries that the loader would find by a new cache only."""
    known = cached_libraries(cache)
    if known is None:
        return ()
    folders = {path.rpartition("/")[0] for path in known}
    libraries = (path for path in paths if _LIBRARY.search(path) and path not in known)
    return tuple(
        path
        for path in sorted(libraries)
        if (folder := path.rpartition("/")[0]) in folders and not _DEFAULT.match(folder)
    )
