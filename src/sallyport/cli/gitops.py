"""The verb ``gitops``."""

from __future__ import annotations

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Pin the promoted digests in the Git repository that rolls them out.

    Example: sallyport gitops

    Exit codes: 0 done, 2 usage, 3 a manifest cannot be read, 7 the branch moved meanwhile.
    """
    from sallyport import pipeline
    from sallyport.cli.output import show
    from sallyport.site import open_site

    with open_site(config) as site:
        pinned = pipeline.gitops(site)
    note = "nothing to commit: every image is pinned already"
    if pinned is not None:
        note = f"committed {pinned.commit[:12]}: {', '.join(pinned.files)}"
    show(pinned, as_json=as_json, note=note)
