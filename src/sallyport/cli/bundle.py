"""The verb ``bundle``."""

from __future__ import annotations

from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be carried.")] = False,
    everything: Annotated[
        bool, typer.Option("--full", help="Leave nothing out, whatever the receipts say: for a new or restored inside.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Seal the released images into a signed bundle on the medium, without what the newest receipt lists.

    Example: sallyport bundle --dry-run

    Exit codes: 0 sealed or nothing to carry, 2 usage, 3 damaged bytes, 4 untrusted receipt, 6 the medium is full.
    """
    from sallyport import pipeline
    from sallyport.cli.output import show, size
    from sallyport.cli.terminal import watching
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        outcome = pipeline.bundle(site, dry_run=dry_run, full=everything)
    if outcome.waiting:
        note = f"{outcome.waiting} lies on the medium already, with just this: carry it across (--full writes it anew)"
    elif outcome.plan.empty:
        note = "nothing to carry: the inside holds everything already"
    else:
        what = f"{len(outcome.plan.released)} releases, {size(outcome.plan.bytes)} in {len(outcome.plan.carries)} blobs"
        left = f"{len(outcome.plan.requires)} blobs ({size(outcome.plan.spared)}) left out, the inside holds them"
        note = f"{'would carry' if outcome.written is None else f'sealed {outcome.written.folder}:'} {what}; {left}"
    for reason in outcome.ignored:
        typer.echo(f"note: a receipt does not count: {reason}", err=True)
    show(outcome, as_json=as_json, note=note)
