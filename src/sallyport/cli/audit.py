"""The verb ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    config: ConfigOption = DEFAULT_CONFIG,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write the report; configured by default.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prove what was done: check the journal's chain and write the HTML report.

    Example: sallyport audit --output report.html

    Exit codes: 0 written, 2 usage, 3 the journal is broken.
    """
    from sallyport import pipeline
    from sallyport.cli.output import show
    from sallyport.site import open_site

    with open_site(config) as site:
        path, report = pipeline.audit(site, output)
    show(report, as_json=as_json, note=f"wrote {path}")
