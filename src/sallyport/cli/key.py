"""The verb ``key``: make keys, found the trust of a destination, and hand it to the inside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

app = typer.Typer(
    help="Make keys, found a destination's trust, and hand it to the inside.\n\nExample: sallyport key create",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command()
def create(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Make this side's missing keys; existing ones are never replaced.

    Example: sallyport key create

    Exit codes: 0 done, 2 usage, 6 storage.
    """
    from sallyport import founding
    from sallyport.cli.output import show
    from sallyport.site import open_site

    with open_site(config) as site:
        keys = founding.create_keys(site)
    show(
        keys,
        as_json=as_json,
        headers=("purpose", "public key", "id"),
        rows=[(k.purpose, str(k.path), k.id[:16]) for k in keys],
    )


@app.command()
def new(
    path: Annotated[Path, typer.Argument(help="The file of the private key; the public half lies beside it as .pub.")],
    as_json: JsonOption = False,
) -> None:
    """Make one key for a person: a root holder or an approver. SALLYPORT_KEY_PASSPHRASE encrypts it.

    Example: sallyport key new jane.key

    Exit codes: 0 made, 6 storage, 7 there is a key already.
    """
    import os

    from sallyport import founding
    from sallyport.cli.output import show
    from sallyport.site import PASSPHRASE

    made = founding.new_key(path, os.environ.get(PASSPHRASE))
    show(made, as_json=as_json, note=f"wrote {path} and {made.path} ({made.id[:16]})")


@app.command()
def root(
    root_key: Annotated[list[Path], typer.Option("--root-key", help="A root key file; repeat for each signer.")],
    approver: Annotated[list[Path], typer.Option("--approver", help="An approver's public key file; repeat.")],
    root_threshold: Annotated[int, typer.Option("--root-threshold", min=1, help="How many root keys must sign.")] = 1,
    approver_threshold: Annotated[
        int, typer.Option("--approver-threshold", min=1, help="How many approvers must.")
    ] = 1,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Found the trust of the destination: write root metadata (TUF) that names every role's keys.

    Example: sallyport key root --root-key root-a.key --root-key root-b.key --root-threshold 2 --approver jane.pub

    Exit codes: 0 written, 2 usage, 4 a key is not safe, 7 there is a root already.
    """
    import os

    from sallyport import founding
    from sallyport.cli.output import show
    from sallyport.site import PASSPHRASE, open_site

    with open_site(config) as site:
        path, fingerprint = founding.found_trust(
            site,
            root_key,
            approver,
            root_threshold=root_threshold,
            approver_threshold=approver_threshold,
            passphrase=os.environ.get(PASSPHRASE),
        )
    show(
        {"root": str(path), "fingerprint": str(fingerprint)},
        as_json=as_json,
        note=f"wrote {path}\nread this to the inside over another way: {fingerprint}",
    )


@app.command()
def trust(
    root_file: Annotated[Path, typer.Argument(help="The root metadata that the outside wrote.")],
    fingerprint: Annotated[str, typer.Option("--fingerprint", help="What the outside read out: sha256:…")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Pin the outside's root on the inside, once, by its fingerprint.

    Example: sallyport key trust /media/usb0/root.json --fingerprint sha256:…

    Exit codes: 0 pinned, 2 usage, 4 another fingerprint, 7 a root is pinned already.
    """
    from sallyport import founding
    from sallyport.cli.output import show
    from sallyport.site import open_site

    with open_site(config) as site:
        founding.pin_trust(site, root_file, fingerprint)
    show({"pinned": fingerprint}, as_json=as_json, note=f"pinned {fingerprint}")
