"""The first key: from a file, from the host's package, or from the archive by its published fingerprint."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from sallyport.archives.deb import Deb
from sallyport.archives.download import Downloads, address
from sallyport.archives.keyring import HOST_KEYRINGS, PUBLISHED, Keyring, host_keyring, published_keyring, read_keyring
from sallyport.archives.model import BinaryPackage, Suite
from sallyport.archives.packages import Index, PackageIndex
from sallyport.archives.release import Listed
from sallyport.engine import Http, Progress, Silent
from sallyport.errors import MalformedError, NotFoundError, OversizeError
from sallyport.oci import Digest, Kind, decompress
from sallyport.store import DirectoryStore

_PACKAGE = "debian-archive-keyring"
_FILES = tuple(str(path).lstrip("/") for path in reversed(HOST_KEYRINGS))
_INDEX = re.compile(rb"^ ([0-9a-f]{64}) +([0-9]{1,12}) main/binary-(?:all|amd64)/Packages\.xz$", re.MULTILINE)
_INDEX_LIMIT = 256 * 1024 * 1024  # bytes, inflated
_PACKED_LIMIT = 64 * 1024 * 1024
_DEB_LIMIT = 4 * 1024 * 1024
_MEND = "use another mirror, install the package debian-archive-keyring, or name a keyring"


def load_keyring(
    paths: Sequence[Path] = (),
    *,
    http: Http,
    cache: DirectoryStore,
    mirror: str,
    suite: str = "bookworm",
    host: Sequence[Path] = HOST_KEYRINGS,
    published: Mapping[str, str] = PUBLISHED,
    progress: Progress | None = None,
) -> Keyring:
    """The keys to trust: the files that the user names, else the host's own keyring, else the archive's package.

    Of the package, which comes over a network that nobody vouches for yet, only keys whose fingerprints are among
    ``published`` are taken; on those the whole chain then rests.

    Raises:
        UsageError: a named file cannot be read.
        UntrustedError: the package holds no published key.
        UnreachableError, NotFoundError, DamagedError: the mirror does not give the package.
    """
    if paths:
        return read_keyring(paths)
    there = host_keyring(host)
    if there is not None:
        return there
    raw = _from_package(Downloads(http, cache), Suite(mirror, suite), progress or Silent())
    return published_keyring(raw, origin=f"{_PACKAGE} of {suite}", published=published)


def _from_package(downloads: Downloads, suite: Suite, progress: Progress) -> bytes:
    # Nothing here is trusted: every length is bounded, and what comes out is judged by its fingerprints.
    release = downloads.newest(address(suite.mirror, f"dists/{suite.name}/InRelease"), what="the release").raw
    found = _INDEX.findall(release)
    if not found:
        raise MalformedError(f"the release of {suite.name} lists no packages", _MEND)
    digest, size = min(found, key=lambda item: int(item[1]))
    path = re.search(rb"^ " + digest + rb" +[0-9]+ (main/\S+)$", release, re.MULTILINE)
    packed = Listed(Digest("sha256", digest.decode()), int(size))
    if packed.size > _PACKED_LIMIT or path is None:
        raise OversizeError(f"the package index of {suite.name} has {packed.size} bytes", _MEND)
    what = f"the package index of {suite.name}"
    urls = [address(suite.mirror, f"dists/{suite.name}/{path[1].decode()}")]
    with progress.task(what, packed.size) as task:
        downloads.fetch(urls, packed, what=what, advance=task.advance)
    chunks = downloads.cache.chunks(packed.digest)
    text = b"".join(decompress(chunks, "xz", what=what, limit=_INDEX_LIMIT))
    package = PackageIndex("all", [Index(suite, text)]).newest(_PACKAGE)
    if package is None:
        raise NotFoundError(f"{suite.name} has no package {_PACKAGE}", _MEND)
    return _keys(downloads, package)


def _keys(downloads: Downloads, package: BinaryPackage) -> bytes:
    if package.size > _DEB_LIMIT:
        raise OversizeError(f"{package.name} has {package.size} bytes", _MEND)
    downloads.fetch(
        [address(package.suite.mirror, package.filename)],
        Listed(package.digest, package.size),
        what=package.name,
        advance=lambda _: None,
    )
    files = Deb(downloads.cache, package.digest, package.size).files(_FILES, limit=_DEB_LIMIT)
    for path in _FILES:
        if path in files and files[path][0].kind is Kind.FILE:
            return files[path][1]
    raise NotFoundError(f"{package.name} holds no keyring file", _MEND)
