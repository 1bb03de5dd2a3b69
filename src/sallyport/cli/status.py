"""The verb ``status``."""

from __future__ import annotations

from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    config: ConfigOption = DEFAULT_CONFIG,
    events: Annotated[int, typer.Option("--events", min=0, help="How many of the newest journal lines to show.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show what the store holds and what happened last.

    Example: sallyport status --events 20

    Exit codes: 0 done, 2 usage, 6 storage.
    """
    from collections import deque

    from sallyport.cli.output import show, size
    from sallyport.engine import render_time
    from sallyport.site import open_site

    with open_site(config) as site:
        state, blobs = site.store.state, site.store.blobs
        tags = [tag for repository in state.repositories() for tag in state.tags(repository)]
        stored = [blobs.size(digest) for digest in blobs.digests()]
        newest = list(deque(state.events(), maxlen=events))
    value = {
        "side": site.config.side,
        "destination": site.config.destination,
        "blobs": len(stored),
        "bytes": sum(stored),
        "tags": tags,
        "events": newest,
    }
    show(
        value,
        as_json=as_json,
        headers=("image", "digest", ""),
        rows=[
            (f"{tag.repository}:{tag.name}", tag.descriptor.digest.short, "immutable" if tag.immutable else "")
            for tag in tags
            if not tag.name.startswith("sha256-")
        ],
        note=f"{site.config.side} of {site.config.destination}: {len(stored)} blobs, {size(sum(stored))}",
    )
    if not as_json and newest:
        show(
            newest,
            as_json=False,
            headers=("when", "what", "which"),
            rows=[(render_time(event.at), event.verb, event.subject) for event in newest],
        )
