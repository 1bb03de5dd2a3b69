"""Shows the demonstration: progress while it runs, then the table."""

from __future__ import annotations

from pathlib import Path

import typer

from sallyport.cli.output import show, size
from sallyport.cli.terminal import watching


def demonstrate(
    workspace: Path, *, mirror: str, security: str, suite: str, osv: str, serve: bool, as_json: bool
) -> int:
    """Run it and print what it did; returns the exit code."""
    from sallyport import demo, pipeline, serving
    from sallyport.site import open_site

    with watching(quiet=as_json) as progress:
        crossing = demo.demonstrate(workspace, demo.Options(mirror, security, suite, osv), progress)
    show(
        crossing,
        as_json=as_json,
        headers=("image", "released inside as", "digest", ">known before", ">after", ">upgraded", ">size", ">carried"),
        rows=[
            (
                line.upstream,
                line.released or "not released",
                f"sha256:{line.digest.short}",
                str(line.before),
                str(line.after),
                f"{line.upgraded} packages",
                size(line.bytes),
                size(line.carried),
            )
            for line in crossing.images
        ],
    )
    if not as_json:
        show(
            crossing.steps,
            as_json=False,
            headers=("step", ">seconds", "what"),
            rows=[(step.name, f"{step.seconds:.1f}", step.summary) for step in crossing.steps],
            note=_note(crossing),
        )
    if serve:
        with open_site(workspace / "inside") as inside, serving.serve(inside) as url:
            _say_how_to_pull(crossing, url)
            pipeline.wait_for_interrupt()
    return 1 if crossing.refused else 0


def _note(crossing: object) -> str:
    from sallyport.demo import Crossing

    assert isinstance(crossing, Crossing)
    carried = f"carried {size(crossing.carried)}" if crossing.new else "nothing new, nothing carried"
    lines = [
        f"{carried}; {crossing.seconds:.1f} s in all",
        f"report: {crossing.report}",
        f"rolled out by: git --git-dir {crossing.fleet} log -p -1",
        *(f"refused: {reason}" for reason in crossing.refused),
    ]
    return "\n".join(lines)


def _say_how_to_pull(crossing: object, url: str) -> None:
    from sallyport.demo import Crossing

    assert isinstance(crossing, Crossing)
    host = url.partition("://")[2]
    typer.echo(f"\nthe inside registry and its status page: {url}/ (end with Ctrl-C)", err=True)
    for line in crossing.images:
        if line.released:
            typer.echo(f"  skopeo inspect --tls-verify=false docker://{host}/{line.released}", err=True)
    key = crossing.inside.parent / "outside" / "keys" / "release.pub"
    first = next((line.released for line in crossing.images if line.released), "")
    if first:
        typer.echo(
            f"  cosign verify --key {key} --insecure-ignore-tlog --allow-insecure-registry {host}/{first}", err=True
        )
