"""The verb ``robot``: accounts for programs that pull and push."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from sallyport.site import Site

app = typer.Typer(
    help="Make, list and revoke robot accounts of the registry.\n\nExample: sallyport robot list",
    no_args_is_help=True,
    rich_markup_mode=None,
)
NameArgument = Annotated[str, typer.Argument(help="Its name; it logs in as robot+NAME.")]


@app.command()
def create(
    name: NameArgument,
    images: Annotated[list[str], typer.Option("--images", help="Repositories; * and ? as in a glob; repeat.")],
    may: Annotated[list[str], typer.Option("--may", help="pull, push or delete; repeat.")],
    expires: Annotated[str, typer.Option("--expires", help="When it ends: after 36h, 90d, 52w; never without.")] = "",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a robot account and show its secret, which is kept nowhere and never shown again.

    Example: sallyport robot create ci --images team/app --may pull --may push --expires 90d

    Exit codes: 0 made, 2 usage, 6 storage, 7 there is one of this name.
    """
    import re

    from sallyport.access import LOGIN_PREFIX, create_robot
    from sallyport.cli.output import show
    from sallyport.config import duration
    from sallyport.errors import UsageError
    from sallyport.site import open_site

    if expires and not re.fullmatch(r"[0-9]{1,5}[hdw]", expires):
        raise UsageError(f"{expires[:20]!r} is no time span", "write it like 36h, 90d or 52w")
    with open_site(config) as site:
        now = site.clock.now()
        until = now + duration(expires) if expires else None
        robot, secret = create_robot(_file(site), name, images=images, may=may, now=now, expires=until)
    login = LOGIN_PREFIX + robot.name
    show(
        {"login": login, "secret": secret, "images": robot.images, "may": robot.may, "expires": robot.expires},
        as_json=as_json,
        headers=("login", "secret"),
        rows=[(login, secret)],
        note="keep the secret now: it is not shown again",
    )


@app.command(name="list")
def list_all(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List robot accounts and what they may.

    Example: sallyport robot list

    Exit codes: 0 done, 2 usage.
    """
    from sallyport.access import LOGIN_PREFIX, list_robots
    from sallyport.cli.output import show
    from sallyport.site import open_site

    with open_site(config) as site:
        robots, now = list_robots(_file(site)), site.clock.now()
    show(
        [
            {"name": one.name, "images": one.images, "may": one.may, "created": one.created, "expires": one.expires}
            for one in robots
        ],
        as_json=as_json,
        headers=("login", "images", "may", "until"),
        rows=[
            (
                LOGIN_PREFIX + one.name,
                " ".join(one.images),
                " ".join(one.may),
                ("" if one.active(now) else "ended ") + (one.expires.isoformat() if one.expires else "it is revoked"),
            )
            for one in robots
        ],
    )


@app.command()
def revoke(name: NameArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """End a robot account; a registry that runs refuses it from its next request on.

    Example: sallyport robot revoke ci

    Exit codes: 0 done, 2 there is none of this name, 6 storage.
    """
    from sallyport.access import revoke_robot
    from sallyport.cli.output import show
    from sallyport.site import open_site

    with open_site(config) as site:
        revoke_robot(_file(site), name)
    show({"revoked": name}, as_json=as_json, note=f"revoked {name}")


def _file(site: Site) -> Path:
    from sallyport.errors import ConfigError

    if not site.config.access.robots:
        raise ConfigError("the configuration has no access.robots", "name a file, for example: robots: robots.json")
    return site.path(site.config.access.robots)
