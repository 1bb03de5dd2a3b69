"""A repository of apk packages, served on: the signed index as it is, and packages by what it says of them."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.depot.apk_index import INDEX_LIMIT, Package, package_check, read_index, verify_index
from sallyport.depot.keep import Keeper, Kept
from sallyport.depot.model import Asked, Reply, Whole
from sallyport.errors import ConfigError, NotFoundError
from sallyport.oci import Digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    from sallyport.depot.interface import Shelf

INDEX = "APKINDEX.tar.gz"
_ARCHITECTURE = re.compile(r"[a-z0-9][a-z0-9_]{0,31}\Z")
_FILE = re.compile(r"([A-Za-z0-9][A-Za-z0-9+._-]*)-[0-9][^-]*-r[0-9]+\.apk\Z")
_KEY_LIMIT = 64 * 1024
_PARSED = 16
_MEND = "run apk update against this repository, then ask again"


class ApkShelf:
    """``ARCH/APKINDEX.tar.gz`` and ``ARCH/FILE.apk``, at any depth. May be shared by threads."""

    def __init__(self, keeper: Keeper, keys: Mapping[str, RSAPublicKey]) -> None:
        self._keeper = keeper
        self._keys = keys
        self._lock = threading.Lock()
        self._parsed: dict[Digest, Mapping[str, Package]] = {}

    def get(self, asked: Asked) -> Reply:
        *folder, file = asked.segments or ("",)
        if asked.folder or not folder or not _ARCHITECTURE.match(folder[-1]):
            raise NotFoundError("a repository of apk packages has no such path", _MEND)
        where = "/".join(folder)
        if file == INDEX:
            kept = self._index(where)
            return Whole(kept.digest, "application/gzip", kept.changed)
        match = _FILE.match(file)
        if match is None:
            raise NotFoundError("a repository of apk packages has no such path", _MEND)
        self._keeper.repository.admit(match[1])
        return self._package(where, file)

    def _index(self, folder: str) -> Kept:
        what = f"the index of {folder}"

        def prove(raw: bytes, _before: bytes | None) -> bool:
            verify_index(raw, self._keys, what=what)
            return True

        return self._keeper.index(self._url(f"{folder}/{INDEX}"), what=what, limit=INDEX_LIMIT, prove=prove)

    def _package(self, folder: str, file: str) -> Whole:
        kept = self._index(folder)
        # A client may have read the index before this one a moment ago.
        generations = [kept.digest, *([kept.before] if kept.before and self._keeper.cache.has(kept.before) else [])]
        for digest in generations:
            package = self._listing(digest, folder).get(file)
            if package is not None:
                key = f"{folder}/{file} {package.checksum.hex()} {package.size}"
                check = package_check(package, file)
                url = self._url(f"{folder}/{file}")
                return Whole(self._keeper.checked(url, key, what=file, limit=package.size, check=check))
        raise NotFoundError(f"the signed index of {folder} does not list it", _MEND)

    def _listing(self, digest: Digest, folder: str) -> Mapping[str, Package]:
        found = self._parsed.get(digest)
        if found is None:
            what = f"the index of {folder}"
            # Also what lies in the cache is verified again: keys can be taken away between two runs.
            text = verify_index(self._keeper.read(digest), self._keys, what=what)
            found = read_index(text, self._keeper.repository, what=what)
            with self._lock:
                while len(self._parsed) >= _PARSED:
                    self._parsed.pop(next(iter(self._parsed)))
                self._parsed[digest] = found
        return found

    def _url(self, path: str) -> str:
        return f"{self._keeper.repository.upstream}/{path}"


def read_keys(paths: Sequence[Path]) -> Mapping[str, RSAPublicKey]:
    """The public keys of ``paths`` by their file names, which is how signatures name them.

    Raises:
        ConfigError: a file is not there, or no RSA key.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found: dict[str, RSAPublicKey] = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                key = load_pem_public_key(file.read(_KEY_LIMIT))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the key {path}: {error}"[:300], "name files of RSA public keys") from error
        if not isinstance(key, RSAPublicKey):
            raise ConfigError(f"{path} is no RSA key", "name files of RSA public keys")
        found[path.name] = key
    return found


if TYPE_CHECKING:
    _fits: type[Shelf] = ApkShelf
