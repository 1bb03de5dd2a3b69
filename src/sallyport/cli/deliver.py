"""The verb ``deliver``."""

from __future__ import annotations

from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption


def command(
    name: Annotated[str, typer.Argument(help="A destination of the configuration; all of them when left out.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent and made.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring other registries up to date: Harbor, Quay, Nexus, Artifactory, or any other.

    What is there already is not sent again; an image that fails holds up no other, and the exit code is then
    that of the first failure.

    Example: sallyport deliver harbor --dry-run

    Exit codes: 0 done, 2 usage, 3 damaged bytes, 5 unreachable or refused, 6 storage, 7 an immutable tag differs.
    """
    from sallyport.cli.output import clean, show, size
    from sallyport.cli.terminal import watching
    from sallyport.delivery import deliver_all
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress, open_site(config, progress=progress) as site:
        deliveries = deliver_all(site, name=name, dry_run=dry_run)
    verb = "would make" if dry_run else "made"
    made = [
        f"{one.destination}: {thing.kind} {thing.name} not made: {thing.problem}"
        if thing.problem
        else f"{one.destination}: {verb} {thing.kind} {thing.name}"
        + (f"; its secret, shown this once: {thing.secret}" if thing.secret else "")
        for one in deliveries
        for thing in one.made
    ]
    rows = [
        (one.destination, image.name, image.reference, size(image.bytes), image.state)
        for one in deliveries
        for image in one.images
    ]
    images = [image for one in deliveries for image in one.images if image.state in ("sent", "to send")]
    total = f"{'would send' if dry_run else 'sent'} {size(sum(i.bytes for i in images))} for {len(images)} images"
    show(
        deliveries,
        as_json=as_json,
        headers=("destination", "image", "there", ">bytes", ""),
        rows=rows,
        note="\n".join([*made, total if rows else "there is nothing to deliver: release or receive an image first"]),
    )
    failed = [image for one in deliveries for image in one.failed]
    for image in failed:
        typer.echo(f"error: {clean(image.reference)}: {clean(image.problem)}\nmend: {clean(image.mend)}", err=True)
    if failed:
        raise typer.Exit(failed[0].exit_code)
