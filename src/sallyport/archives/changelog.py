"""What a package says about its own changes. Source: Debian Policy 12.7, "Changelog files"."""

from __future__ import annotations

import posixpath

from sallyport.archives.deb import Deb
from sallyport.errors import MalformedError
from sallyport.oci import Kind, decompress

_LIMIT = 64 * 1024 * 1024  # bytes, inflated; the longest real ones are some MB


def changelog_of(deb: Deb) -> str | None:
    """The Debian changelog in the package, newest entry first; None where it has none of its own.

    A rebuild's own entry (``changelog.Debian.<architecture>.gz``) stands before the source's. Packages of one
    source often share one documentation folder by a link: then only the linked one has the text.

    Raises:
        DamagedError: the package or the changelog is broken.
    """
    name = deb.control.get("Package", "")
    folder, architecture = f"usr/share/doc/{name}", deb.control.get("Architecture", "")
    found = deb.files([folder, f"{folder}/changelog*"], limit=_LIMIT)
    texts: list[str] = []
    # A rebuild's file has the architecture in its name.
    for path in sorted(found, key=lambda path: (not path.endswith((f".{architecture}.gz", f".{architecture}")), path)):
        stem = posixpath.basename(path).removesuffix(".gz")
        # A native package has no upstream, so its one changelog is Debian's.
        native = stem == "changelog" and "-" not in deb.control.get("Version", "")
        if path == folder or not (stem.startswith("changelog.Debian") or native):
            continue
        entry, content = found[path]
        if entry.kind is Kind.SYMLINK:
            target = posixpath.normpath(posixpath.join(folder, entry.link))
            if target in found:
                continue  # read under its own name
            return None
        if entry.kind is Kind.HARDLINK:
            content = found[entry.link][1] if entry.link in found else b""
        text = b"".join(decompress([content], "gz", what=path, limit=_LIMIT)) if path.endswith(".gz") else content
        texts.append(_decode(text, path))
    return "\n".join(texts) if texts else None


def _decode(text: bytes, path: str) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        # Entries from before 2004 are in whatever their author used; what we look for in them is ASCII.
        if b"\0" in text:
            raise MalformedError(f"{path} is no text", "report it to whoever publishes the package") from None
        return text.decode("latin-1")
