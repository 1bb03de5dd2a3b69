"""The verb ``verify``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle's folder to verify; reads every byte.")] = None,
    store: Annotated[
        bool, typer.Option("--store", help="Verify the store: every blob, image and journal line.")
    ] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Prove that a bundle or the store is whole; nothing is changed.

    Example: sallyport verify --store

    Exit codes: 0 whole, 2 usage, 3 damaged (each damaged thing is named), 4 untrusted.
    """
    from sallyport import pipeline
    from sallyport.cli.output import show
    from sallyport.cli.terminal import watching
    from sallyport.errors import UsageError
    from sallyport.site import open_site

    if (bundle is None) == (not store):
        raise UsageError("verify needs a bundle's folder or --store", "for example: sallyport verify --store")
    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        problems = pipeline.verify(site, bundle)
    show(
        problems,
        as_json=as_json,
        headers=("what", "is wrong because", "mend"),
        rows=[(problem.subject, problem.message, problem.mend) for problem in problems],
        note="" if problems else f"{bundle or site.store.root}: whole",
    )
    if problems:
        raise typer.Exit(3)
