"""The verb ``gc``."""

from __future__ import annotations

from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove blobs that no tag, manifest, release or feed refers to.

    Example: sallyport gc --dry-run

    Exit codes: 0 done, 2 usage, 6 the store is held by another process.
    """
    from sallyport.cli.output import show, size
    from sallyport.ledger import Ledger
    from sallyport.site import open_site
    from sallyport.store import collect_garbage

    with open_site(config) as site:
        collected = collect_garbage(site.store, roots=Ledger(site.store.state).roots(), dry_run=dry_run)
    verb = "would free" if dry_run else "freed"
    show(collected, as_json=as_json, note=f"{verb} {size(collected.bytes)} in {len(collected.digests)} blobs")
