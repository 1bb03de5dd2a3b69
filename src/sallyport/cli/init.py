"""The verb ``init``."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli.options import JsonOption


class Side(Enum):
    """Which side of the gap."""

    OUTSIDE = "outside"
    INSIDE = "inside"


def command(
    side: Annotated[Side, typer.Argument(help="outside (connected) or inside (isolated).")] = Side.OUTSIDE,
    folder: Annotated[Path, typer.Option("--folder", help="Where to write sallyport.yaml.")] = Path(),
    destination: Annotated[str, typer.Option("--destination", help="The isolated site's name.")] = "ship-7",
    as_json: JsonOption = False,
) -> None:
    """Write a commented sallyport.yaml; an existing one is never overwritten.

    Example: sallyport init outside --destination ship-7

    Exit codes: 0 written, 2 usage, 6 storage, 7 there is one already.
    """
    from sallyport.cli.output import show
    from sallyport.config import NAME, example, load_config
    from sallyport.engine import write_file
    from sallyport.errors import ConflictError

    path = folder / NAME
    if path.exists():
        raise ConflictError(f"there is a {path} already", "edit it, or choose another folder with --folder")
    write_file(path, example(side.value, destination=destination).encode())
    load_config(path)
    next_step = "sallyport key create" if side is Side.OUTSIDE else "sallyport key create, then sallyport key trust"
    show({"written": str(path)}, as_json=as_json, note=f"wrote {path}; next: {next_step}")
