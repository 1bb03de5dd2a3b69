"""A sigstore of our own, thrown away after the test: an authority, a log of certificates and a log of signatures."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ISSUER = "https://login.example"
IDENTITY = "https://forge.example/team/app/.build/release.yml@refs/heads/main"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
WHEN = datetime(2026, 7, 1, 12, 0, 0, tzinfo=UTC)
_SCT = x509.ObjectIdentifier("1.3.6.1.4.1.11129.2.4.2")


def spki(key: EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sign(key: EllipticCurvePrivateKey, data: bytes) -> bytes:
    return key.sign(data, ECDSA(SHA256()))


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "sigstore.example"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _new() -> EllipticCurvePrivateKey:
    return generate_private_key(SECP256R1())


@dataclass
class Sigstore:
    """Certificates for identities, and logs."""

    root_key: EllipticCurvePrivateKey = field(default_factory=_new)
    middle_key: EllipticCurvePrivateKey = field(default_factory=_new)
    ct_key: EllipticCurvePrivateKey = field(default_factory=_new)
    rekor_key: EllipticCurvePrivateKey = field(default_factory=_new)
    count: int = 0

    def __post_init__(self) -> None:
        self.root = self._authority("root", self.root_key, "root", self.root_key, 1)
        self.middle = self._authority("middle", self.middle_key, "root", self.root_key, 0)

    def _authority(
        self, name: str, key: EllipticCurvePrivateKey, by: str, by_key: EllipticCurvePrivateKey, depth: int
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(by))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(WHEN - timedelta(days=100))
            .not_valid_after(WHEN + timedelta(days=3000))
            .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
            .add_extension(_usage(sign=False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by_key.public_key()), critical=False)
        )
        if depth == 0:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
        return builder.sign(by_key, SHA256())

    def certificate(
        self,
        key: EllipticCurvePrivateKey,
        *,
        identity: str = IDENTITY,
        issuer: str = ISSUER,
        purpose: x509.ObjectIdentifier = ExtendedKeyUsageOID.CODE_SIGNING,
        logged: bool = True,
        start: datetime = WHEN,
    ) -> x509.Certificate:
        """A certificate of ten minutes, promised to the log of certificates."""
        san: x509.GeneralName = (
            x509.RFC822Name(identity) if "://" not in identity else x509.UniformResourceIdentifier(identity)
        )
        text = issuer.encode()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(_name("middle"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + timedelta(minutes=10))
            .add_extension(_usage(sign=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.middle_key.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([san]), critical=True)
            .add_extension(
                x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1"), text), critical=False
            )
            .add_extension(
                x509.UnrecognizedExtension(
                    x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8"), b"\x0c" + bytes([len(text)]) + text
                ),
                critical=False,
            )
        )
        if not logged:
            return builder.sign(self.middle_key, SHA256())
        covered = builder.sign(self.middle_key, SHA256()).tbs_certificate_bytes
        milliseconds = int(start.timestamp() * 1000)
        entry = hashlib.sha256(spki(self.middle_key)).digest() + len(covered).to_bytes(3, "big") + covered
        signature = sign(self.ct_key, struct.pack("!BBQH", 0, 0, milliseconds, 1) + entry + b"\0\0")
        sct = (
            b"\0" + hashlib.sha256(spki(self.ct_key)).digest() + struct.pack("!Q", milliseconds) + b"\0\0"
            b"\x04\x03" + len(signature).to_bytes(2, "big") + signature
        )
        listed = len(sct).to_bytes(2, "big") + sct
        listed = len(listed).to_bytes(2, "big") + listed
        der = (
            b"\x04\x81" + bytes([len(listed)]) + listed
            if len(listed) > 127
            else b"\x04" + bytes([len(listed)]) + listed
        )
        return builder.add_extension(x509.UnrecognizedExtension(_SCT, der), critical=False).sign(
            self.middle_key, SHA256()
        )

    @property
    def log_id(self) -> bytes:
        return hashlib.sha256(spki(self.rekor_key)).digest()

    def promise(self, body: bytes, when: datetime) -> tuple[dict[str, Any], str]:
        """What the log signs at once, and its signature."""
        self.count += 1
        payload = {
            "body": b64(body),
            "integratedTime": int(when.timestamp()),
            "logID": self.log_id.hex(),
            "logIndex": self.count,
        }
        return payload, b64(sign(self.rekor_key, canonical(payload)))

    def entry(self, kind: str, body: bytes, when: datetime) -> dict[str, Any]:
        """An entry with promise and proof, in a log that holds nothing else."""
        payload, promise = self.promise(body, when)
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"rekor.example - 1\n1\n{b64(root)}\n"
        signature = b64(self.log_id[:4] + sign(self.rekor_key, note.encode()))
        return {
            "logIndex": str(payload["logIndex"]),
            "logId": {"keyId": b64(self.log_id)},
            "kindVersion": {"kind": kind, "version": "0.0.1"},
            "integratedTime": str(payload["integratedTime"]),
            "inclusionPromise": {"signedEntryTimestamp": promise},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": b64(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": f"{note}\n\u2014 rekor.example {signature}\n"},
            },
            "canonicalizedBody": b64(body),
        }

    def trusted_root(self) -> bytes:
        def log(key: EllipticCurvePrivateKey, url: str) -> dict[str, Any]:
            return {
                "baseUrl": url,
                "hashAlgorithm": "SHA2_256",
                "publicKey": {
                    "rawBytes": b64(spki(key)),
                    "keyDetails": "PKIX_ECDSA_P256_SHA_256",
                    "validFor": {"start": "2020-01-01T00:00:00Z"},
                },
                "logId": {"keyId": b64(hashlib.sha256(spki(key)).digest())},
            }

        chain = [{"rawBytes": b64(one.public_bytes(Encoding.DER))} for one in (self.middle, self.root)]
        return json.dumps(
            {
                "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
                "tlogs": [log(self.rekor_key, "https://rekor.example")],
                "certificateAuthorities": [
                    {
                        "subject": {"organization": "sigstore.example", "commonName": "middle"},
                        "uri": "https://fulcio.example",
                        "certChain": {"certificates": chain},
                        "validFor": {"start": "2020-01-01T00:00:00Z"},
                    }
                ],
                "ctlogs": [log(self.ct_key, "https://ct.example")],
                "timestampAuthorities": [],
            }
        ).encode()

    def bundle(self, statement: bytes, *, when: datetime = WHEN + timedelta(minutes=1), **named: Any) -> bytes:
        """A statement signed by an identity, as a bundle 0.3."""
        key = _new()
        certificate = self.certificate(key, **named)
        kind = "application/vnd.in-toto+json"
        signature = sign(key, b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(statement), statement))
        body = canonical(self._dsse_body(certificate, signature, statement, kind))
        return json.dumps(
            {
                "mediaType": BUNDLE,
                "verificationMaterial": {
                    "certificate": {"rawBytes": b64(certificate.public_bytes(Encoding.DER))},
                    "tlogEntries": [self.entry("dsse", body, when)],
                },
                "dsseEnvelope": {
                    "payload": b64(statement),
                    "payloadType": kind,
                    "signatures": [{"sig": b64(signature)}],
                },
            }
        ).encode()

    def _dsse_body(
        self, certificate: x509.Certificate, signature: bytes, statement: bytes, kind: str
    ) -> dict[str, Any]:
        envelope = canonical({"payload": b64(statement), "payloadType": kind, "signatures": [{"sig": b64(signature)}]})
        return {
            "apiVersion": "0.0.1",
            "kind": "dsse",
            "spec": {
                "envelopeHash": {"algorithm": "sha256", "value": hashlib.sha256(envelope).hexdigest()},
                "payloadHash": {"algorithm": "sha256", "value": hashlib.sha256(statement).hexdigest()},
                "signatures": [{"signature": b64(signature), "verifier": b64(certificate.public_bytes(Encoding.PEM))}],
            },
        }

    def classic(self, payload: bytes, *, when: datetime = WHEN + timedelta(minutes=1), **named: Any) -> dict[str, str]:
        """The annotations of a classic signature of ``payload`` by an identity."""
        key = _new()
        certificate = self.certificate(key, **named)
        pem = certificate.public_bytes(Encoding.PEM)
        signature = b64(sign(key, payload))
        body = canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "hashedrekord",
                "spec": {
                    "data": {"hash": {"algorithm": "sha256", "value": hashlib.sha256(payload).hexdigest()}},
                    "signature": {"content": signature, "publicKey": {"content": b64(pem)}},
                },
            }
        )
        return {"dev.cosignproject.cosign/signature": signature} | self._noted(pem, body, when)

    def attested(
        self, statement: bytes, *, when: datetime = WHEN + timedelta(minutes=1), **named: Any
    ) -> tuple[bytes, dict[str, str]]:
        """A classic attestation: the envelope and its annotations."""
        key = _new()
        certificate = self.certificate(key, **named)
        kind = "application/vnd.in-toto+json"
        signature = sign(key, b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(statement), statement))
        body = canonical(self._dsse_body(certificate, signature, statement, kind))
        envelope = canonical({"payload": b64(statement), "payloadType": kind, "signatures": [{"sig": b64(signature)}]})
        return envelope, {"dev.cosignproject.cosign/signature": ""} | self._noted(
            certificate.public_bytes(Encoding.PEM), body, when
        )

    def _noted(self, pem: bytes, body: bytes, when: datetime) -> dict[str, str]:
        entry, promise = self.promise(body, when)
        chain = b"".join(one.public_bytes(Encoding.PEM) for one in (self.middle, self.root))
        return {
            "dev.sigstore.cosign/certificate": pem.decode(),
            "dev.sigstore.cosign/chain": chain.decode(),
            "dev.sigstore.cosign/bundle": json.dumps({"SignedEntryTimestamp": promise, "Payload": entry}),
        }


def _usage(*, sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=not sign,
        crl_sign=not sign,
        encipher_only=False,
        decipher_only=False,
    )
