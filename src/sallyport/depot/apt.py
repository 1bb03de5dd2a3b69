"""A signed Debian archive, served on: Release -> indexes -> packages, each proven by the one before.

Every byte that a client gets is the archive's own, so that its apt verifies the archive's signature, not ours.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from sallyport.archives import (
    RELEASE_LIMIT,
    Keyring,
    Listed,
    ReleaseFile,
    Suite,
    parse_release,
    verify_detached,
    verify_inrelease,
)
from sallyport.depot.apt_listing import Named, list_files
from sallyport.depot.keep import Keeper, Kept
from sallyport.depot.model import Asked, Reply, Whole
from sallyport.errors import DigestMismatchError, NotFoundError, SallyportError, TruncatedError
from sallyport.oci import Compression, Digest, decompress, verified

if TYPE_CHECKING:
    from sallyport.depot.interface import Shelf

INFLATED_LIMIT = 2 * 1024**3  # bytes of one index
_SUITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}\Z")
_SUITES = 32  # that are remembered
_INDEX = re.compile(r"(?:.*/)?(?:Packages|Sources)(\.xz|\.gz|\.bz2|\.zst)?\Z")
_KINDS: Mapping[str, Compression] = {".xz": "xz", ".gz": "gz", ".bz2": "bz2", ".zst": "zst", "": ""}
_BY_HASH = ("by-hash", "SHA256")
_RELEASES = ("InRelease", "Release", "Release.gpg")
_MEND = "run apt-get update against this repository, then ask again"


@dataclass(frozen=True, slots=True)
class _Opened:
    """A suite: what is current, and what was before it, which a client may have read a moment ago."""

    url: str  # of the file that is signed
    kept: Kept
    files: tuple[ReleaseFile, ...]  # the current one first


class AptShelf:
    """Answers for one archive. May be shared by threads."""

    def __init__(self, keeper: Keeper, keyring: Callable[[], Keyring]) -> None:
        self._keeper = keeper
        self._keyring = keyring
        self._lock = threading.Lock()
        self._paired: set[str] = set()  # suites without an InRelease
        self._releases: dict[tuple[Digest, str], ReleaseFile] = {}
        self._listings: dict[Digest, Mapping[str, Named]] = {}

    def get(self, asked: Asked) -> Reply:
        path = asked.segments
        if asked.folder or len(path) < 2:  # noqa: PLR2004 - a folder and a file
            raise NotFoundError("this is a package archive; it has no pages for people", _MEND)
        if path[0] == "dists":
            if len(path) == 3 and path[2] in _RELEASES:  # noqa: PLR2004 - dists, suite, file
                return self._release(path[1], path[2])
            return self._index(path[1], "/".join(path[2:]))
        return self._package("/".join(path))

    # --- the signed file ----------------------------------------------------------------------

    def _release(self, suite: str, name: str) -> Whole:
        # A client without a keyring for InRelease asks for the pair; both must be of one making.
        opened = self._open_clear(suite) if name == "InRelease" else self._open_pair(suite)
        self._note(suite)
        if name == "Release.gpg":
            beside = self._keeper.recall(_beside(opened.kept.digest), Digest)
            if beside is None or not self._keeper.cache.has(beside):
                self._keeper.expire(opened.url)
                raise NotFoundError(f"the signature of {suite} is not here", _MEND)
            return Whole(beside, "application/pgp-signature", opened.kept.changed)
        return Whole(opened.kept.digest, "text/plain; charset=utf-8", opened.kept.changed)

    def _open(self, suite: str) -> _Opened:
        if suite in self._paired:
            return self._open_pair(suite)
        try:
            return self._open_clear(suite)
        except NotFoundError:
            opened = self._open_pair(suite)
            self._paired.add(suite)  # only suites that upstream has come here: not as many as clients can think of
            return opened

    def _open_clear(self, suite: str) -> _Opened:
        def read(raw: bytes, *, current: bool) -> ReleaseFile:
            now = self._keeper.now()
            signed = verify_inrelease(raw, self._keyring(), now=now, what=f"the InRelease of {suite}")
            where = self._suite(suite)
            return parse_release(signed, where, Digest.of(raw), now=now, check_valid_until=current)

        return self._opened(suite, "InRelease", read)

    def _open_pair(self, suite: str) -> _Opened:
        def read(raw: bytes, *, current: bool) -> ReleaseFile:
            now, what, key = self._keeper.now(), f"the Release of {suite}", _beside(Digest.of(raw))
            there = self._keeper.recall(key, Digest)
            if there is not None and self._keeper.cache.has(there):
                signature = self._keeper.read(there)
            else:
                url = self._url(f"dists/{suite}/Release.gpg")
                signature = self._keeper.once(url, what=f"signature of {suite}", limit=RELEASE_LIMIT)
            signed = verify_detached(raw, signature, self._keyring(), now=now, what=what)
            digest = Digest.of(signature)
            self._keeper.cache.put(digest, len(signature), [signature])
            self._keeper.remember(key, digest)
            return parse_release(signed, self._suite(suite), Digest.of(raw), now=now, check_valid_until=current)

        return self._opened(suite, "Release", read)

    def _opened(self, suite: str, name: str, read: Callable[..., ReleaseFile]) -> _Opened:
        if not _SUITE.match(suite):
            raise NotFoundError("no suite has such a name", _MEND)
        url = self._url(f"dists/{suite}/{name}")

        def prove(raw: bytes, before: bytes | None) -> bool:
            release = read(raw, current=True).release
            # One of several servers behind one name lags, or someone replays an old release: both get no further.
            return before is None or release.date >= read(before, current=False).release.date

        kept = self._keeper.index(url, what=f"{name} of {suite}", limit=RELEASE_LIMIT, prove=prove)
        return _Opened(url, kept, tuple(self._parsed(digest, name, read) for digest in self._generations(kept)))

    def _generations(self, kept: Kept) -> Iterator[Digest]:
        yield kept.digest
        if kept.before is not None and self._keeper.cache.has(kept.before):
            yield kept.before

    def _parsed(self, digest: Digest, name: str, read: Callable[..., ReleaseFile]) -> ReleaseFile:
        key = (digest, name)
        found = self._releases.get(key)
        if found is None:
            # Also what lies in the cache is verified again: keys can be taken away between two runs.
            found = read(self._keeper.read(digest), current=False)
            with self._lock:
                while len(self._releases) > 2 * _SUITES:
                    self._releases.pop(next(iter(self._releases)))
                self._releases[key] = found
        return found

    # --- indexes ------------------------------------------------------------------------------

    def _index(self, suite: str, path: str) -> Whole:
        opened = self._open(suite)
        self._note(suite)
        for number, file in enumerate(opened.files):
            found = _listed(file, path)
            if found is None or ".diff/" in path:
                continue  # patches between indexes are named by no signed file; apt then takes the whole one
            name, listed = found
            if listed.size > INFLATED_LIMIT:
                break
            urls = [self._url(f"dists/{suite}/{name}")]
            folder = name.rpartition("/")[0]
            if file.by_hash:
                # Under its digest a mirror keeps it for a while after the suite has moved on.
                between = f"{folder}/" if folder else ""
                urls.insert(0, self._url(f"dists/{suite}/{between}by-hash/SHA256/{listed.digest.hex}"))
            try:
                digest = self._keeper.file(urls, listed.digest, listed.size, what=f"{name} of {suite}")
            except (DigestMismatchError, TruncatedError, NotFoundError):
                # The archive has moved on: the next client that updates gets the new release.
                if number == 0:
                    self._keeper.expire(opened.url)
                raise
            return Whole(digest)
        raise NotFoundError(f"the signed release of {suite} does not list it", _MEND)

    # --- packages -----------------------------------------------------------------------------

    def _package(self, path: str) -> Whole:
        found = self._find(path)
        if found is None:
            # Of what is not on the list nothing is found; the name of the file says which of the two it is.
            self._keeper.repository.admit(path.rpartition("/")[2].partition("_")[0])
            self._complete(path)
            found = self._find(path)
        if found is None:
            raise NotFoundError("no verified index of this repository lists it", _MEND)
        digest = self._keeper.file([self._url(path)], found.digest, found.size, what=path.rpartition("/")[2])
        return Whole(digest, "application/vnd.debian.binary-package" if path.endswith(".deb") else _BYTES)

    def _find(self, path: str) -> Named | None:
        listings = (listing for suite in self._suites() for listing in self._listings_of(suite))
        return next((listing[path] for listing in listings if path in listing), None)

    def _complete(self, path: str) -> None:
        """Fetch the indexes that could name ``path`` and are not here: a client's may be older than this cache."""
        architecture = path.removesuffix(".deb").rpartition("_")[2] if path.endswith(".deb") else ""
        for suite in self._suites():
            with contextlib.suppress(SallyportError):  # as above
                file = self._open(suite).files[0]
                forms: dict[str, set[str]] = {}
                for name in file.files:
                    match = _INDEX.match(name)
                    if match:
                        forms.setdefault(name.removesuffix(match[1] or ""), set()).add(match[1] or "")
                folders = sorted({stem.split("/")[-2] for stem in forms if "/binary-" in stem})
                folder = f"binary-{architecture}" if architecture else "source"
                if folder == "binary-all" and folder not in folders:
                    folder = next(iter(folders), "")
                for stem, suffixes in forms.items():
                    best = next((suffix for suffix in (".xz", ".gz", ".bz2", ".zst") if suffix in suffixes), "")
                    if stem.split("/")[-2:-1] == [folder] and not any(
                        self._keeper.cache.has(file.files[stem + suffix].digest) for suffix in suffixes
                    ):
                        self._index(suite, stem + best)

    def _listings_of(self, suite: str) -> Iterator[Mapping[str, Named]]:
        try:
            opened = self._open(suite)
        except SallyportError:
            return  # another suite may list it; if none does, the client is told so
        for file in opened.files:
            seen: set[str] = set()
            for path, listed in file.files.items():
                match = _INDEX.match(path)
                stem = path.removesuffix(match[1] or "") if match else ""
                if match is None or stem in seen or not self._keeper.cache.has(listed.digest):
                    continue
                seen.add(stem)
                yield self._listing(listed, _KINDS[match[1] or ""], f"{path} of {suite}")

    def _listing(self, listed: Listed, kind: Compression, what: str) -> Mapping[str, Named]:
        found = self._listings.get(listed.digest)
        if found is None:
            raw = verified(self._keeper.cache.chunks(listed.digest), listed.digest, listed.size, what=what)
            found = list_files(
                decompress(raw, kind, what=what, limit=INFLATED_LIMIT), self._keeper.repository, what=what
            )
            with self._lock:
                while len(self._listings) > 8 * _SUITES:
                    self._listings.pop(next(iter(self._listings)))
                self._listings[listed.digest] = found
        return found

    # --- which suites there are ---------------------------------------------------------------

    def _suites(self) -> tuple[str, ...]:
        return self._keeper.recall("suites", tuple[str, ...]) or ()

    def _note(self, suite: str) -> None:
        if suite not in self._suites():
            with self._lock:
                self._keeper.remember("suites", (*self._suites(), suite)[-_SUITES:])

    def _suite(self, name: str) -> Suite:
        return Suite(self._keeper.repository.upstream, name)

    def _url(self, path: str) -> str:
        return f"{self._keeper.repository.upstream}/{quote(path, safe='/+~:=,@')}"


_BYTES = "application/octet-stream"


def _beside(digest: Digest) -> str:
    return f"signature of {digest}"


def _listed(file: ReleaseFile, path: str) -> tuple[str, Listed] | None:
    """The file at ``path``, by its name or its digest, as the signed text names it."""
    listed = file.files.get(path)
    if listed is not None:
        return path, listed
    *folder, by_hash, algorithm, digest = ["", "", *path.split("/")]
    if (by_hash, algorithm) != _BY_HASH:
        return None
    where = "/".join(folder[2:])
    for name, item in file.files.items():
        if item.digest.hex == digest and name.rpartition("/")[0] == where:
            return name, item
    return None


if TYPE_CHECKING:
    _fits: type[Shelf] = AptShelf
