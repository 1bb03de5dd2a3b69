"""The name of some bytes is their digest. Source: OCI image-spec 1.1, descriptor.md, "Digests"."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import total_ordering
from typing import final

from sallyport.errors import DigestMismatchError, MalformedError, OversizeError, TruncatedError

_LENGTHS = {"sha256": 64, "sha512": 128}
_HEX = re.compile(r"[0-9a-f]+\Z")
CHUNK = 1024 * 1024
"""Bytes in one piece of a stream; a bound of memory, not of content."""


@final
@total_ordering
class Digest:
    """An algorithm and its lower-case hexadecimal value; ``str`` gives ``sha256:…``.

    Immutable. Not a dataclass, so that the codec writes it as its string everywhere.
    """

    __slots__ = ("algorithm", "hex")
    algorithm: str
    hex: str

    def __init__(self, algorithm: str, hex: str) -> None:  # noqa: A002 - the field's own word
        if _LENGTHS.get(algorithm) != len(hex) or not _HEX.match(hex):
            raise MalformedError(
                f"{f'{algorithm}:{hex}'[:80]!r} is not a digest",
                "a digest is sha256: and 64, or sha512: and 128, lower-case hexadecimal digits",
            )
        object.__setattr__(self, "algorithm", algorithm)
        object.__setattr__(self, "hex", hex)

    @classmethod
    def parse(cls, text: str) -> Digest:
        """Read ``sha256:…``.

        Raises:
            MalformedError: another algorithm, length or alphabet.
        """
        algorithm, _, value = text.partition(":")
        return cls(algorithm, value)

    @classmethod
    def of(cls, data: bytes) -> Digest:
        """The sha256 digest of ``data``."""
        return cls("sha256", hashlib.sha256(data).hexdigest())

    @property
    def short(self) -> str:
        """Twelve digits for a person's eye; never used to compare."""
        return self.hex[:12]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Digest does not change: {name}={value!r}")

    def __reduce__(self) -> tuple[type[Digest], tuple[str, str]]:
        return Digest, (self.algorithm, self.hex)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"

    def __repr__(self) -> str:
        return f"Digest({str(self)!r})"

    def __hash__(self) -> int:
        return hash(self.hex)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Digest):
            return NotImplemented
        return self.hex == other.hex and self.algorithm == other.algorithm

    def __lt__(self, other: Digest) -> bool:
        return (self.algorithm, self.hex) < (other.algorithm, other.hex)


class Hasher:
    """Computes a digest and a length as bytes pass."""

    __slots__ = ("_hash", "algorithm", "size")

    def __init__(self, algorithm: str = "sha256") -> None:
        self.algorithm = algorithm
        self.size = 0
        self._hash = hashlib.new(algorithm, usedforsecurity=True)

    def update(self, data: bytes | memoryview) -> None:
        """Add ``data``."""
        self._hash.update(data)
        self.size += len(data)

    def digest(self) -> Digest:
        """The digest of all that was added so far."""
        return Digest(self.algorithm, self._hash.hexdigest())


def verified(chunks: Iterable[bytes], digest: Digest, size: int, *, what: str = "") -> Iterator[bytes]:
    """Pass ``chunks`` on and prove at the end that they are the ``size`` bytes named ``digest``.

    Never yields more than ``size`` bytes. Use what it yields only after it is exhausted.

    Raises:
        OversizeError: more bytes came than ``size``.
        TruncatedError: fewer bytes came than ``size``.
        DigestMismatchError: the right number of wrong bytes.
    """
    name = what or str(digest)
    hasher = Hasher(digest.algorithm)
    for chunk in chunks:
        if hasher.size + len(chunk) > size:
            raise OversizeError(
                f"{name} is longer than the {size} bytes that its descriptor states",
                "fetch it again; if it happens twice, the source is wrong: do not use it",
            )
        hasher.update(chunk)
        yield chunk
    if hasher.size < size:
        raise TruncatedError(
            f"{name} ended after {hasher.size} of {size} bytes", "run the same command again; it resumes"
        )
    if hasher.digest() != digest:
        raise DigestMismatchError(
            f"{name}: asked for {digest}, got {hasher.digest()}",
            "fetch it again; if it happens twice, keep the medium or the response as evidence",
        )
