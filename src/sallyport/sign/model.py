"""The nouns of trust."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from sallyport.oci import Descriptor, Manifest


class Purpose(enum.Enum):
    """One key per kind of statement: cosign accepts any attestation by a key as a signature,
    so a shared key would make every scanned image a released one.
    """

    RELEASE = "release"  # outside: this image may run
    SCAN = "scan"  # outside: this is what the scan found
    ADMISSION = "admission"  # inside: our own scan and policy agreed
    RECEIPT = "receipt"  # inside: this is what arrived
    ROOT = "root"  # TUF, offline
    TARGETS = "targets"  # TUF, the release approvers
    SNAPSHOT = "snapshot"  # TUF, the outside pipeline
    TIMESTAMP = "timestamp"  # TUF, the outside pipeline


@dataclass(frozen=True, slots=True)
class Artifact:
    """Something attached to an image: a manifest, its blobs, and the tag some clients look for."""

    manifest: Manifest
    blobs: tuple[tuple[Descriptor, bytes], ...]
    tag: str = ""  # "sha256-….sig" for the classic form; empty for a pure referrer
