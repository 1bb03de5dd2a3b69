"""Where packages come from."""

from __future__ import annotations

from typing import Annotated

import msgspec

from sallyport.config.section import Section

Meta = msgspec.Meta


class ArchiveSection(Section, frozen=True, kw_only=True):
    """The signed package archive that patches come from."""

    mirror: Annotated[
        str,
        Meta(description="address of a Debian mirror; when left out SALLYPORT_APT_MIRROR, or the host's apt sources"),
    ] = ""
    security: Annotated[
        str,
        Meta(
            description="address of its security archive; when left out SALLYPORT_APT_SECURITY_MIRROR, the host's "
            "apt sources where the mirror is theirs, or the mirror's address with -security"
        ),
    ] = ""
    suite: Annotated[str, Meta(description="the release; its security suite is read beside it")] = "bookworm"
    components: Annotated[tuple[str, ...], Meta(description="parts of the archive that packages may come from")] = (
        "main",
    )
    keyring: Annotated[
        str,
        Meta(
            description="file with the archive's OpenPGP keys; when left out the host's keyring package, or the "
            "archive's own, of which only keys with the published fingerprints count"
        ),
    ] = ""
