"""Takes releases and the newest receipt -> gives a signed bundle, and reads one back."""

from sallyport.bundle.model import Attached, Blob, Contents, FeedFile, Position, Receipt, Released, TrustedKey

__all__ = ["Attached", "Blob", "Contents", "FeedFile", "Position", "Receipt", "Released", "TrustedKey"]
