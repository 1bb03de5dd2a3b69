"""Garbage collection beside running copies, and killed at any point: real processes, real kills."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sallyport.errors import LockedError, TruncatedError
from sallyport.oci import Digest
from sallyport.store import S3Store, Store, collect_garbage, open_store, verify_store

HEAD = """
import os, random, signal, sys, time
from pathlib import Path
from sallyport.oci import EMPTY_CONFIG, Descriptor, Digest, build_manifest, media_types
from sallyport.store import S3Store, collect_garbage, open_store, verify_store

root, kind = Path(sys.argv[1]), sys.argv[2]

def opened():
    # A folder in the bucket's place: what counts here is the store's own doing.
    if kind == "directory":
        return open_store(root)
    from obstore.store import LocalStore
    return open_store(root, blobs=S3Store(LocalStore(str(root) + "-bucket", mkdir=True), root))

def put(store, data):
    store.blobs.put(Digest.of(data), len(data), [data])
    return Descriptor(media_types.OCI_LAYER, len(data), Digest.of(data))

def image(store, name, layers, tag):
    put(store, b"{}")
    manifest = build_manifest(EMPTY_CONFIG, [put(store, layer) for layer in layers], annotations={"name": name})
    put(store, manifest.raw)
    store.state.hold("team/app", manifest.descriptor)
    if tag:
        store.state.set_tag("team/app", name, manifest.descriptor)
"""

COPY = (
    HEAD
    + """
with opened() as store, store.lease():
    print("copying", flush=True)
    layers = [b"layer %d" % number for number in range(20)]
    for layer in layers:
        put(store, layer)
        time.sleep(0.02)
    image(store, "copied", layers, True)
"""
)

# Forks before any thread is started; each look at the store is a process of its own, too.
KILLS = (
    HEAD
    + """
def apart(work):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with opened() as store:
                work(store)
            code = 0
        finally:
            os._exit(code)
    return pid

def fill(store):
    for number in range(6):
        image(store, f"keep{number}", [b"shared", b"layer of %d" % number], True)
        image(store, f"drop{round}-{number}", [b"shared", b"dropped %d %d" % (round, number)], False)
        put(store, b"orphan %d %d" % (round, number))

def whole(store):
    assert verify_store(store) == ()
    assert len(store.state.tags("team/app")) == 6

def finish(store):
    collect_garbage(store, untagged=True, grace_s=0)
    whole(store)
    assert collect_garbage(store, untagged=True, grace_s=0).digests == ()
    assert len(list(store.blobs.digests())) == 6 * 2 + 2

def awaited(work):
    assert os.waitpid(apart(work), 0)[1] == 0

rolls = random.Random(20260711)
killed = 0
for round in range(30):
    awaited(fill)
    pid = apart(lambda store: collect_garbage(store, untagged=True, grace_s=0))
    time.sleep(rolls.uniform(0.0, float(sys.argv[3])))
    os.kill(pid, signal.SIGKILL)
    killed += os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    awaited(whole)
awaited(finish)
print(killed)
"""
)


def opened(root: Path, kind: str) -> Store:
    if kind == "directory":
        return open_store(root)
    from obstore.store import LocalStore

    return open_store(root, blobs=S3Store(LocalStore(f"{root}-bucket", mkdir=True), root))


@pytest.mark.parametrize("kind", ["directory", "objects"])
def test_a_running_copy_is_never_collected(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "store"
    root.mkdir()
    command = [sys.executable, "-c", COPY, str(root), kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as copying, opened(root, kind) as store:
        assert copying.stdout is not None
        assert copying.stdout.readline() == "copying\n"
        refused = 0
        while copying.poll() is None:
            try:
                collect_garbage(store, grace_s=0, timeout_s=0)
            except LockedError:
                refused += 1
            time.sleep(0.01)
        assert copying.returncode == 0
        assert refused > 0
        collect_garbage(store, grace_s=0)
        assert verify_store(store) == ()
        assert store.blobs.has(Digest.of(b"layer 0"))


def test_what_a_broken_copy_left_is_there_to_go_on_from(store: Store) -> None:
    data = b"x" * 1000
    digest = Digest.of(data)

    def breaks(_offset: int) -> list[bytes]:
        return [data[:400]]

    with pytest.raises(TruncatedError):
        store.blobs.resume(digest, len(data), breaks)
    collect_garbage(store, grace_s=0)

    asked: list[int] = []

    def fetch(offset: int) -> list[bytes]:
        asked.append(offset)
        return [data[offset:]]

    store.blobs.resume(digest, len(data), fetch)
    assert asked == [400]


@pytest.mark.parametrize(("kind", "span"), [("directory", "0.06"), ("objects", "0.09")])
def test_thirty_kills_leave_a_whole_store(tmp_path: Path, kind: str, span: str) -> None:
    root = tmp_path / "store"
    root.mkdir()
    command = [sys.executable, "-W", "error", "-c", KILLS, str(root), kind, span]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) >= 5  # the others had ended before
