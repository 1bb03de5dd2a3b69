"""Read a bundle in place, and prove every byte of it before anything of it is used.

The steps have numbers; :mod:`sallyport.receive` continues them:

1. the metadata files are of the profile, canonical, and signed by those whom the trusted root names;
2. (receive: the position is newer than the high-water mark);
3. the destination is the trusted root's;
4. the statement ``bundle.json`` is the signed one, agrees with itself, and so do the layout's own files;
5. the folder holds the named files and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sallyport.bundle.blobs import BundleBlobs
from sallyport.bundle.errors import (
    DamagedFileError,
    ForeignBundleError,
    LongFileError,
    MalformedContentsError,
)
from sallyport.bundle.folder import blob_path, check_listing, check_size, read_file
from sallyport.bundle.index import CONTENTS_FILE, INDEX_FILE, LAYOUT, LAYOUT_FILE, render_index
from sallyport.bundle.model import FORMAT, Contents
from sallyport.bundle.seal import Sealed, verify_metadata
from sallyport.bundle.trust import Anchor
from sallyport.engine import Progress, Silent, render_time
from sallyport.errors import SallyportError
from sallyport.oci import Digest, decode, encode, is_repository, is_tag, media_types
from sallyport.sign import PublicKey, Purpose

CONTENTS_LIMIT = 64 * 1024 * 1024  # bytes; some 300,000 blobs
_AGAIN = "copy the bundle to the medium again; if it happens twice, keep the medium as evidence"
_TOP = media_types.MANIFESTS | media_types.INDEXES


@dataclass(frozen=True, slots=True)
class OpenedBundle:
    """A bundle whose statement is proven; its blobs are read in place, and proven as they are read."""

    sealed: Sealed
    contents: Contents
    blobs: BundleBlobs

    @property
    def name(self) -> str:
        return self.sealed.name

    @property
    def expected(self) -> dict[str, int]:
        """Every file of the folder, with its size."""
        files = {path: shape.length for path, shape in self.sealed.files.items()}
        blobs = {blob_path(blob.digest): blob.size for blob in self.contents.carries}
        return {**files, **self.sealed.metadata, **blobs}


def open_bundle(folder: Path, anchor: Anchor) -> OpenedBundle:
    """Steps 1, 3 and 4: a bundle that may be read. Step 5 is :func:`check_files`."""
    return open_sealed(verify_metadata(folder, anchor))


def open_sealed(sealed: Sealed) -> OpenedBundle:
    """Steps 3 and 4, for a bundle whose metadata are proven.

    Raises:
        DamagedFileError, TruncatedFileError, LongFileError, MissingFileError: naming the file.
        MalformedContentsError: signed, and yet it does not agree with itself.
        ForeignBundleError: the statement is for another destination than its signatures.
    """
    raw = _target(sealed, CONTENTS_FILE)
    contents = read_contents(raw)
    if contents.destination != sealed.destination:
        raise ForeignBundleError(
            f"{CONTENTS_FILE} is for {contents.destination}, its signatures for {sealed.destination}",
            "refuse it, and tell the approvers",
        )
    if contents.position != sealed.position:
        raise MalformedContentsError(
            f"{CONTENTS_FILE} states the position {contents.position}, its signatures {sealed.position}",
            "refuse it, and tell the approvers",
        )
    if contents.created > sealed.ends:
        raise MalformedContentsError(
            f"{CONTENTS_FILE} was made at {render_time(contents.created)}, after its signatures end", "refuse it"
        )
    for path, expected in ((INDEX_FILE, render_index(contents)), (LAYOUT_FILE, LAYOUT)):
        if _target(sealed, path) != expected:
            raise MalformedContentsError(
                f"{path} is signed, and yet says something else than {CONTENTS_FILE}",
                "refuse it: other tools would read another bundle than sallyport; tell the approvers",
            )
    return OpenedBundle(sealed, contents, BundleBlobs(sealed.folder, contents.carries))


def _target(sealed: Sealed, path: str) -> bytes:
    shape = sealed.files[path]
    if shape.length > CONTENTS_LIMIT:
        raise LongFileError(f"{path} would have {shape.length} bytes; the limit is {CONTENTS_LIMIT}", "refuse it")
    raw = read_file(sealed.folder, path, shape.length)
    check_size(sealed.folder, path, len(raw), shape.length)
    if Digest.of(raw).hex != shape.hashes.sha256:
        raise DamagedFileError(f"{path} in {sealed.folder} is damaged: its digest is not the signed one", _AGAIN)
    return raw


def read_contents(raw: bytes) -> Contents:
    """Read ``bundle.json`` and check that it agrees with itself.

    Raises:
        MalformedContentsError: it does not, or is not in the canonical form.
    """
    try:
        contents = decode(raw, Contents, what=CONTENTS_FILE, limit=CONTENTS_LIMIT)
        canonical = encode(contents) == raw
        for key in contents.keys:
            Purpose(key.purpose)
            canonical = canonical and PublicKey(key.pem).pem == key.pem
    except (SallyportError, ValueError) as error:
        raise MalformedContentsError(f"{CONTENTS_FILE}: {str(error)[:200]}", _AGAIN) from error
    problem = "is not in the canonical form" if not canonical else _contradiction(contents)
    if problem:
        raise MalformedContentsError(f"{CONTENTS_FILE} {problem}", "refuse it, and tell the approvers")
    return contents


def _contradiction(contents: Contents) -> str:
    if contents.format != FORMAT:
        return f"has format {contents.format}; this sallyport reads {FORMAT}"
    blobs = {blob.digest: blob.size for blob in (*contents.carries, *contents.requires)}
    if len(blobs) != len(contents.carries) + len(contents.requires):
        return "names a blob twice"
    if any(size < 0 for size in blobs.values()):
        return "has a blob of a negative size"
    names = [(one.repository, one.tag) for one in contents.released]
    if len(set(names)) != len(names):
        return "releases two images under one tag"
    for one in contents.released:
        if not is_repository(one.repository) or not is_tag(one.tag):
            return f"has an image with the name {one.name[:120]!r}"
        for attached in one.attached:
            if attached.tag and not is_tag(attached.tag):
                return f"has an attachment with the tag {attached.tag[:120]!r}"
    for descriptor in contents.descriptors():
        if descriptor.media_type not in _TOP:
            return f"brings {descriptor.digest}, which is no manifest or index"
        if blobs.get(descriptor.digest) != descriptor.size:
            return f"brings {descriptor.digest} and neither carries nor requires it"
    carried = {blob.digest: blob.size for blob in contents.carries}
    for feed in contents.feeds:
        if carried.get(feed.blob.digest) != feed.blob.size:
            return f"has the feed {feed.blob.digest} and does not carry it"
    return ""


# --- 5: the folder, and every byte --------------------------------------------------------


def check_files(opened: OpenedBundle) -> None:
    """Step 5: every named file is there in its size, and nothing else is. The bytes are proven as they are read.

    Raises:
        ExtraFileError, MissingFileError, UnsafeFileError, TruncatedFileError, LongFileError: naming the file.
    """
    check_listing(opened.sealed.folder, opened.expected)


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle of which every byte has been proven."""

    name: str
    contents: Contents
    files: int
    bytes: int


def verify_bundle(folder: Path, anchor: Anchor, *, progress: Progress = Silent()) -> Verified:  # noqa: B008 - an immutable value
    """Read and prove every file of a bundle. Whether it was received before is not asked.

    Raises:
        the errors of steps 1 to 5; where several blobs are damaged, the first one's, which counts the others.
    """
    opened = open_bundle(folder, anchor)
    check_files(opened)
    bad: list[SallyportError] = []
    with progress.task(f"verify {opened.name}", sum(blob.size for blob in opened.contents.carries)) as task:
        for blob in opened.contents.carries:
            try:
                for chunk in opened.blobs.proven(blob.digest):
                    task.advance(len(chunk))
            except SallyportError as error:
                bad.append(error)
    if bad:
        first = bad[0]
        others = "" if len(bad) == 1 else f" (and {len(bad) - 1} more)"
        raise type(first)(f"{first.message}{others}", first.mend)
    sizes = opened.expected
    return Verified(opened.name, opened.contents, len(sizes), sum(sizes.values()))
