"""Takes images and keys -> gives signatures and attestations, and says which hold."""

from sallyport.sign.model import Artifact, Purpose

__all__ = ["Artifact", "Purpose"]
