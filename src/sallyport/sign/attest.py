"""Attestations: what was found in an image, and what is in it.

The types are those that cosign, Kyverno and Trivy name: ``cosign verify-attestation --type vuln`` and
``--type cyclonedx``. Sources: cosign, specs/COSIGN_VULN_ATTESTATION_SPEC.md; CycloneDX 1.6.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sallyport import __version__
from sallyport.engine import render_time
from sallyport.errors import UsageError
from sallyport.oci import JSON, Descriptor, to_builtins
from sallyport.sign.cosign import SIGN_PREDICATE
from sallyport.sign.interface import Signer
from sallyport.sign.model import Artifact
from sallyport.sign.sigstore import bundle_artifact
from sallyport.sign.statement import Statement

VULNERABILITIES = "https://cosign.sigstore.dev/attestation/vuln/v1"
BILL = "https://cyclonedx.org/bom"


def attest(
    descriptor: Descriptor, *, predicate_type: str, predicate: JSON, signer: Signer, reference: str = ""
) -> Artifact:
    """Say ``predicate`` about an image, signed, as a referrer of it.

    ``signer`` must be a key for this kind of statement alone: cosign takes any attestation by a key for a
    signature by it.

    Raises:
        UsageError: the predicate type is that of a signature.
    """
    if predicate_type == SIGN_PREDICATE or not predicate_type:
        raise UsageError(f"{predicate_type!r} is not a kind of attestation", "use sign_image for signatures")
    statement = Statement(descriptor.digest, reference, predicate_type, predicate)
    return bundle_artifact(descriptor, statement, signer, signature=False)


class Source(Protocol):
    """A source of advisories that was asked."""

    @property
    def source(self) -> str: ...
    @property
    def as_of(self) -> datetime: ...


class Scanned(Protocol):
    """What attesting needs of a scan, whose room is further down; the rest of it is carried as it is."""

    @property
    def scanned_at(self) -> datetime: ...
    @property
    def sources(self) -> Sequence[Source]: ...


def attest_scan(descriptor: Descriptor, scan: Scanned, *, signer: Signer, reference: str = "") -> Artifact:
    """Say what a scan found in an image; ``signer`` is the scan key, never the release key."""
    return attest(
        descriptor,
        predicate_type=VULNERABILITIES,
        predicate=scan_predicate(
            to_builtins(scan),
            sources=[(asked.source, asked.as_of) for asked in scan.sources],
            started=scan.scanned_at,
            finished=scan.scanned_at,
        ),
        signer=signer,
        reference=reference,
    )


def scan_predicate(
    result: JSON, *, sources: Iterable[tuple[str, datetime]], started: datetime, finished: datetime
) -> JSON:
    """The predicate of a scan: ``result`` is the findings as JSON, ``sources`` whom it asked and as of when."""
    asked = sorted(sources)
    return {
        "invocation": {"parameters": [], "uri": "", "event_id": "", "builder.id": ""},
        "scanner": {
            "uri": f"pkg:generic/sallyport@{__version__}",
            "version": __version__,
            "db": {
                "uri": " ".join(name for name, _ in asked),
                # The oldest: a scan knows no more than what it knew least of.
                "version": render_time(min(at for _, at in asked)) if asked else "",
            },
            "result": result,
        },
        "metadata": {"scanStartedOn": render_time(started), "scanFinishedOn": render_time(finished)},
    }


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """One line of a bill."""

    name: str
    version: str
    purl: str  # package URL; also the component's identity in the document


def bill_predicate(components: Iterable[Component], *, name: str, version: str) -> JSON:
    """A CycloneDX 1.6 document without serial number and time, so that the same image has the same bill."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"type": "container", "name": name, "version": version, "bom-ref": "image"}},
        "components": [
            {"type": "library", "name": item.name, "version": item.version, "purl": item.purl, "bom-ref": item.purl}
            for item in sorted(set(components))
        ],
    }
