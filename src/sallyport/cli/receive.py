"""The verb ``receive``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    bundle: Annotated[
        Path | None, typer.Argument(help="The bundle's folder; all new ones on the medium when left out.")
    ] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle whole, quarantine it, scan and judge it again, and import what passed.

    Example: sallyport receive /media/usb0/ship-7-1.12

    Exit codes: 0 everything imported, 1 something was refused, 2 usage, 3 damaged, 4 untrusted or replayed, 6 storage.
    """
    from sallyport import pipeline
    from sallyport.cli.output import clean, show
    from sallyport.cli.terminal import watching
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        results = pipeline.receive(site, bundle)
    show(
        results,
        as_json=as_json,
        headers=("bundle", "image", "digest", "verdict", "because"),
        rows=[
            (
                received.name,
                f"{outcome.released.repository}:{outcome.released.tag}",
                outcome.released.descriptor.digest.short,
                type(outcome.verdict).__name__.lower(),
                "; ".join(outcome.verdict.because),
            )
            for received in results
            for outcome in received.outcomes
        ],
        note="" if results else "no new bundle on the medium",
    )
    for received in results:
        for remark in received.notes:
            typer.echo(f"note: {received.name}: {clean(remark)}", err=True)
    if any(not outcome.imported for received in results for outcome in received.outcomes):
        raise typer.Exit(1)
