"""The verb ``mirror``."""

from __future__ import annotations

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Copy the selected upstream images into the store; what is there already is not fetched again.

    Example: sallyport mirror --config outside/sallyport.yaml

    Exit codes: 0 done, 2 usage, 3 damaged bytes, 5 unreachable, 6 storage.
    """
    from sallyport import pipeline
    from sallyport.cli.output import show, size
    from sallyport.cli.terminal import watching
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        results = pipeline.mirror(site)
    show(
        results,
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
            for r in results
        ],
        note="" if results else "nothing is selected: add outside.mirror to the configuration",
    )
