"""Where blobs rest, and how long tags stay."""

from __future__ import annotations

from typing import Annotated

import msgspec

from sallyport.config.section import ByteSize, Duration, Section

Meta = msgspec.Meta


class StorageSection(Section, frozen=True, kw_only=True):
    """A place for blobs other than the store's folder; tags, facts and journal stay in the folder."""

    url: Annotated[str, Meta(description="s3://bucket/prefix; the store's own folder when left out")] = ""
    endpoint: Annotated[str, Meta(description="address of an S3-compatible service that is not Amazon's")] = ""
    region: Annotated[str, Meta(description="the bucket's region")] = "us-east-1"
    plain_http: Annotated[bool, Meta(description="allow an endpoint without TLS")] = False


class RetentionSection(Section, frozen=True, kw_only=True):
    """Tags that `gc --retention` keeps; the first rule that fits a tag counts, without a limit it keeps all."""

    images: Annotated[str, Meta(description="repositories that it holds for; * and ? as in a glob")] = "*"
    tags: Annotated[tuple[str, ...], Meta(description="patterns as in outside.mirror; all tags when left out")] = ()
    keep_newest: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="how many of them stay, the newest first")
    ] = None
    keep_for: Annotated[Duration | None, Meta(description="how long after its last change a tag stays")] = None


class ScrubSection(Section, frozen=True, kw_only=True):
    """Reading every blob again, in the background of `serve`, to find rot before somebody needs it."""

    every: Annotated[Duration, Meta(description="each blob is read once in this time")] = "4w"
    rate: Annotated[ByteSize, Meta(description="most bytes read in a second")] = "20M"
