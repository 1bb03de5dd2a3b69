"""The verb ``discover``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli.options import JsonOption


def command(
    source: Annotated[
        str,
        typer.Argument(help="A file or folder; cluster: for the running cluster; git:FOLDER#BRANCH for a branch."),
    ],
    kind: Annotated[
        str,
        typer.Option("--kind", help="auto, kubernetes, kustomize, helm, compose, dockerfile or list."),
    ] = "auto",
    values: Annotated[
        list[Path] | None,
        typer.Option("--values", help="helm: a file of values; may be repeated, the last counts most."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Only images whose REGISTRY/REPOSITORY fits this glob; may be repeated."),
    ] = None,
    to: Annotated[str, typer.Option("--to", help="With --yaml: prefix of our repositories.")] = "",
    as_yaml: Annotated[
        bool, typer.Option("--yaml", help="Print a section outside.mirror to paste into sallyport.yaml.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the images that manifests, charts, Compose files, Dockerfiles or a cluster name; nothing is fetched.

    Example: sallyport discover deploy/ --yaml

    Exit codes: 0 done, 2 usage, 3 damaged bytes, 5 unreachable.
    """
    import sys
    from typing import cast

    from sallyport.cli.output import clean, show
    from sallyport.discover import KINDS, Kind, Noted, discover, render_section, wanted
    from sallyport.errors import UsageError

    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind[:40]!r}", f"use one of: {', '.join(KINDS)}")
    noted: list[Noted] = []
    found = discover(source, kind=cast("Kind", kind), values=values or (), only=only or (), note=noted.append)
    for item in noted if not as_json else ():
        place = f"{item.where}, line {item.line}" if item.line else item.where
        sys.stderr.write(clean(f"note: {place}: {item.why}\n"))
    if as_yaml:
        sys.stdout.write(render_section(wanted(found, to=to)))
        return
    show(
        {"found": found, "noted": tuple(noted)},
        as_json=as_json,
        headers=("image", "named in", ">line"),
        rows=[(item.reference, item.where, str(item.line or "-")) for item in found],
        note="" if found else "no images found",
    )
