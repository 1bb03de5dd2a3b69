"""The nouns of trust."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sallyport.errors import MissingBlobError, UntrustedError
from sallyport.oci import JSON, Descriptor, Digest, Manifest, verified
from sallyport.sign.public import PublicKey


class Purpose(enum.Enum):
    """One key per kind of statement: cosign accepts any attestation by a key as a signature,
    so a shared key would make every scanned image a released one.
    """

    RELEASE = "release"  # outside: this image may run
    SCAN = "scan"  # outside: this is what the scan found
    BILL = "bill"  # outside: this is what is in the image
    ADMISSION = "admission"  # inside: our own scan and policy agreed
    RECEIPT = "receipt"  # inside: this is what arrived
    ROOT = "root"  # TUF, offline
    TARGETS = "targets"  # TUF, the release approvers
    SNAPSHOT = "snapshot"  # TUF, the outside pipeline
    TIMESTAMP = "timestamp"  # TUF, the outside pipeline


IMAGE_STATEMENTS = frozenset({Purpose.RELEASE, Purpose.SCAN, Purpose.BILL, Purpose.ADMISSION})
"""What is said about images; a key that serves two of these is refused."""


class Form(enum.Enum):
    """How a signature of an image is kept."""

    CLASSIC = "classic"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something attached to an image: a manifest, its blobs, and the tag some clients look for."""

    manifest: Manifest
    blobs: tuple[tuple[Descriptor, bytes], ...]
    tag: str = ""  # "sha256-….sig" for the classic form; empty for a pure referrer

    def blob(self, descriptor: Descriptor) -> bytes:
        """The bytes that ``descriptor`` names, proven.

        Raises:
            MissingBlobError: they are not here.
            DigestMismatchError, TruncatedError, OversizeError: what is here is something else.
        """
        for other, data in self.blobs:
            if other.digest == descriptor.digest:
                return b"".join(verified([data], descriptor.digest, descriptor.size))
        raise MissingBlobError(f"{descriptor.digest} is missing from {self.manifest.digest}", "fetch it again")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature that holds."""

    form: Form
    reference: str  # the name under which the image was signed
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Verified:
    """An image and the signatures for one purpose that hold for it; there is at least one."""

    image: Digest
    purpose: Purpose
    signatures: tuple[Signature, ...]

    @property
    def forms(self) -> frozenset[Form]:
        return frozenset(signature.form for signature in self.signatures)

    @property
    def references(self) -> frozenset[str]:
        return frozenset(signature.reference for signature in self.signatures)


@dataclass(frozen=True, slots=True)
class Attested:
    """One attestation that holds."""

    image: Digest
    predicate_type: str
    predicate: JSON = field(hash=False)
    name: str  # the reference by which its author knew the image; may be empty
    key: PublicKey
    manifest: Digest


@dataclass(frozen=True, slots=True)
class Attachment:
    """Something attached to an image in a repository; not verified."""

    descriptor: Descriptor  # of the artifact's manifest
    subject: Digest
    tag: str = ""  # "sha256-….sig", or empty
    predicate_type: str = ""  # as its annotation says


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """Which key may make which kind of statement about an image."""

    keys: tuple[tuple[Purpose, PublicKey], ...]

    def __post_init__(self) -> None:
        purposes: dict[PublicKey, Purpose] = {}
        for purpose, key in self.keys:
            if purpose not in IMAGE_STATEMENTS:
                continue
            if purposes.setdefault(key, purpose) is not purpose:
                raise UntrustedError(
                    f"the key {key.id[:16]} is trusted for {purposes[key].value} and for {purpose.value}",
                    "make a key for each: clients take any statement by a key for a signature by it",
                )

    @classmethod
    def of(cls, keys: Mapping[Purpose, Iterable[PublicKey]]) -> TrustedKeys:
        return cls(tuple((purpose, key) for purpose, some in keys.items() for key in some))

    def trusted(self, purpose: Purpose) -> tuple[PublicKey, ...]:
        """The keys for ``purpose``."""
        return tuple(key for other, key in self.keys if other is purpose)
