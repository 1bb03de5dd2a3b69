"""Takes images and keys -> gives signatures and attestations, and says which hold."""

from sallyport.sign.attach import REFERRERS, attach, attached, fallback_index, read_artifact
from sallyport.sign.attest import BILL, VULNERABILITIES, Component, attest, attest_scan, bill_predicate, scan_predicate
from sallyport.sign.cosign import SIGN_PREDICATE, classic_tag, sign_image
from sallyport.sign.interface import Signer
from sallyport.sign.keys import FileSigner, KeyFolder
from sallyport.sign.model import Artifact, Attachment, Attested, Form, Purpose, Signature, TrustedKeys, Verified
from sallyport.sign.public import PublicKey
from sallyport.sign.tuf import tuf_key, tuf_signer
from sallyport.sign.verify import verify_attestation, verify_release

__all__ = [
    "BILL",
    "REFERRERS",
    "SIGN_PREDICATE",
    "VULNERABILITIES",
    "Artifact",
    "Attachment",
    "Attested",
    "Component",
    "FileSigner",
    "Form",
    "KeyFolder",
    "PublicKey",
    "Purpose",
    "Signature",
    "Signer",
    "TrustedKeys",
    "Verified",
    "attach",
    "attached",
    "attest",
    "attest_scan",
    "bill_predicate",
    "classic_tag",
    "fallback_index",
    "read_artifact",
    "scan_predicate",
    "sign_image",
    "tuf_key",
    "tuf_signer",
    "verify_attestation",
    "verify_release",
]
