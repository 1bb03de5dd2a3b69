"""Whose signatures upstream images need."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sallyport.config.section import Section

Meta = msgspec.Meta


class TrustSection(Section, frozen=True, kw_only=True):
    """What an upstream image must bring; the first rule that fits counts, and where none does it is refused."""

    images: Annotated[str, Meta(description="REGISTRY/REPOSITORY globs: registry.example/library/*")]
    require: Annotated[
        Literal["cosign", "keyless", "notation", "nothing"],
        Meta(description="cosign: by a key; keyless: by an identity; notation: by a certificate; nothing: unsigned"),
    ]
    keys: Annotated[
        tuple[str, ...], Meta(description="cosign: public key files, PEM; a signature by one is enough")
    ] = ()
    trusted_root: Annotated[
        str, Meta(description="keyless: trusted_root.json of the sigstore that signed; nothing else is asked")
    ] = ""
    issuer: Annotated[str, Meta(description="keyless: the identity provider, exactly")] = ""
    identity: Annotated[str, Meta(description="keyless: the certificate's subject; * and ? as in a glob")] = ""
    certificates: Annotated[tuple[str, ...], Meta(description="notation: files of trusted certificates, PEM")] = ()
    subjects: Annotated[
        tuple[str, ...], Meta(description="notation: signers' subjects such as CN=x,O=y; any when left out")
    ] = ()
    attestations: Annotated[
        tuple[str, ...], Meta(description="predicate types that must be there, by the same signer")
    ] = ()
