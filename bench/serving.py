"""Question: how does the embedded registry compare with distribution (docker-registry)?
Unit: manifest requests per second, bytes of blobs per second, each with 64 clients; bytes pushed per second with 4.
Data: one image with layers that nothing can shrink, the same in both. Load: wrk for reading, our own client for
pushing, against one server after the other, in turns, on loopback. Medians. Seed: 17.
Needs: docker-registry and wrk on PATH.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.child import measure
from bench.data import incompressible, make_image, make_layer
from bench.table import MIB, Row, rate
from sallyport.engine import Http
from sallyport.errors import UnreachableError
from sallyport.oci import CHUNK, Digest, load_manifest, media_types
from sallyport.registry import RegistryClient, make_app, push_image, serve
from sallyport.store import DirectoryStore, open_store

SEED = 17
CLIENTS = 64
SECONDS = 3
LAYER = 8 * MIB
PUSHED = 64 * MIB  # bytes of one blob
PUSHES = 8
_RATE = re.compile(r"Requests/sec:\s+([0-9.]+)")
_BAD = re.compile(r"Non-2xx or 3xx responses|Socket errors: .*[1-9]")


@dataclass(frozen=True, slots=True)
class Running:
    registry: str
    process: subprocess.Popen[str]

    def peak(self) -> int:
        """Bytes of resident memory, the most there were at once."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def run(folder: Path, size: int, rounds: int) -> list[Row]:  # noqa: ARG001 - the load is given by time, not by size
    missing = [name for name in ("wrk", "docker-registry") if shutil.which(name) is None]
    if missing:
        return [Row("serving", "", f"{' and '.join(missing)} not on PATH", None, None, "", held=False)]
    blobs = DirectoryStore(folder / "made", durable=False)
    image = make_image(blobs, *make_layer(blobs, LAYER, SEED, gzip=False))
    layer = load_manifest(blobs, image).blobs[1]  # type: ignore[union-attr]
    with _ours(folder) as ours, distribution(folder) as peer, Http() as http:
        both = {"ours": ours, "peer": peer}
        for one in both.values():
            push_image(RegistryClient(http, one.registry), "bench/app", ["1"], blobs, image)
        manifest = _in_turns(both, rounds, lambda one: _wrk(one, "bench/app/manifests/1"))
        blob = _in_turns(both, rounds, lambda one: _wrk(one, f"bench/app/blobs/{layer.digest}") * layer.size)
        pushes = _in_turns(both, rounds, _push)
        peaks = {name: one.peak() for name, one in both.items()}
    peak = peaks["ours"]
    rows = [
        _row("manifest GET, 64 clients", manifest, 1.0, peak, lambda value: f"{value:,.0f} /s"),
        _row("blob GET of 8 MiB, 64 clients", blob, 1.0, peak, lambda value: rate(int(value), 1)),
        _row("push of 64 MiB blobs, 4 clients", pushes, 0.8, peak, lambda value: rate(int(value), 1)),
    ]
    return [*rows[:-1], replace(rows[-1], note=f"peak memory of docker-registry: {peaks['peer'] / MIB:,.0f} MiB")]


def _row(
    question: str,
    found: Mapping[str, float],
    bar: float,
    peak: int,
    shown: Callable[[float], str],
) -> Row:
    ratio = found["ours"] / found["peer"]
    held = ratio >= bar
    peer = f"docker-registry {shown(found['peer'])}"
    return Row(question, shown(found["ours"]), peer, ratio, peak, f">= {bar}", held)


def _in_turns(both: Mapping[str, Running], rounds: int, once: Callable[[Running], float]) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in both}
    for _ in range(max(rounds, 5)):
        for name, one in both.items():
            found[name].append(once(one))
    return {name: statistics.median(values) for name, values in found.items()}


def _wrk(one: Running, path: str) -> float:
    """Requests per second; every one of them answered well."""
    accept = f"Accept: {media_types.OCI_MANIFEST}"
    argv = [
        "wrk",
        "-t1",
        f"-c{CLIENTS}",
        f"-d{SECONDS}s",
        "--timeout",
        "30s",
        "-H",
        accept,
        f"http://{one.registry}/v2/{path}",
    ]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    found = _RATE.search(said)
    if found is None or _BAD.search(said):
        raise SystemExit(f"{' '.join(argv)}\n{said}")
    return float(found[1])


# --- pushing, in a process of its own -------------------------------------------------------------


def _push(one: Running) -> float:
    seed = time.monotonic_ns() % 1_000_000_007  # a blob that is there already would not be sent
    ran = measure("bench.serving:push", one.registry, str(seed))
    return float(ran.answer)


def push(registry: str, seed: str) -> str:
    """Bytes per second; making and hashing the bytes is not in the time."""
    made = [b"".join(incompressible(PUSHED, int(seed) + number)) for number in range(PUSHES)]
    digests = [Digest.of(data) for data in made]

    def send(client: RegistryClient, digest: Digest, data: bytes) -> None:
        chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)]
        client.push_blob("bench/pushed", digest, len(data), lambda: chunks)

    with Http() as http, ThreadPoolExecutor(4) as threads:
        client = RegistryClient(http, registry)
        started = time.perf_counter()
        for one in [threads.submit(send, client, *pair) for pair in zip(digests, made, strict=True)]:
            one.result()
        seconds = time.perf_counter() - started
        for digest in digests:
            assert client.has_blob("bench/pushed", digest)
    return str(PUSHED * PUSHES / seconds)


# --- the two servers ------------------------------------------------------------------------------


@contextmanager
def _ours(folder: Path) -> Iterator[Running]:
    argv = [sys.executable, "-m", "bench.serving", str(folder / "ours")]
    root = Path(__file__).parents[1]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Running(process.stdout.readline().strip(), process)
        finally:
            process.stdin.close()


@contextmanager
def distribution(folder: Path) -> Iterator[Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        registry = f"127.0.0.1:{free.getsockname()[1]}"
    config = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "distribution")}},
        "http": {"addr": registry},
    }
    (folder / "config.yml").write_text(json.dumps(config))
    argv = ["docker-registry", "serve", str(folder / "config.yml")]
    with (folder / "log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log, text=True) as process:
        try:
            with Http(retries=0) as http:
                until = time.monotonic() + 20
                while True:
                    try:
                        RegistryClient(http, registry).ping()
                        break
                    except UnreachableError:
                        if process.poll() is not None or time.monotonic() > until:
                            raise
                        time.sleep(0.05)
            yield Running(registry, process)
        finally:
            process.terminate()


def main(folder: str) -> None:
    """Serve until standard input ends."""
    with open_store(Path(folder)) as store, serve(make_app(store)) as serving:
        print(serving.registry, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
