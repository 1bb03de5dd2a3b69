"""The verb ``scan``."""

from __future__ import annotations

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Catalogue every mirrored image and find its known vulnerabilities.

    Example: sallyport scan --json

    Exit codes: 0 scanned (whatever was found; judging is the gate's work), 2 usage, 3 damaged bytes, 5 unreachable.
    """
    from sallyport import pipeline
    from sallyport.cli.output import clean, show
    from sallyport.cli.terminal import watching
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        results = pipeline.scan(site)
    show(
        results,
        as_json=as_json,
        headers=("image", "platform", ">packages", ">vulnerabilities", ">with a fix", "sources"),
        rows=[
            (
                result.name,
                str(scan.platform),
                str(scan.packages),
                str(len(scan.vulnerabilities)),
                str(len({finding.id for finding in scan.findings if finding.fixable})),
                ", ".join(f"{source.source} as of {source.as_of:%Y-%m-%d}" for source in scan.sources),
            )
            for result in results
            for scan in result.scans
        ],
        note="" if results else "nothing is mirrored yet: run sallyport mirror first",
    )
    problems = [f"{result.name}: {problem}" for result in results for problem in result.problems]
    for problem in problems:
        typer.echo(f"error: {clean(problem)}\nmend: fetch the image again, or ask its publisher to mend it", err=True)
    if problems:
        raise typer.Exit(3)
