"""Authorities, certificates and signatures as notation makes them, thrown away after the test."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sallyport.oci import Descriptor

NOW = datetime(2026, 7, 2, tzinfo=UTC)
JWS = "application/jose+json"
COSE = "application/cose"
NOTATION = "application/vnd.cncf.notary.signature"
PAYLOAD = "application/vnd.cncf.notary.payload.v1+json"
COSE_ALGORITHMS = {"ES256": -7, "ES384": -35, "ES512": -36, "PS256": -37, "PS384": -38, "PS512": -39}
DIGESTS = {"256": SHA256(), "384": SHA384(), "512": SHA512()}


def subject(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
            x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Somewhere"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Team"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def new_key(algorithm: str) -> Any:
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case "PS384":
            return rsa.generate_private_key(65537, 3072)
        case _:
            return rsa.generate_private_key(65537, 2048)


@dataclass(frozen=True)
class Signing:
    """A key, its certificates, and the algorithm."""

    key: Any
    chain: tuple[x509.Certificate, ...]
    algorithm: str

    @property
    def root_pem(self) -> str:
        return self.chain[-1].public_bytes(Encoding.PEM).decode()

    @property
    def chain_pem(self) -> str:
        return "".join(one.public_bytes(Encoding.PEM).decode() for one in self.chain)

    @property
    def key_pem(self) -> str:
        raw: bytes = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return raw.decode()


def make_signing(
    algorithm: str = "ES256",
    *,
    name: str = "signer",
    purpose: x509.ObjectIdentifier | None = ExtendedKeyUsageOID.CODE_SIGNING,
    signs_certificates: bool = False,
    start: datetime = NOW - timedelta(days=30),
    days: int = 365,
    root: tuple[Any, x509.Certificate] | None = None,
) -> Signing:
    """A root and a signer below it."""
    key = new_key(algorithm)
    if root is None:
        root_key = new_key("ES256")
        root = (root_key, certify(root_key, "root", root_key, "root", authority=True, start=start, days=days))
    leaf = certify(
        key, name, root[0], "root", purpose=purpose, start=start, days=days, signs_certificates=signs_certificates
    )
    return Signing(key, (leaf, root[1]), algorithm)


def certify(
    key: Any,
    name: str,
    by_key: Any,
    by: str,
    *,
    authority: bool = False,
    purpose: x509.ObjectIdentifier | None = None,
    signs_certificates: bool = False,
    start: datetime,
    days: int,
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(subject(by))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=1 if authority else None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=not authority,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority or signs_certificates,
                crl_sign=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.sign(by_key, SHA256())


def url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def payload_of(image: Descriptor) -> bytes:
    target = {"mediaType": image.media_type, "digest": str(image.digest), "size": image.size}
    return json.dumps({"targetArtifact": target}).encode()


def raw_signature(signing: Signing, data: bytes) -> bytes:
    digest = DIGESTS[signing.algorithm[2:]]
    if isinstance(signing.key, rsa.RSAPrivateKey):
        return signing.key.sign(data, padding.PSS(padding.MGF1(digest), padding.PSS.DIGEST_LENGTH), digest)
    size = (signing.key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(signing.key.sign(data, ec.ECDSA(digest)))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def headers(**changed: Any) -> dict[str, Any]:
    """The protected headers, by their short names; a header that is None is left out."""
    found: dict[str, Any] = {
        "signingScheme": "notary.x509",
        "signingTime": NOW - timedelta(days=1),
        "crit": ["io.cncf.notary.signingScheme"],
        "cty": PAYLOAD,
        **changed,
    }
    return {name: value for name, value in found.items() if value is not None}


def envelope(media_type: str, signing: Signing, payload: bytes, **changed: Any) -> bytes:
    """A signature envelope."""
    given = headers(**changed)
    algorithm = given.pop("alg", signing.algorithm)
    critical, content = given.pop("crit"), given.pop("cty")
    named = {f"io.cncf.notary.{name}": value for name, value in given.items()}
    certificates = [one.public_bytes(Encoding.DER) for one in signing.chain]
    if media_type == JWS:
        texts = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in named.items()}
        protected = url(json.dumps({"alg": algorithm, "cty": content, "crit": critical, **texts}).encode())
        body = url(payload)
        return json.dumps(
            {
                "payload": body,
                "protected": protected,
                "header": {"x5c": [base64.b64encode(one).decode() for one in certificates]},
                "signature": url(raw_signature(signing, f"{protected}.{body}".encode())),
            }
        ).encode()
    tagged = {
        name: cbor2.CBORTag(1, int(value.timestamp())) if isinstance(value, datetime) else value
        for name, value in named.items()
    }
    labelled: dict[Any, Any] = {1: COSE_ALGORITHMS[algorithm], 2: critical, 3: content, **tagged}
    protected_bytes = cbor2.dumps(labelled)
    signature = raw_signature(signing, cbor2.dumps(["Signature1", protected_bytes, b"", payload]))
    return cbor2.dumps(cbor2.CBORTag(18, [protected_bytes, {33: certificates}, payload, signature]))
