from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sallyport.oci import Descriptor
from sallyport.sign import (
    BILL,
    VULNERABILITIES,
    Component,
    Purpose,
    attest,
    attest_scan,
    bill_predicate,
    verify_attestation,
)

Keys = Any


@dataclass(frozen=True, slots=True)
class Asked:
    source: str
    as_of: datetime


@dataclass(frozen=True, slots=True)
class AScan:
    findings: tuple[str, ...]
    sources: tuple[Asked, ...]
    scanned_at: datetime


SCAN = AScan(
    ("CVE-2026-1", "CVE-2026-2"),
    (
        Asked("osv", datetime(2026, 7, 10, tzinfo=UTC)),
        Asked("changelog", datetime(2026, 7, 9, 8, 30, tzinfo=UTC)),
    ),
    datetime(2026, 7, 11, 9, 0, tzinfo=UTC),
)


def test_a_scan_is_said_as_cosign_kyverno_and_trivy_read_it(image: Descriptor, keys: Keys) -> None:
    artifact = attest_scan(image, SCAN, signer=keys.scan)
    (attested,) = verify_attestation([artifact], image, keys.trusted, predicate_type=VULNERABILITIES)

    predicate: Any = attested.predicate
    assert attested.predicate_type == "https://cosign.sigstore.dev/attestation/vuln/v1"
    assert set(predicate) == {"invocation", "scanner", "metadata"}
    assert predicate["metadata"] == {
        "scanStartedOn": "2026-07-11T09:00:00Z",
        "scanFinishedOn": "2026-07-11T09:00:00Z",
    }
    assert predicate["scanner"]["result"]["findings"] == ["CVE-2026-1", "CVE-2026-2"]
    assert predicate["scanner"]["db"] == {"uri": "changelog osv", "version": "2026-07-09T08:30:00Z"}


def test_the_same_scan_said_twice_is_the_same_artifact(image: Descriptor, keys: Keys) -> None:
    assert attest_scan(image, SCAN, signer=keys.scan) == attest_scan(image, SCAN, signer=keys.scan)


def test_a_bill_is_cyclonedx_and_the_same_whatever_the_order(image: Descriptor, keys: Keys) -> None:
    libc = Component("libc6", "2.36-9+deb12u10", "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64")
    tls = Component("libssl3", "3.0.17-1~deb12u2", "pkg:deb/debian/libssl3@3.0.17-1~deb12u2?arch=amd64")
    bill = bill_predicate([tls, libc, libc], name="registry.example/app", version=str(image.digest))
    artifact = attest(image, predicate_type=BILL, predicate=bill, signer=keys.bill)
    (attested,) = verify_attestation([artifact], image, keys.trusted, predicate_type=BILL, purpose=Purpose.BILL)

    document: Any = attested.predicate
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert [item["purl"] for item in document["components"]] == [libc.purl, tls.purl]
    assert "serialNumber" not in json.dumps(document)
    assert bill == bill_predicate([libc, tls], name="registry.example/app", version=str(image.digest))
