"""The verb ``run``."""

from __future__ import annotations

from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    config: ConfigOption = DEFAULT_CONFIG,
    schedule: Annotated[
        bool, typer.Option("--schedule", help="Stay, and run whenever the configured cron expression says.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Run this side's whole pipeline: outside mirror to bundle, inside receive to audit.

    Example: sallyport run --config inside/sallyport.yaml

    Exit codes: 0 done, 1 something was refused, otherwise as the verbs that it runs.
    """
    from sallyport import pipeline
    from sallyport.cli.output import clean, show
    from sallyport.cli.terminal import watching
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        for outcome in pipeline.run(site, schedule=schedule):
            show(
                outcome,
                as_json=as_json,
                headers=("step", ">seconds", "what"),
                rows=[(step.name, f"{step.seconds:.1f}", step.summary) for step in outcome.steps],
            )
            for remark in outcome.notes:
                typer.echo(f"note: {clean(remark)}", err=True)
            for reason in outcome.refused:
                typer.echo(f"refused: {clean(reason)}", err=True)
    if not schedule and outcome.refused:
        raise typer.Exit(1)
