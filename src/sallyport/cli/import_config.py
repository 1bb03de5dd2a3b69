"""The verb ``import-config``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli.options import JsonOption


def command(
    file: Annotated[Path, typer.Argument(help="The configuration file of the other tool.")],
    kind: Annotated[
        str, typer.Option("--kind", help="auto, skopeo, regsync, image-syncer, hauler or oc-mirror.")
    ] = "auto",
    as_json: JsonOption = False,
) -> None:
    """Read another mirror tool's configuration; print ours, and say what could not be carried over.

    Example: sallyport import-config regsync.yaml

    Exit codes: 0 done, 2 usage, 3 damaged bytes.
    """
    import sys

    from sallyport.adopt import adopt, render
    from sallyport.cli.output import clean, show

    adopted = adopt(file, kind=kind)
    if as_json:
        show(adopted, as_json=True)
        return
    for lost in adopted.lost:
        sys.stderr.write(clean(f"not carried over: {file}, line {lost.line}, {lost.setting}: {lost.why}") + "\n")
    sys.stdout.write(render(adopted, source=file.name))
