"""Question: what does mirroring cost: memory for one large layer, speed, and requests when nothing is new?
Unit: peak of resident memory; bytes per second beside curl piped through tee into openssl, which proves and
keeps the same bytes; requests for each tag of a second mirror, counted by the registry.
Data: one image with one layer that nothing can shrink, and twenty small ones, in our own registry on loopback, in a
process of its own. Seed: 13.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from bench.child import best, measure, measure_program
from bench.data import make_image, make_layer
from bench.table import MIB, Row, rate
from sallyport.engine import Http
from sallyport.mirror import make_selector, mirror
from sallyport.oci import Descriptor, verified
from sallyport.registry import RegistryClient, make_app, serve
from sallyport.store import DirectoryStore, open_store

SEED = 13
SMALL = 20
MEMORY = 200 * MIB


def copy(folder: str, registry: str) -> str:
    """Mirror every tag; the answer says how many tags were new."""
    selector = make_selector(f"{registry}/app", ["*"], to="copied")
    with open_store(Path(folder)) as store, Http() as http:
        done = mirror(lambda name: RegistryClient(http, name), [selector], store)
    return f"{sum(one.changed for one in done)} of {len(done)}"


def run(folder: Path, size: int, rounds: int) -> list[Row]:
    blobs = DirectoryStore(folder / "upstream", durable=False)
    layer, diff_id = make_layer(blobs, size, SEED, gzip=False)
    small = [make_layer(blobs, 50_000, SEED + number, gzip=True) for number in range(SMALL)]
    images = [make_image(blobs, *made) for made in ((layer, diff_id), *small)]
    with open_store(folder / "upstream") as store:
        for number, image in enumerate(images):
            store.state.hold("app", image)
            store.state.set_tag("app", f"1.{number}", image)
    ours, peers = [], []
    with _upstream(folder) as upstream:
        blob = f"{upstream.url}/v2/app/blobs/{layer.digest}"
        for _ in range(rounds):
            shutil.rmtree(folder / "store", ignore_errors=True)
            ours.append(measure("bench.mirroring:copy", str(folder / "store"), upstream.registry))
            peers.append(measure_program(_CURL, blob, str(folder / "copy")))
            _check(folder / "store", layer)
        upstream.take()
        again = measure("bench.mirroring:copy", str(folder / "store"), upstream.registry)
        requests = upstream.take()
    assert {run.answer for run in ours} == {f"{len(images)} of {len(images)}"}
    assert {run.answer.split()[0] for run in peers} == {layer.digest.hex}
    assert again.answer == f"0 of {len(images)}"
    mine, theirs = best(ours), best(peers)
    # One more lists the tags, because the selector here is a pattern.
    heads = [line for line in requests if line.startswith("HEAD")]
    others = [line for line in requests if not line.startswith("HEAD") and not line.endswith("/tags/list")]
    return [
        Row(
            "mirror, 21 tags",
            rate(layer.size, mine.seconds),
            f"curl | tee | openssl {rate(layer.size, theirs.seconds)}",
            theirs.seconds / mine.seconds,
            mine.peak,
            "200 MiB",
            mine.peak <= MEMORY,
        ),
        Row(
            "mirror again, nothing new",
            f"{len(requests)} requests, {again.seconds:.2f} s",
            f"{len(images)} tags",
            None,
            again.peak,
            "one HEAD for each tag, no blobs",
            len(heads) == len(images) and not others,
        ),
    ]


_CURL = 'curl --silent --fail --noproxy "*" "$1" | tee "$2" | openssl dgst -sha256 -r && sync "$2" && rm "$2"'


def _check(folder: Path, layer: Descriptor) -> None:
    with open_store(folder, create=False) as store:
        for _ in verified(store.blobs.chunks(layer.digest), layer.digest, layer.size):
            pass


# --- the registry, in its own process -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Upstream:
    url: str
    log: Path

    @property
    def registry(self) -> str:
        return self.url.partition("://")[2]

    def take(self) -> list[str]:
        """The requests since the last time."""
        lines = self.log.read_text().splitlines()
        self.log.write_text("")
        return lines


@contextmanager
def _upstream(folder: Path) -> Iterator[Upstream]:
    log = folder / "requests"
    log.touch()
    argv = [sys.executable, "-m", "bench.mirroring", str(folder / "upstream"), str(log)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Upstream(process.stdout.readline().strip(), log)
        finally:
            process.stdin.close()


class Counted:
    """Passes requests on and writes down what was asked."""

    def __init__(self, app: ASGIApp, log: Path) -> None:
        self._app, self._log = app, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            with self._log.open("a") as file:
                file.write(f"{scope['method']} {scope['path']}\n")
        await self._app(scope, receive, send)


def main(folder: str, log: str) -> None:
    """Serve until standard input ends."""
    with open_store(Path(folder)) as store, serve(Counted(make_app(store), Path(log))) as serving:
        print(serving.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
