"""Who may do what at the registry."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from sallyport.config.section import ByteSize, Section

Meta = msgspec.Meta


class RuleSection(Section, frozen=True, kw_only=True):
    """What somebody may do where. Rules add up; what no rule allows is refused."""

    who: Annotated[
        str,
        Meta(
            pattern=r"^(user:.+|robot:.+|group:.+|anonymous|\*)$",
            description="user:NAME, robot:NAME, group:NAME (of a token's claim), anonymous, or * for all users",
        ),
    ]
    images: Annotated[str, Meta(description="repositories; * and ? as in a glob")] = "*"
    may: Annotated[tuple[Literal["pull", "push", "delete"], ...], Meta(min_length=1, description="pull, push, delete")]


class TokenSection(Section, frozen=True, kw_only=True):
    """JSON Web Tokens of an identity provider, as OpenID Connect issues them."""

    issuer: Annotated[str, Meta(description="the iss claim")]
    audience: Annotated[str, Meta(description="the aud claim that is meant for us")]
    keys: Annotated[str, Meta(description="file with the provider's JSON Web Key Set; no network is asked")]
    user_claim: Annotated[str, Meta(description="the claim that names the user")] = "sub"
    groups_claim: Annotated[str, Meta(description="the claim that lists groups")] = "groups"


class QuotaSection(Section, frozen=True, kw_only=True):
    """The most that repositories may hold."""

    images: Annotated[str, Meta(description="repositories, each by itself; * and ? as in a glob")] = "*"
    size: Annotated[ByteSize, Meta(description="bytes of all that a repository refers to, each blob once")]


class AccessSection(Section, frozen=True, kw_only=True):
    """Logins of the registry. Without any, everybody who reaches it may pull; see also `serve --writable`."""

    htpasswd: Annotated[str, Meta(description="file of users with bcrypt hashes, as htpasswd -B writes it")] = ""
    robots: Annotated[str, Meta(description="file of robot accounts; made by: sallyport robot create")] = ""
    tokens: Annotated[tuple[TokenSection, ...], Meta(description="identity providers whose tokens count")] = ()
    url: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^/\s]+/?)?$",
            description="address of the registry as clients use it, where a proxy before it speaks TLS",
        ),
    ] = ""
    rules: Annotated[
        tuple[RuleSection, ...],
        Meta(description="who may do what; when left out anonymous may pull everything and only robots may push"),
    ] = ()
    quotas: Annotated[tuple[QuotaSection, ...], Meta(description="the first that fits a repository counts")] = ()
    immutable: Annotated[
        tuple[str, ...],
        Meta(description="REPOSITORY:TAG globs of tags that never move; release tags never do"),
    ] = ()
