"""Sees which tool's configuration it is, and reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from sallyport.adopt.hauler import GROUP, read_hauler
from sallyport.adopt.image_syncer import is_logins, read_image_syncer
from sallyport.adopt.model import Adopted, MirrorEntry
from sallyport.adopt.oc_mirror import KIND, read_oc_mirror
from sallyport.adopt.regsync import read_regsync
from sallyport.adopt.skopeo import read_skopeo
from sallyport.discover import Leaf, Map, Seq, read_documents, read_file, text_of
from sallyport.errors import MalformedError, SallyportError, UsageError
from sallyport.oci import Reference

_READERS: dict[str, Callable[[Map, Adopted], None]] = {
    "skopeo": read_skopeo,
    "regsync": read_regsync,
    "image-syncer": read_image_syncer,
    "hauler": read_hauler,
    "oc-mirror": read_oc_mirror,
}
KINDS = ("auto", *_READERS)


def adopt(path: Path, *, kind: str = "auto") -> Adopted:
    """Read the configuration in ``path``.

    Raises:
        UsageError: it is not there, or of no kind that is known.
        MalformedError, OversizeError: it is no YAML or JSON; the message names the line.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind[:40]!r}", f"use one of: {', '.join(KINDS)}")
    documents = read_documents(text_of(read_file(path.resolve(), what=str(path)), str(path)), str(path))
    maps = [document for document in documents if isinstance(document, Map)]
    if not maps:
        raise MalformedError(f"{path}, line 1: there are no settings in it", "name a tool's configuration file")
    kind = _seen(maps, path) if kind == "auto" else kind
    adopted = Adopted(kind)
    for document in maps:
        _READERS[kind](document, adopted)
    adopted.mirror = _joined(adopted)
    adopted.lost = sorted(set(adopted.lost))
    return adopted


def _seen(maps: list[Map], path: Path) -> str:
    first = maps[0]
    if first.text("apiVersion").startswith(GROUP):
        return "hauler"
    if first.text("kind") == KIND:
        return "oc-mirror"
    if isinstance(first.items.get("sync"), Seq):
        return "regsync"
    values = first.items.values()
    if isinstance(first.items.get("images"), Map) or is_logins(first):
        return "image-syncer"
    if any(isinstance(value, Map) and any(name.startswith("images") for name in value.items) for value in values):
        return "skopeo"
    if all(isinstance(value, (Leaf, Seq)) and "/" in name for name, value in first.items.items()):
        return "image-syncer"
    raise UsageError(f"{path} is no configuration that is known", f"say what it is with --kind: {', '.join(_READERS)}")


def _joined(adopted: Adopted) -> list[MirrorEntry]:
    """Entries that differ in their tags and digests only, as one; those that are no repository are lost."""
    found: dict[MirrorEntry, MirrorEntry] = {}
    for entry in adopted.mirror:
        try:
            reference = Reference.parse(entry.source)
            if reference.tag or reference.digest:
                raise UsageError(f"{entry.source[:120]!r} names a tag already", "name the repository")
        except SallyportError as error:
            adopted.lose(entry.line, entry.source[:120], error.message)
            continue
        entry = replace(entry, source=f"{reference.registry}/{reference.repository}")  # noqa: PLW2901 - in one spelling
        key = replace(entry, line=0, tags=(), digests=())
        known = found.get(key)
        if known is not None:
            tags, digests = (*known.tags, *entry.tags), (*known.digests, *entry.digests)
            entry = replace(  # noqa: PLW2901 - the two in one
                known, tags=tuple(dict.fromkeys(tags)), digests=tuple(dict.fromkeys(digests))
            )
        found[key] = entry
    return list(found.values())
