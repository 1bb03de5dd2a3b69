"""The verb ``patch``."""

from __future__ import annotations

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Make patched images from the signed archive, one reproducible layer each, and scan them again.

    See what it would do with: sallyport plan

    Example: sallyport patch

    Exit codes: 0 done, 2 usage, 3 damaged bytes, 4 untrusted archive, 5 unreachable, 6 storage.
    """
    from sallyport import pipeline
    from sallyport.cli.output import clean, show, size
    from sallyport.cli.terminal import watching
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        results = pipeline.patch(site)
    show(
        results,
        as_json=as_json,
        headers=("image", "platform", "packages", ">closes", ">layer", "patched digest"),
        rows=[
            (
                candidate.upstream.name,
                str(patched.plan.platform),
                ", ".join(f"{upgrade.new.name} {upgrade.new.version}" for upgrade in patched.plan.upgrades) or "none",
                str(len({cve for upgrade in patched.plan.upgrades for cve in upgrade.closes})),
                size(patched.layer.size) if patched.plan.upgrades else "-",
                patched.after.digest.short,
            )
            for candidate in results
            for patched in candidate.patched
        ],
        note="" if results else "nothing is mirrored yet: run sallyport mirror first",
    )
    for candidate in results:
        if candidate.problem:
            typer.echo(f"note: {candidate.upstream.name} stays as it is: {clean(candidate.problem)}", err=True)
