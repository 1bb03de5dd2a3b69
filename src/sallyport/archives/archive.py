"""A signed Debian archive: InRelease -> Packages -> .deb, each proven by the one before.

Everything that is fetched rests in a cache by its digest, so that a second run asks for the InRelease files only.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import cast

from sallyport.archives.deb import Deb
from sallyport.archives.download import Answer, Downloads, address
from sallyport.archives.keyring import Keyring
from sallyport.archives.model import BinaryPackage, Release, Suite
from sallyport.archives.packages import Index, PackageIndex
from sallyport.archives.release import INDEX_LIMIT, Listed, ReleaseFile, parse_release
from sallyport.archives.signature import verify_inrelease
from sallyport.engine import Executor, Http, Inline, Progress, Silent
from sallyport.errors import DamagedError, MalformedError, OversizeError, UsageError
from sallyport.oci import Compression, Digest, decompress, verified
from sallyport.store import DirectoryStore

_FORMS: Sequence[tuple[str, Compression]] = ((".xz", "xz"), (".gz", "gz"), ("", ""))


class Archive:
    """Several suites whose InRelease was verified; indexes and packages are fetched when they are asked for.

    May be shared by threads.
    """

    def __init__(self, releases: Sequence[ReleaseFile], downloads: Downloads) -> None:
        """Use :meth:`open`, which verifies."""
        self._releases = tuple(releases)
        self._downloads = downloads
        self._indexes: dict[str, PackageIndex] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        suites: Sequence[Suite],
        keyring: Keyring,
        http: Http,
        cache: DirectoryStore,
        *,
        now: datetime,
        check_valid_until: bool = True,
    ) -> Archive:
        """Fetch and verify the InRelease of each of ``suites``: one request each, conditional where that is possible.

        ``check_valid_until=False`` accepts a release past its own end or from the future, as a snapshot is.
        A release older than the one that was accepted before is not taken; the newer one stays in use.

        Raises:
            UntrustedError: not signed by a trusted key, expired, or another suite; see :func:`verify_inrelease`.
            UnreachableError, NotFoundError, DeniedError: the mirror does not give it.
        """
        downloads = Downloads(http, cache)
        releases: list[ReleaseFile] = []
        for suite in suites:
            url = address(suite.mirror, f"dists/{suite.name}/InRelease")
            answer = downloads.newest(url, what=f"the release of {suite.name}")

            def proven(raw: bytes, suite: Suite = suite) -> ReleaseFile:
                signed = verify_inrelease(raw, keyring, now=now, what=f"the InRelease of {suite.name}")
                return parse_release(signed, suite, Digest.of(raw), now=now, check_valid_until=check_valid_until)

            releases.append(_no_older(downloads, answer, proven))
        return cls(releases, downloads)

    @property
    def releases(self) -> tuple[Release, ...]:
        """What was verified, in the order of the suites."""
        return tuple(file.release for file in self._releases)

    def packages(self, architecture: str, *, progress: Progress | None = None) -> PackageIndex:
        """The packages for Debian's ``architecture`` ("amd64") in all suites.

        Raises:
            UsageError: a suite has none for it.
            DamagedError: the mirror sends another index than the one that was signed.
        """
        with self._lock:
            lock = self._locks.setdefault(architecture, threading.Lock())
        with lock:
            found = self._indexes.get(architecture)
            if found is None:
                found = PackageIndex(architecture, self._texts(architecture, progress or Silent()))
                self._indexes[architecture] = found
        return found

    def fetch(self, package: BinaryPackage, *, progress: Progress | None = None) -> Deb:
        """The package's bytes, in the cache; a broken copy is gone on with.

        Raises:
            DamagedError: the mirror sends other bytes than the index names.
            UnreachableError, NotFoundError: it does not give them.
        """
        return self.fetch_all([package], progress=progress)[0]

    def fetch_all(
        self, packages: Iterable[BinaryPackage], *, executor: Executor | None = None, progress: Progress | None = None
    ) -> tuple[Deb, ...]:
        """Like :meth:`fetch` for many, in their order; as many at a time as ``executor`` runs."""
        wanted = tuple(packages)
        cache = self._downloads.cache
        missing = {package.digest: package for package in wanted if not cache.has(package.digest)}
        with (progress or Silent()).task("packages", sum(package.size for package in missing.values())) as task:

            def one(package: BinaryPackage) -> None:
                url = address(package.suite.mirror, package.filename)
                what = f"{package.name} {package.version}"
                self._downloads.fetch([url], Listed(package.digest, package.size), what=what, advance=task.advance)

            for _ in (executor or Inline()).map(one, missing.values()):
                pass
        return tuple(Deb(cache, package.digest, package.size) for package in wanted)

    def _texts(self, architecture: str, progress: Progress) -> list[Index]:
        found: list[Index] = []
        for file in self._releases:
            suite = file.release.suite
            for component in suite.components:
                path = f"{component}/binary-{architecture}/Packages"
                if path not in file.files:
                    raise UsageError(
                        f"{suite.name} has no packages of {component} for {architecture}",
                        f"it has: {', '.join(sorted(file.architectures)) or 'none'}",
                    )
                paths = [path]
                if file.separate_all and f"{component}/binary-all/Packages" in file.files:
                    paths.append(f"{component}/binary-all/Packages")
                found += (Index(suite, self._text(file, path, progress)) for path in paths)
        return found

    def _text(self, file: ReleaseFile, path: str, progress: Progress) -> bytes | mmap.mmap:
        """The index at ``path``, inflated, out of the cache, where the signed text names its own digest."""
        suite, listed, cache = file.release.suite, file.files[path], self._downloads.cache
        if listed.size > INDEX_LIMIT:
            raise OversizeError(f"the index of {suite.name} has {listed.size} bytes", "do not use this archive")
        if cache.has(listed.digest):
            try:
                return _mapped(cache, listed, suite)
            except DamagedError:
                cache.delete(listed.digest)
        form, kind = next(item for item in _FORMS if path + item[0] in file.files)
        packed = file.files[path + form]
        what = f"the package index of {suite.name}"
        folder, _, name = path.rpartition("/")
        urls = [address(suite.mirror, f"dists/{suite.name}/{folder}/{name}{form}")]
        if file.by_hash:
            # Under its digest a mirror keeps it for a while after the suite has moved on.
            urls.insert(0, address(suite.mirror, f"dists/{suite.name}/{folder}/by-hash/SHA256/{packed.digest.hex}"))
        with progress.task(what, packed.size) as task:
            self._downloads.fetch(urls, packed, what=what, advance=task.advance)
        if kind:
            raw = verified(cache.chunks(packed.digest), packed.digest, packed.size, what=what)
            cache.put(listed.digest, listed.size, decompress(raw, kind, what=what, limit=listed.size))
            cache.delete(packed.digest)
        return _mapped(cache, listed, suite)


def _no_older(downloads: Downloads, answer: Answer, proven: Callable[[bytes], ReleaseFile]) -> ReleaseFile:
    file = proven(answer.raw)
    if answer.seen and file.release.date < answer.seen.date:
        # One of several servers behind one name lags, or someone replays an old release: both get no further.
        return proven(cast("bytes", downloads.before(answer)))
    downloads.accepted(answer, file.release.date)
    return file


def _mapped(cache: DirectoryStore, listed: Listed, suite: Suite) -> bytes | mmap.mmap:
    what = f"the kept package index of {suite.name}"
    path = cache.path(listed.digest)
    if not listed.size or path is None:
        return b"".join(verified(cache.chunks(listed.digest), listed.digest, listed.size, what=what))
    with path.open("rb") as file:
        # Mapped, the 50 MB of each architecture are the kernel's to drop again.
        text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if len(text) != listed.size:
        raise MalformedError(f"{what} has {len(text)} bytes instead of {listed.size}", "run it again")
    for _ in verified(_pieces(text), listed.digest, listed.size, what=what):
        pass
    return text


def _pieces(text: mmap.mmap) -> Iterable[bytes]:
    step = 1024 * 1024
    return (text[at : at + step] for at in range(0, len(text), step))
