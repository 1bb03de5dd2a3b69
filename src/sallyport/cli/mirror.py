"""The verb ``mirror``."""

from __future__ import annotations

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Copy the selected upstream images into the store; what is there already is not fetched again.

    A source that fails holds up no other; the exit code is then that of the first failure.

    Example: sallyport mirror --config outside/sallyport.yaml

    Exit codes: 0 done, 2 usage, 3 damaged bytes, 5 unreachable, 6 storage.
    """
    from sallyport import pipeline
    from sallyport.cli.output import clean, show, size
    from sallyport.cli.terminal import watching
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        outcome = pipeline.mirror(site)
    show(
        outcome,
        as_json=as_json,
        headers=("image", "digest", ">fetched", ">requests", ""),
        rows=[
            (
                f"{r.repository}:{r.tag}",
                r.descriptor.digest.short,
                size(r.bytes),
                str(r.requests),
                "new" if r.changed else "unchanged",
            )
            for r in outcome.mirrored
        ],
        note="" if outcome.mirrored else "nothing was mirrored: see outside.mirror in the configuration",
    )
    for failure in outcome.failures:
        typer.echo(f"error: {clean(failure.what)}: {clean(failure.message)}\nmend: {clean(failure.mend)}", err=True)
    if outcome.failures:
        raise typer.Exit(outcome.failures[0].exit_code)
