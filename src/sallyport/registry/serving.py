"""Runs an ASGI application on granian, in a thread of this process.

granian accepts, parses and sends in threads of its own that do not hold the interpreter lock; a blob
goes from its file to the socket without passing through Python. Because the server is part of the
process, it ends with the process.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sallyport.errors import ConfigError, StorageError, UsageError

if TYPE_CHECKING:
    import asyncio

    from granian.server.embed import Server
    from starlette.types import ASGIApp

_READY_S = 10.0


class Serving:
    """A server that runs; leaving the ``with`` block stops it."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop, thread: threading.Thread, url: str) -> None:
        self._server, self._loop, self._thread = server, loop, thread
        self.url = url
        parts = url.partition("://")[2]
        self.registry = parts  # host and port, as they stand in a reference
        self.port = int(parts.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """Take no more requests, end those under way, and wait for it; more than once does nothing."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._server.stop)
            self._thread.join(timeout_s)

    def wait(self) -> None:
        """Until somebody stops it."""
        while self._thread.is_alive():
            self._thread.join(1.0)


def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    certificate: Path | None = None,
    key: Path | None = None,
) -> Serving:
    """Start serving and return when requests are answered. Port 0 is a free one.

    With ``certificate`` and ``key`` (PEM) it speaks TLS.

    Raises:
        UsageError: the port is taken, or this host has no such address.
        ConfigError: the certificate or key is missing, or cannot be used.
        StorageError: the server did not start.
    """
    import asyncio

    if (certificate is None) != (key is None):
        # granian would speak plain HTTP and say nothing.
        raise ConfigError("a certificate and its key belong together, and one is missing", "name both, or neither")
    reserved, port = _reserve(host, port)
    try:
        server = _server(app, host, port, certificate, key)
        loop = asyncio.new_event_loop()
        failed: list[BaseException] = []
        thread = threading.Thread(target=_run, args=(loop, server, failed), name=f"serving-{port}", daemon=True)
        thread.start()
        shown = f"[{host}]" if ":" in host else host
        serving = Serving(server, loop, thread, f"{'https' if certificate else 'http'}://{shown}:{port}")
        if not _answers(host, port, thread):
            serving.stop()
            raise StorageError(
                f"the server on {shown}:{port} did not start" + (f": {failed[0]}" if failed else ""),
                "look at the certificate and key, or choose another port",
            )
    finally:
        reserved.close()
    return serving


def _server(app: ASGIApp, host: str, port: int, certificate: Path | None, key: Path | None) -> Server:
    from granian.constants import Interfaces
    from granian.server.embed import Server

    try:
        return Server(
            app,
            address=host,
            port=port,
            interface=Interfaces.ASGINL,
            websockets=False,
            log_enabled=False,
            ssl_cert=certificate,
            ssl_key=key,
        )
    except OSError as error:  # which TLS errors are, too
        raise ConfigError(
            f"{certificate} and {key} are no certificate and key: {error.strerror or error}",
            "name two PEM files that belong together",
        ) from error


def _run(loop: asyncio.AbstractEventLoop, server: Server, failed: list[BaseException]) -> None:
    import asyncio

    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(server.serve())
    except BaseException as error:  # noqa: BLE001 - a thread has nobody above it; serve() reports it
        failed.append(error)
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def _reserve(host: str, port: int) -> tuple[socket.socket, int]:
    """Hold the port until the server has it.

    granian listens with SO_REUSEPORT: two servers on one port would silently share its callers. So the
    first bind is without it, which fails where anybody listens.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
        return held, int(held.getsockname()[1])
    except OSError as error:
        held.close()
        taken = error.errno == errno.EADDRINUSE
        raise UsageError(
            f"cannot listen on {host}:{port}: {error.strerror or error}",
            "stop what listens there, or choose another port" if taken else "choose an address of this machine",
        ) from error


def _answers(host: str, port: int, thread: threading.Thread) -> bool:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    until = time.monotonic() + _READY_S
    while thread.is_alive() and time.monotonic() < until:
        try:
            with socket.create_connection((target, port), timeout=1.0):
                return True
        except OSError:
            time.sleep(0.003)
    return False
