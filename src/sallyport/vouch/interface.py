"""What mirroring asks before it copies an image's layers."""

from __future__ import annotations

from collections.abc import Callable

from sallyport.oci import Descriptor, Reference
from sallyport.sign import Attachment
from sallyport.vouch.model import Vouched

Check = Callable[[Reference, Descriptor, tuple[Attachment, ...]], Vouched]
"""Upstream's reference, what it names there (not a thinner index of ours), and what is attached to that.

The attached manifests and their blobs are in the store already. Raises an UntrustedError where nobody vouches.
"""
