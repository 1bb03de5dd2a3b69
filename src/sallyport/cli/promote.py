"""The verb ``promote``."""

from __future__ import annotations

from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    image: Annotated[str, typer.Argument(help="repository:immutable-tag; all newest releases when left out.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    channel: Annotated[str, typer.Option("--channel", help="The channel to move; the configured one by default.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Move a channel (such as stable) to a released image.

    Example: sallyport promote library/web:12-20261124.1 --channel stable

    Exit codes: 0 done, 2 usage (no such immutable tag), 7 conflict.
    """
    from sallyport import pipeline
    from sallyport.cli.output import show
    from sallyport.site import open_site

    with open_site(config) as site:
        results = pipeline.promote(site, image=image, channel=channel)
    show(
        results,
        as_json=as_json,
        headers=("image", "channel", "digest", ""),
        rows=[
            (
                f"{p.repository}:{p.tag}",
                p.channel,
                p.descriptor.digest.short,
                "unchanged" if p.previous == p.descriptor.digest else "moved",
            )
            for p in results
        ],
        note="" if results else "there is nothing to promote: run sallyport receive first",
    )
