"""Question: what does mirroring a fleet cost beside skopeo sync, crane and regsync, the first time and again?
Unit: wall time, of a process of its own from its start to its end for every tool; for us also of the work alone,
without the interpreter's start. Requests of a repetition, counted between us and the registry. Medians.
Data: 20 images that share five layers, for the first time; 51 tags of them for the repetition. Upstream:
docker-registry on loopback. Seed: 19. Needs: docker-registry, skopeo, crane and regsync on PATH.
"""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import statistics
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.child import measure, measure_program
from bench.data import make_layer
from bench.serving import distribution
from bench.table import Row
from sallyport.engine import Http
from sallyport.mirror import make_selector, mirror
from sallyport.oci import Descriptor, Digest, build_manifest, media_types, render_json
from sallyport.registry import RegistryClient, push_image
from sallyport.store import DirectoryStore, open_store

SEED = 19
IMAGES = 20
TAGS = 51
SHARED, OWN = 10 << 20, 1 << 20  # bytes of a layer
REQUESTS = 150
NEEDED = ("docker-registry", "skopeo", "crane", "regsync")


def copy(folder: str, registry: str, tags: str) -> str:
    """Mirror; the answer says how many tags were new."""
    selector = make_selector(f"{registry}/app", tags.split(","))
    with open_store(Path(folder)) as store, Http() as http:
        client = RegistryClient(http, registry)
        done = mirror(lambda _: client, [selector], store)
    return f"{sum(one.changed for one in done)} of {len(done)}"


def run(folder: Path, size: int, rounds: int) -> list[Row]:  # noqa: ARG001 - the data has the size of a fleet
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        return [Row("fleet", "", f"{' and '.join(missing)} not on PATH", None, None, "", held=False)]
    rounds = max(rounds, 5)
    (folder / "far").mkdir()
    with distribution(folder) as upstream, distribution(folder / "far") as far:
        registry = upstream.registry
        tags = _publish(folder, registry)
        cold = _in_turns(_tools(folder, registry, tags[:IMAGES]), rounds, lambda: _clear(folder))
        _clear(folder)
        # Into a folder skopeo copies everything anew, and refuses to: it knows what is there in a registry only.
        everything = _tools(folder, registry, tags, far.registry)
        for once in everything.values():
            once()
        again = _in_turns(everything, rounds, lambda: None)
        with _counting(registry) as (counted, requests):
            copy(str(folder / "counted"), counted, ",".join(tags))
            requests.clear()
            copy(str(folder / "counted"), counted, ",".join(tags))
            asked = len(requests)
            listed = sum("/tags/list" in line for line in requests)
    rows = [
        _against("cold mirror of 20 images", cold, "skopeo", 0.7),
        _against("cold mirror of 20 images", cold, "crane", 1.0),
        _against("cold mirror of 20 images", cold, "regsync", 1.0),
        _against("nothing new in 51 tags", again, "skopeo", 0.2),
        _against("nothing new in 51 tags", again, "regsync", 0.5),
    ]
    bar = f"<= {REQUESTS} requests, no listing"
    held = asked <= REQUESTS and not listed
    return [*rows, Row("requests for nothing new", f"{asked}, {listed} listings", "51 tags", None, None, bar, held)]


def _against(question: str, found: Mapping[str, float], peer: str, most: float) -> Row:
    ratio = found["sallyport"] / found[peer]
    ours = f"{found['sallyport']:.2f} s ({found['work alone']:.2f} s without the start)"
    alone = found["work alone"] / found[peer]
    return Row(
        question,
        ours,
        f"{peer} {found[peer]:.2f} s",
        1 / ratio,
        None,
        f"time <= {most} of it",
        ratio <= most,
        f"time is {ratio:.2f} of {peer}'s, {alone:.2f} without the interpreter's start",
    )


def _tools(folder: Path, registry: str, tags: Sequence[str], far: str = "") -> dict[str, Callable[[], float]]:
    """Each does the same work into a folder of its own, and says how long it took."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    listed = json.dumps(list(tags))
    (site / "sallyport.yaml").write_text(
        f"side: outside\ndestination: bench\nstore: store\noutside:\n  mirror:\n    - from: {registry}/app\n"
        f"      tags: {listed}\n"
    )
    (folder / "skopeo.yaml").write_text(f"{registry}:\n  tls-verify: false\n  images:\n    app: {listed}\n")
    target = folder / "regsync"
    (folder / "regsync.yaml").write_text(
        f"version: 1\ncreds:\n  - registry: {registry}\n    tls: disabled\n"
        "defaults:\n  parallel: 4\n  referrers: true\nsync:\n"
        + "".join(
            f"  - source: {registry}/app:{tag}\n    target: ocidir://{target}/app:{tag}\n    type: image\n"
            for tag in tags
        )
    )
    names = " ".join(f"{registry}/app:{tag}" for tag in tags)
    sallyport = f"{Path(sys.executable).with_name('sallyport')} mirror --json --config {site} >/dev/null"
    where = f"--dest docker --dest-tls-verify=false {far}" if far else f"--dest dir {folder}/skopeo"
    kind, _, place = where.rpartition(" ")
    skopeo = f"skopeo --insecure-policy sync --all --src yaml {kind} {folder}/skopeo.yaml {place} >/dev/null 2>&1"
    return {
        "sallyport": lambda: measure_program(sallyport).seconds,
        "work alone": lambda: measure("bench.fleet:copy", str(folder / "alone"), registry, ",".join(tags)).seconds,
        "skopeo": lambda: measure_program(f"mkdir -p {folder}/skopeo && {skopeo}").seconds,
        "crane": lambda: measure_program(f"crane pull --insecure --format oci {names} {folder}/crane").seconds,
        "regsync": lambda: measure_program(f"regsync once -c {folder}/regsync.yaml >/dev/null 2>&1").seconds,
    }


def _in_turns(tools: Mapping[str, Callable[[], float]], rounds: int, before: Callable[[], None]) -> dict[str, float]:
    found: dict[str, list[float]] = {name: [] for name in tools}
    for _ in range(rounds):
        before()
        for name, once in tools.items():
            found[name].append(once())
    return {name: statistics.median(values) for name, values in found.items()}


def _clear(folder: Path) -> None:
    for name in ("site/store", "alone", "skopeo", "crane", "regsync"):
        shutil.rmtree(folder / name, ignore_errors=True)


def _publish(folder: Path, registry: str) -> list[str]:
    """The images, under as many tags as are asked for."""
    blobs = DirectoryStore(folder / "made", durable=False)
    shared = [make_layer(blobs, SHARED, SEED + number, gzip=False) for number in range(5)]
    images = [_image(blobs, [*shared, make_layer(blobs, OWN, SEED + 100 + n, gzip=False)]) for n in range(IMAGES)]
    tags = [f"1.{number}" for number in range(TAGS)]
    with Http() as http:
        client = RegistryClient(http, registry)
        for number, image in enumerate(images):
            push_image(client, "app", tags[number::IMAGES], blobs, image)
    return tags


def _image(blobs: DirectoryStore, layers: Sequence[tuple[Descriptor, Digest]]) -> Descriptor:
    config = render_json(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [str(diff_id) for _, diff_id in layers]},
        }
    )
    descriptor = Descriptor(media_types.OCI_CONFIG, len(config), Digest.of(config))
    blobs.put(descriptor.digest, descriptor.size, [config])
    manifest = build_manifest(descriptor, [layer for layer, _ in layers])
    blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
    return manifest.descriptor


@contextmanager
def _counting(registry: str) -> Iterator[tuple[str, list[str]]]:
    """The same registry behind a relay that writes down each request's first line."""
    host, _, port = registry.rpartition(":")
    requests: list[str] = []

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as beyond:
                back = threading.Thread(target=_pump, args=(beyond, self.request, None), daemon=True)
                back.start()
                _pump(self.request, beyond, requests)
                back.join(5)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Relay) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", requests
        finally:
            server.shutdown()


def _pump(source: socket.socket, sink: socket.socket, requests: list[str] | None) -> None:
    try:
        while data := source.recv(65_536):
            if requests is not None:
                lines = data.split(b"\r\n")
                requests += [line.decode() for line in lines if line.endswith(b" HTTP/1.1")]
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side has hung up, which is how a connection ends
