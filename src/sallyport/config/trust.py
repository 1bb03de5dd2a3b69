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
    keys: Annotated[tuple[str, ...], Meta(description="cosign: public key files, PEM; one that holds is enough")] = ()
    trusted_root: Annotated[
        str, Meta(description="keyless: sigstore trusted root (JSON); it crosses with the bundle")
    ] = ""
    issuer: Annotated[str, Meta(description="keyless: the identity provider, exactly")] = ""
    identity: Annotated[str, Meta(description="keyless: the certificate's subject; * and ? as in a glob")] = ""
    certificates: Annotated[tuple[str, ...], Meta(description="notation: root certificates, PEM")] = ()
    subjects: Annotated[
        tuple[str, ...], Meta(description="notation: certificate subjects such as CN=x,O=y; any when left out")
    ] = ()
    attestations: Annotated[
        tuple[str, ...], Meta(description="predicate types that must be there, by the same signer")
    ] = ()
