"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        envvar="SALLYPORT_CONFIG",
        help="The configuration file, or the folder that holds sallyport.yaml.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON value on stdout instead of a table.")]
DEFAULT_CONFIG = Path("sallyport.yaml")
