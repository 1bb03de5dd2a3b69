"""The status page, its figures and a sign of life, beside the registry."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from sallyport.audit import Report, content_security_policy, look, render
from sallyport.engine import Clock, SystemClock
from sallyport.errors import SallyportError
from sallyport.store import Store
from sallyport.web.metrics import CONTENT_TYPE, metrics

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

FRESH_S = 10.0
"""A page this young is given out again: reading the whole store on every request would let anyone keep it busy."""
LINES = 20  # of the journal on the status page


def status_routes(store: Store, title: str, *, clock: Clock = SystemClock()) -> list[Route]:  # noqa: B008 - immutable
    """``/``, ``/healthz`` and ``/metrics`` for ``store``; they read and never write."""
    from starlette.responses import Response
    from starlette.routing import Route

    reports = _Reports(lambda: look(store, title=title, now=clock.now(), lines=LINES))

    def answer(make: Callable[[], str], media_type: str) -> Response:
        try:
            return Response(make(), media_type=media_type, headers=security_headers())
        except SallyportError:
            # What is wrong stands in the log of the process; a stranger learns no paths.
            return Response("the store cannot be read\n", 503, headers=security_headers(), media_type="text/plain")

    def status(_: Request) -> Response:
        return answer(lambda: render(reports.current(), "status.html"), "text/html; charset=utf-8")

    def figures(_: Request) -> Response:
        return answer(lambda: metrics(reports.current()), CONTENT_TYPE)

    def healthz(_: Request) -> Response:
        return answer(lambda: _alive(store), "text/plain; charset=utf-8")

    return [
        Route("/", status, methods=["GET"]),
        Route("/healthz", healthz, methods=["GET"]),
        Route("/metrics", figures, methods=["GET"]),
    ]


def security_headers() -> dict[str, str]:
    """For every answer: nothing loads, nothing frames, nothing is remembered or guessed."""
    return {
        "Content-Security-Policy": f"{content_security_policy()}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
        "Cache-Control": "no-store",
    }


def _alive(store: Store) -> str:
    store.state.fact("health", "")
    return "ok\n"


class _Reports:
    """One report for all who ask within :data:`FRESH_S` seconds."""

    def __init__(self, make: Callable[[], Report]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._report: Report | None = None
        self._until = 0.0

    def current(self) -> Report:
        with self._lock:
            if self._report is None or time.monotonic() >= self._until:
                self._report = self._make()
                self._until = time.monotonic() + FRESH_S
            return self._report
