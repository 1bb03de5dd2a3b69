"""Killed at any moment, mirroring and pushing go on where they stopped, and fetch nothing twice that was whole."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sallyport.oci import Digest, reachable
from sallyport.registry import make_app, serve
from sallyport.store import open_store, verify_store

KILLS = 100  # of mirroring, and as many of pushing
# A zygote: it imports once and forks for each run, so that a run is a process of its own that costs milliseconds.
ZYGOTE = """
import os, sys
from pathlib import Path
import alembic.config, sqlalchemy.dialects.sqlite, urllib3, ssl, http.client, encodings.idna
from sallyport.engine import Http, Threads
from sallyport.mirror import make_selector, mirror
from sallyport.registry import RegistryClient, Sessions, push_image
from sallyport.store import open_store
from sallyport.oci import decode, Descriptor

def run(what, root, registry, name):
    with open_store(Path(root)) as store, Http(proxies={}, retries=0) as http:
        client = RegistryClient(http, registry)
        if what == "mirror":
            mirror(lambda _: client, [make_selector(f"{registry}/team/app", ["*"])], store, executor=Threads(2))
        else:
            tag = store.state.tag("team/app", name)
            push_image(client, "pushed/app", [name], store.blobs, tag.descriptor)

for line in sys.stdin:
    pid = os.fork()
    if not pid:
        try:
            run(*line.split())
            code = 0
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\\n")
            code = 1
        os._exit(code)
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Zygote:
    def __init__(self) -> None:
        argv = [sys.executable, "-c", ZYGOTE]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def run(self, *words: object, kill_after: float | None = None) -> int:
        """One run; -9 where it was killed in time."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        pid = int(self.process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            # The zygote waits for it, so that the number is still that of our own run, or of nobody.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return int(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    made = Zygote()
    yield made
    made.close()


class Slow:
    """Our registry, a little at a time, and counting the bytes of each blob that were sent or came."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.whole: Counter[str] = Counter()  # blobs that were asked for from the beginning and sent to the end
        self.resumed = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        import anyio

        path = scope.get("path", "")
        asked = scope["type"] == "http" and scope["method"] == "GET" and "/blobs/" in path
        if scope["type"] == "http" and scope["method"] in ("PUT", "PATCH") and "/uploads/" in path:
            await anyio.sleep(0.002)
        if not asked:
            await self.app(scope, receive, send)
            return
        scope["extensions"] = {}  # not by the kernel in one go: a kill must be able to hit the middle
        started = any(name == b"range" for name, _ in scope["headers"])
        self.resumed += started

        async def slowly(message: Any) -> None:
            body = message.get("body", b"")
            more = message.get("more_body", False)
            if message["type"] != "http.response.body" or not body:
                await send(message)
                return
            for at in range(0, len(body), 65_536):
                last = at + 65_536 >= len(body)
                await send({**message, "body": body[at : at + 65_536], "more_body": more or not last})
                await anyio.sleep(0.001)
            if not more and not started:
                self.whole[path.rpartition("/")[2]] += 1

        await self.app(scope, receive, slowly)


def test_mirroring_survives_a_hundred_kills(tmp_path: Path, upstream: Any, zygote: Zygote) -> None:
    draw = random.Random(7)
    for number in range(4):
        upstream.publish(f"team/app:{number}", upstream.build.image(f"app {number}", layers=2, size=3_000_000))
    slow = Slow(make_app(upstream.store))
    had: dict[Digest, int] = {}
    killed = complete = 0
    with serve(slow) as serving:
        root = tmp_path / "store"
        open_store(root).close()
        while killed < KILLS:
            code = zygote.run("mirror", root, serving.registry, "-", kill_after=draw.uniform(0.01, 0.12))
            assert code in (0, -signal.SIGKILL)
            killed += code != 0
            with open_store(root) as store:
                for digest in store.blobs.digests():
                    had.setdefault(digest, slow.whole[str(digest)])
                    assert slow.whole[str(digest)] == had[digest], f"{digest} was whole, and was fetched again"
                assert verify_store(store) == () or code != 0
            if code == 0:
                # Complete: begin anew, so that every kill hits work under way.
                complete += 1
                root = tmp_path / f"store{complete}"
                open_store(root).close()
                had.clear()
        assert zygote.run("mirror", root, serving.registry, "-") == 0
        assert slow.resumed > KILLS // 10, f"{slow.resumed} kills hit the middle of blobs"
        with open_store(root) as store:
            assert verify_store(store) == ()
            assert len(store.state.tags("team/app")) == 4
            for tag in store.state.tags("team/app"):
                for item in reachable(store.blobs, tag.descriptor):
                    assert store.blobs.size(item.digest) == item.size


def test_pushing_survives_a_hundred_kills(tmp_path: Path, upstream: Any, zygote: Zygote) -> None:
    draw = random.Random(8)
    made = upstream.build.image("app", layers=3, size=3_000_000)
    killed = tags = 0
    with open_store(tmp_path / "ours") as ours:
        for item in reachable(upstream.store.blobs, made):
            ours.blobs.put(item.digest, item.size, upstream.store.blobs.chunks(item.digest))
        ours.state.hold("team/app", made)
    with open_store(tmp_path / "theirs") as theirs, serve(Slow(make_app(theirs))) as serving:
        while killed < KILLS:
            name = f"v{tags}"
            with open_store(tmp_path / "ours") as ours:
                ours.state.set_tag("team/app", name, made)
            code = zygote.run("push", tmp_path / "ours", serving.registry, name, kill_after=draw.uniform(0.001, 0.06))
            assert code in (0, -signal.SIGKILL)
            killed += code != 0
            tag = theirs.state.tag("pushed/app", name)
            assert tag is not None or code != 0
            if tag is not None:
                for item in reachable(theirs.blobs, tag.descriptor):
                    assert theirs.blobs.size(item.digest) == item.size, (
                        "a name stands for something whole, or not at all"
                    )
                tags += 1
                # The next one has everything to push again.
                theirs.state.delete_tag("pushed/app", name)
                theirs.state.unhold("pushed/app", made.digest)
                for item in reachable(upstream.store.blobs, made):
                    theirs.state.delete_fact("registry.uploaded", f"pushed/app@{item.digest}")
                    theirs.blobs.delete(item.digest)
        with open_store(tmp_path / "ours") as ours:
            ours.state.set_tag("team/app", "last", made)
        assert zygote.run("push", tmp_path / "ours", serving.registry, "last") == 0
        assert verify_store(theirs) == ()
