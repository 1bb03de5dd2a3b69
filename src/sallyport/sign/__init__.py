"""Takes images and keys -> gives signatures and attestations, and says which hold."""

from sallyport.sign.interface import Signer
from sallyport.sign.keys import FileSigner, KeyFolder
from sallyport.sign.model import Artifact, Purpose
from sallyport.sign.public import PublicKey
from sallyport.sign.tuf import tuf_key, tuf_signer

__all__ = ["Artifact", "FileSigner", "KeyFolder", "PublicKey", "Purpose", "Signer", "tuf_key", "tuf_signer"]
