"""Several threads may read the same shape for the first time at once."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading
sys.setswitchinterval(1e-6)
from dataclasses import dataclass
from sallyport.oci import Descriptor, Digest, decode, encode

@dataclass(frozen=True, slots=True)
class Shape:
    digest: Digest
    descriptor: Descriptor
    names: tuple[str, ...]

raw = encode(Shape(Digest.of(b""), Descriptor("a/b", 1, Digest.of(b"")), ("x",)))
barrier = threading.Barrier(8)

def read():
    barrier.wait()
    assert decode(raw, Shape, what="x").names == ("x",)

threads = [threading.Thread(target=read) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
"""


def test_a_shape_is_prepared_once_however_many_threads_ask() -> None:
    # Without the lock in codec.py, msgspec ends about one process in ten with a segmentation fault.
    for _ in range(12):
        done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
