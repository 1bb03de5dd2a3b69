"""Every way in which a bundle can be wrong, each by its own name.

They are grouped by the tree's families, so the exit code stays 3 for damaged bytes, 4 for broken trust.
"""

from __future__ import annotations

from sallyport.errors import (
    ConflictError,
    DigestMismatchError,
    ExpiredError,
    MalformedError,
    MissingBlobError,
    OversizeError,
    ReplayedError,
    TruncatedError,
    UnsafePathError,
    UnsignedError,
    UntrustedError,
    UsageError,
    WrongSignatureError,
)

# --- 2: usage -----------------------------------------------------------------------------


class NoBundleError(UsageError):
    """There is no bundle in the folder that was named."""


# --- 3: damaged ---------------------------------------------------------------------------


class MissingFileError(MissingBlobError):
    """A file that the bundle's signed statement names is not in the folder."""


class MissingRequiredError(MissingBlobError):
    """The bundle builds on blobs that this side does not hold."""


class TruncatedFileError(TruncatedError):
    """A file of the bundle is shorter than its signed length."""


class LongFileError(OversizeError):
    """A file of the bundle is longer than its signed length, or than any such file may be."""


class DamagedFileError(DigestMismatchError):
    """A file of the bundle has the right length and other bytes than the signed ones."""


class ExtraFileError(MalformedError):
    """Something lies in the folder that the signed statement does not name."""


class UnsafeFileError(UnsafePathError):
    """A link, device or pipe lies where a plain file must be."""


class MalformedMetadataError(MalformedError):
    """A metadata file is not in the one canonical form, or not of the profile."""


class MalformedContentsError(MalformedError):
    """The signed statement does not agree with itself or with the files beside it."""


# --- 4: untrusted -------------------------------------------------------------------------


class UnsignedBundleError(UnsignedError):
    """The metadata, or the signatures in it, are not there at all."""


class WronglySignedError(WrongSignatureError):
    """A signature does not verify, is by a key that has no say here, or there are too few."""


class MixedMetadataError(UntrustedError):
    """Metadata files of different bundles lie together."""


class ReplayedBundleError(ReplayedError):
    """The bundle, or a newer one, has been received already."""


class TwoBundlesError(UntrustedError):
    """Two different bundles claim the same position."""


class ForeignBundleError(UntrustedError):
    """The bundle is for another destination."""


class ExpiredMetadataError(ExpiredError):
    """Metadata ended before the latest time that a signed source has proven."""


class RolledBackRootError(ReplayedError):
    """The bundle's newest root is older than the one that is trusted."""


class ForeignRootError(UntrustedError):
    """The bundle's chain of roots does not contain the root that is trusted."""


class WrongFingerprintError(UntrustedError):
    """A root is not the one whose fingerprint was named."""


class NoTrustError(UntrustedError):
    """No root has been imported here, so nothing can be trusted yet."""


class TrustDamagedError(UntrustedError):
    """What this side knows of roots and positions is torn or incomplete; it is never made anew by itself."""


class ForeignReceiptError(UntrustedError):
    """The receipt is of another destination."""


# --- 7: conflict --------------------------------------------------------------------------


class BundleExistsError(ConflictError):
    """There is a bundle of this name already."""


class TrustExistsError(ConflictError):
    """A root has been imported here already; only a signed successor replaces it."""
