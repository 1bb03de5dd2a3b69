"""The verb ``demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli.options import JsonOption


def command(
    workspace: Annotated[Path, typer.Option("--workspace", help="Where everything is kept.")] = Path(".demo"),
    mirror: Annotated[str, typer.Option("--mirror", help="A Debian mirror; the host's apt sources by default.")] = "",
    security: Annotated[str, typer.Option("--security-mirror", help="Its security archive.")] = "",
    suite: Annotated[str, typer.Option("--suite", help="The release to compose outdated images from.")] = "bookworm",
    osv: Annotated[str, typer.Option("--osv", help="OSV records as a second source: a folder, zip or address.")] = "",
    serve: Annotated[bool, typer.Option("--serve", help="Leave the inside registry and status page up.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the whole crossing once, on real outdated Debian images, and show what it did.

    Example: sallyport demo --serve

    Exit codes: 0 done, 1 something was refused, 2 no mirror is known, 4 the archive is not trusted, 5 unreachable.
    """
    from sallyport.cli.demonstrate import demonstrate

    raise typer.Exit(
        demonstrate(workspace, mirror=mirror, security=security, suite=suite, osv=osv, serve=serve, as_json=as_json)
    )
