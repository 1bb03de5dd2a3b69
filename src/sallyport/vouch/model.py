"""The nouns of trust in others: what an image of theirs must bring, and who turned out to have signed it."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sallyport.errors import UsageError
from sallyport.oci import Reference
from sallyport.vouch.key import UpstreamKey


class Need(enum.Enum):
    """The kind of signature that images need."""

    KEY = "cosign"
    IDENTITY = "keyless"
    CERTIFICATE = "notation"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Rule:
    """What the images that ``images`` means must bring; one good signature is enough."""

    images: str  # REGISTRY/REPOSITORY, a glob
    need: Need
    keys: tuple[UpstreamKey, ...] = ()
    trusted_root: bytes = b""  # sigstore's, JSON
    issuer: str = ""  # exactly
    identity: str = ""  # * and ? as in a glob
    certificates: tuple[str, ...] = ()  # PEM; each may hold several
    subjects: tuple[str, ...] = ()  # each like CN=x,O=y; empty: any
    attestations: tuple[str, ...] = ()  # predicate types, by one that signed the image

    def __post_init__(self) -> None:
        for need, missing, what in (
            (Need.KEY, not self.keys, "keys"),
            (Need.IDENTITY, not self.trusted_root, "trusted-root"),
            # Whoever has any account anywhere has some identity.
            (Need.IDENTITY, not (self.issuer and self.identity.strip("*?")), "issuer and identity"),
            (Need.CERTIFICATE, not self.certificates, "certificates"),
        ):
            if self.need is need and missing:
                raise UsageError(
                    f"the trust rule for {self.images} requires {need.value} and has no {what}", f"add {what} to it"
                )
        if self.attestations and self.need not in (Need.KEY, Need.IDENTITY):
            raise UsageError(
                f"the trust rule for {self.images} asks for attestations, which {self.need.value} cannot prove",
                "require cosign or keyless, or leave attestations out",
            )

    def means(self, reference: Reference) -> bool:
        """Whether this rule is about the image."""
        return fnmatchcase(f"{reference.registry}/{reference.repository}", self.images)

    def is_identity(self, name: str) -> bool:
        """Whether ``name`` is the identity that is asked for."""
        pattern = re.escape(self.identity).replace(r"\*", ".*").replace(r"\?", ".")
        return re.fullmatch(pattern, name) is not None


@dataclass(frozen=True, slots=True)
class Vouched:
    """Why an image was let in."""

    rule: str  # the rule's ``images`` and what it requires
    signers: tuple[str, ...]  # keys, identities or certificate subjects; empty where nothing is required


@dataclass(frozen=True, slots=True)
class Said:
    """Something about an image that a trusted signer said."""

    kind: str  # predicate type; "" for a signature of the image
    signer: str
