"""One tree of errors: what is wrong, where, and the mend; each family has its exit code.

Exit codes (also in ``docs/reference/exit-codes.md``):

==== =========================================================================
0    done
1    refused: the gate refused, or could not decide
2    usage: a wrong option, setting, file or missing program
3    damaged: bytes are not what their digest, length or format says
4    untrusted: a signature, key, sequence or role is wrong
5    unreachable: a registry, mirror or host did not answer; run it again
6    storage: the disk is full, or the store is locked or broken
7    conflict: an immutable thing would have to change
70   a defect of sallyport itself
130  interrupted
==== =========================================================================
"""

from __future__ import annotations

from typing import ClassVar


class SallyportError(Exception):
    """The root. ``message`` says what is wrong and where, ``mend`` what to do about it.

    Both are positional and no subclass overrides ``__init__``: an error that cannot be
    unpickled kills the worker pool that raised it.
    """

    exit_code: ClassVar[int] = 70
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, mend: str) -> None:
        super().__init__(message, mend)
        self.message = message
        self.mend = mend

    def __str__(self) -> str:
        return self.message


# --- 1: refused ---------------------------------------------------------------------------


class RefusedError(SallyportError):
    """The gate said no, or could not say yes."""

    exit_code = 1


# --- 2: usage -----------------------------------------------------------------------------


class UsageError(SallyportError):
    """An option, name or combination that cannot mean anything."""

    exit_code = 2


class ConfigError(UsageError):
    """A setting is wrong; the message carries file and line."""


class MissingProgramError(UsageError):
    """A program that this needs is not installed."""


class NoMirrorError(UsageError):
    """No package mirror is known; the mend says how to name one."""


# --- 3: damaged ---------------------------------------------------------------------------


class DamagedError(SallyportError):
    """Bytes are not what their digest, length or format says."""

    exit_code = 3


class DigestMismatchError(DamagedError):
    """The bytes have another digest than the one they were asked for by."""


class TruncatedError(DamagedError):
    """Fewer bytes than promised."""


class OversizeError(DamagedError):
    """More bytes, members or depth than promised or allowed (a decompression bomb is one)."""


class MalformedError(DamagedError):
    """The format is broken."""


class DuplicateKeyError(MalformedError):
    """A JSON object names the same key twice, so two readers could read two things."""


class UnknownMediaTypeError(DamagedError):
    """A media type that nothing here understands; never guessed."""


class UnsafePathError(DamagedError):
    """A path, link or device in an archive that would reach outside its root."""


class CycleError(DamagedError):
    """A manifest refers to itself, directly or through others, or nests too deep."""


class MissingBlobError(DamagedError):
    """Something that is referred to is not in the store, the layout or the bundle."""


# --- 4: untrusted -------------------------------------------------------------------------


class UntrustedError(SallyportError):
    """A signature, key, role or sequence does not hold."""

    exit_code = 4


class UnsignedError(UntrustedError):
    """There is no signature where one is required."""


class WrongSignatureError(UntrustedError):
    """There is a signature, and it does not verify or is by a key that is not trusted for this."""


class ReplayedError(UntrustedError):
    """An older or already received sequence."""


class ExpiredError(UntrustedError):
    """Signed, but past its own end."""


# --- 5: unreachable -----------------------------------------------------------------------


class UnreachableError(SallyportError):
    """A host did not answer, or broke off."""

    exit_code = 5
    retryable = True


class NotFoundError(SallyportError):
    """The host answered, and it has no such thing."""

    exit_code = 5


class DeniedError(SallyportError):
    """The host answered, and it will not let us."""

    exit_code = 5


# --- 6: storage ---------------------------------------------------------------------------


class StorageError(SallyportError):
    """The disk or the store did not do what it must."""

    exit_code = 6


class DiskFullError(StorageError):
    """No space left; nothing was kept of what did not fit."""


class LockedError(StorageError):
    """Another process holds the store."""

    retryable = True


# --- 7: conflict --------------------------------------------------------------------------


class ConflictError(SallyportError):
    """An immutable thing would have to change."""

    exit_code = 7


class ImmutableTagError(ConflictError):
    """An immutable tag already names another digest."""
