"""The verb ``release``."""

from __future__ import annotations

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Sign what passed the gate and give it an immutable tag.

    Example: sallyport release

    Exit codes: 0 done, 1 some could not be signed, 2 usage (a key is missing), 4 a key file is not safe, 7 conflict.
    """
    from sallyport import pipeline
    from sallyport.cli.output import show
    from sallyport.site import open_site

    with open_site(config) as site:
        results = pipeline.release(site)
    show(
        results,
        as_json=as_json,
        headers=("release", "digest", "signatures and statements", ""),
        rows=[
            (
                f"{outcome.released.repository}:{outcome.released.tag}",
                str(outcome.released.descriptor.digest),
                str(len(outcome.released.attached)),
                "new" if outcome.new else "unchanged",
            )
            for outcome in results
        ],
        note="" if results else "nothing passed the gate: run sallyport gate to see why",
    )
