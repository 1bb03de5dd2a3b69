"""The verb ``serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption


def command(
    what: Annotated[
        Literal["registry", "gateway"],
        typer.Argument(help="The store as a registry, or the gateway that fetches, judges and serves what passes."),
    ] = "registry",
    config: ConfigOption = DEFAULT_CONFIG,
    listen: Annotated[str, typer.Option("--listen", help="host:port instead of the configured one.")] = "",
    certificate: Annotated[Path | None, typer.Option("--certificate", help="A PEM file: serve TLS with it.")] = None,
    private_key: Annotated[Path | None, typer.Option("--private-key", help="The certificate's key, PEM.")] = None,
    writable: Annotated[
        bool,
        typer.Option("--writable", help="Accept pushes of everybody on this machine; only where access has no logins."),
    ] = False,
) -> None:
    """Serve the store as an OCI registry, with a status page at /, or the vetted gateway, until interrupted.

    With logins or rules in access, these say who may pull, push and delete; without, everybody may pull.

    Example: sallyport serve --listen 127.0.0.1:5000

    Exit codes: 0 ended, 2 usage, 6 the port is taken.
    """
    from sallyport import pipeline, serving
    from sallyport.errors import UsageError
    from sallyport.site import open_site

    if writable and what == "gateway":
        raise UsageError("a gateway takes no pushes", "leave --writable out")
    with open_site(config) as site:
        running = (
            serving.serve_gateway(site, listen=listen, certificate=certificate, private_key=private_key)
            if what == "gateway"
            else serving.serve(site, listen=listen, writable=writable, certificate=certificate, private_key=private_key)
        )
        with running as url:
            typer.echo(f"serving {site.config.destination} ({site.config.side}) on {url}; end with Ctrl-C", err=True)
            pipeline.wait_for_interrupt()
