"""The verb ``gate``."""

from __future__ import annotations

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Judge every candidate by the policy; what is refused or undecided does not cross.

    Example: sallyport gate

    Exit codes: 0 everything passed, 1 something was refused or could not be decided, 2 usage.
    """
    import typer

    from sallyport import pipeline
    from sallyport.cli.output import show
    from sallyport.gate import Passed
    from sallyport.site import open_site

    with open_site(config) as site:
        results = pipeline.gate(site)
    show(
        results,
        as_json=as_json,
        headers=("image", "digest", "verdict", "because"),
        rows=[
            (
                judged.candidate.upstream.name,
                judged.candidate.descriptor.digest.short,
                type(judged.verdict).__name__.lower(),
                "; ".join(judged.verdict.because),
            )
            for judged in results
        ],
        note="" if results else "there are no candidates yet: run sallyport patch first",
    )
    if not all(isinstance(judged.verdict, Passed) for judged in results):
        raise typer.Exit(1)
