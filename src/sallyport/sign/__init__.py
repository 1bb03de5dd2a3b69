"""Takes images and keys -> gives signatures and attestations, and says which hold."""

from sallyport.sign.attach import REFERRERS, attach, attached, fallback_index, read_artifact
from sallyport.sign.attest import BILL, VULNERABILITIES, Component, attest, attest_scan, bill_predicate, scan_predicate
from sallyport.sign.cosign import (
    SIGN_PREDICATE,
    SIMPLE_SIGNING,
    classic_signature,
    classic_tag,
    is_classic,
    parse_payload,
    sign_image,
)
from sallyport.sign.dsse import IN_TOTO, Envelope, from_base64, pae, to_base64
from sallyport.sign.interface import Signer
from sallyport.sign.keys import FileSigner, KeyFolder
from sallyport.sign.model import Artifact, Attachment, Attested, Form, Purpose, Signature, TrustedKeys, Verified
from sallyport.sign.public import PublicKey
from sallyport.sign.sigstore import BUNDLE, is_bundle, parse_bundle
from sallyport.sign.statement import Statement
from sallyport.sign.tuf import tuf_key, tuf_signer
from sallyport.sign.verify import verify_attestation, verify_release

__all__ = [
    "BILL",
    "BUNDLE",
    "IN_TOTO",
    "REFERRERS",
    "SIGN_PREDICATE",
    "SIMPLE_SIGNING",
    "VULNERABILITIES",
    "Artifact",
    "Attachment",
    "Attested",
    "Component",
    "Envelope",
    "FileSigner",
    "Form",
    "KeyFolder",
    "PublicKey",
    "Purpose",
    "Signature",
    "Signer",
    "Statement",
    "TrustedKeys",
    "Verified",
    "attach",
    "attached",
    "attest",
    "attest_scan",
    "bill_predicate",
    "classic_signature",
    "classic_tag",
    "fallback_index",
    "from_base64",
    "is_bundle",
    "is_classic",
    "pae",
    "parse_bundle",
    "parse_payload",
    "read_artifact",
    "scan_predicate",
    "sign_image",
    "to_base64",
    "tuf_key",
    "tuf_signer",
    "verify_attestation",
    "verify_release",
]
