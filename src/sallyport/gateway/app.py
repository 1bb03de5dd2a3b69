"""The gateway: a registry that serves only what it has admitted, and admits by fetching, scanning and judging.

What passes is held in a repository of ours that is named after upstream's, so the registry's own handlers serve it.
Every request is checked again here: a verdict that no longer holds ends the serving of every manifest and blob that
no other admitted image reaches.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from http import HTTPStatus
from typing import TypeAlias

from anyio import to_thread
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from sallyport.access import Decision, Guard
from sallyport.engine import Clock
from sallyport.errors import DeniedError, NotFoundError, SallyportError, UnreachableError
from sallyport.gateway.interface import Admit
from sallyport.gateway.jobs import Jobs
from sallyport.gateway.model import Admitted, Allow, Rejected, Terms, Wanted
from sallyport.gateway.names import Asked, allow_for, parse_asked, wanted
from sallyport.gateway.shelf import Shelf
from sallyport.oci import JSON, Digest, render_json
from sallyport.registry import make_app
from sallyport.store import Store

log = logging.getLogger("sallyport.gateway")

_Job: TypeAlias = "Future[Admitted | Rejected]"
_SHOWN = 300  # signs of a message that people read; the reasons stand in the detail
_AGAIN = "15"  # seconds


class Gateway:
    """An ASGI application; ``close`` ends its jobs."""

    def __init__(
        self,
        store: Store,
        rules: Sequence[Allow],
        admit: Admit,
        *,
        clock: Clock,
        terms: Terms,
        default: str = "",
        guard: Guard | None = None,
        rest: ASGIApp | None = None,
    ) -> None:
        self._rest = rest
        self._rules, self._admit, self._clock = tuple(rules), admit, clock
        self._terms, self._default, self._guard = terms, default, guard
        self._shelf = Shelf(store, admit)
        self._jobs: Jobs[tuple[str, str], Admitted | Rejected] = Jobs(
            workers=terms.jobs, queue=terms.queue, again_s=terms.again_s
        )
        self._registry: ASGIApp = make_app(store, writable=False, guard=guard)
        self.counts: Counter[str] = Counter()  # answers, by what became of the request

    def close(self) -> None:
        """Let the jobs that run end."""
        self._jobs.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if self._rest is not None and not scope["path"].startswith("/v2") and scope["path"] != "/metrics":
            await self._rest(scope, receive, send)
            return
        answer = await self._answer(scope)
        if isinstance(answer, str):
            inner = {**scope, "path": answer, "raw_path": answer.encode()}
            await self._registry(inner, receive, send)
            return
        if scope["method"] == "HEAD":
            answer.body = b""  # the length stays in the header
        await answer(scope, receive, send)

    async def _answer(self, scope: Scope) -> Response | str:
        """An answer of our own, or the path that the registry is to answer."""
        path: str = scope["path"]
        if path == "/metrics":
            return PlainTextResponse(self._metrics())
        if scope["method"] not in ("GET", "HEAD"):
            return _refuse(
                HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "nothing is pushed here", headers={"Allow": "GET, HEAD"}
            )
        if path in ("/v2", "/v2/"):
            return "/v2/"
        asked = parse_asked(path, scope.get("query_string", b"").decode("latin-1"), self._default)
        if asked is not None and not await self._lets_in(scope, asked):
            return asked.path  # the registry asks the same guard, and knows how to say it
        rule = allow_for(self._rules, asked) if asked is not None else None
        if asked is None or rule is None:
            self.counts["not-allowed"] += 1
            return _denied("this gateway does not allow that image", ("no rule of gateway.allow lets it be asked for",))
        try:
            if asked.kind == "manifests":
                return await self._manifest(asked, rule)
            if asked.kind == "tags":
                return asked.path
            return await to_thread.run_sync(self._part, asked)
        except SallyportError as error:
            return self._failed(error)
        except Exception:
            # What went wrong is the operator's to read, not the client's.
            log.exception("request_failed", extra={"path": path})
            return _refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", "the gateway failed")

    async def _lets_in(self, scope: Scope, asked: Asked) -> bool:
        """Whether the caller may pull; nobody makes us fetch what they may not have."""
        if self._guard is None:
            return True
        authorization = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        client = scope.get("client")
        try:
            caller = self._guard.remembered(authorization)
            if caller is None:
                address = str(client[0]) if client else ""
                caller = await to_thread.run_sync(self._guard.caller, authorization, address)
        except DeniedError:
            return False
        return self._guard.may(caller, asked.repository, "pull") is Decision.ALLOWED

    async def _manifest(self, asked: Asked, rule: Allow) -> Response | str:
        want = wanted(asked, rule)
        if want is None:
            return _refuse(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", "that is neither a tag nor a digest")
        reasons: tuple[str, ...] | None = None
        vetted = self._shelf.find(asked.repository, want.name)
        if vetted is None and want.reference.digest is not None:
            reasons = await to_thread.run_sync(self._shelf.why_not, asked.repository, want.reference.digest)
            if reasons is not None:  # below something admitted
                return self._served(asked, want.reference.digest) if not reasons else self._withheld(reasons)
        if vetted is not None and vetted.origin != want.name:  # made here: upstream does not know it
            want = _from(want, vetted.origin)
        if vetted is not None:
            reasons = await to_thread.run_sync(self._shelf.standing, vetted)
            age = self._clock.now() - vetted.checked_at
            if not reasons and age <= self._terms.fresh_for + self._terms.serve_stale_for:
                if age > self._terms.fresh_for and self._begin(want, asked.repository) is not None:
                    self.counts["stale"] += 1
                return self._served(asked, vetted.descriptor.digest)
        job = self._begin(want, asked.repository)
        if job is None:
            return self._later("too many images are being fetched")
        try:
            outcome = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(job)), self._terms.wait_s)
        except TimeoutError:
            return self._later("the image is being fetched and judged; ask again")
        except (NotFoundError, UnreachableError):
            if vetted is not None and reasons:
                return self._withheld(reasons)  # why the copy that is here is not served instead
            raise
        if isinstance(outcome, Rejected):
            return self._withheld(outcome.reasons)
        if vetted is not None and vetted.name == asked.last and want.name != asked.last:
            # A digest that we made: it is as good as its newest scan, whatever its tag names now.
            reasons = await to_thread.run_sync(self._shelf.standing, vetted)
            return self._withheld(reasons) if reasons else self._served(asked, vetted.descriptor.digest)
        return self._served(asked, outcome.descriptor.digest)

    def _begin(self, want: Wanted, repository: str) -> _Job | None:
        def work() -> Admitted | Rejected:
            self.counts["jobs"] += 1
            beside = self._shelf.beside(repository, want.name)
            outcome = self._admit.admit(want, beside)
            self._shelf.forget_standing()
            if isinstance(outcome, Admitted):
                self._shelf.keep(outcome, want.name, self._clock.now())
            return outcome

        return self._jobs.ask((repository, want.name), work, lambda outcome: isinstance(outcome, Rejected))

    def _part(self, asked: Asked) -> Response | str:
        """A blob, or what refers to a manifest: only of what was admitted."""
        try:
            digest = Digest.parse(asked.last)
        except SallyportError:
            return _refuse(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "that is not a digest")
        reasons = self._shelf.why_not(asked.repository, digest)
        if reasons is None:
            code = "BLOB_UNKNOWN" if asked.kind == "blobs" else "MANIFEST_UNKNOWN"
            return _refuse(HTTPStatus.NOT_FOUND, code, "not part of an image that was admitted")
        return self._withheld(reasons) if reasons else asked.path

    def _served(self, asked: Asked, digest: Digest) -> str:
        self.counts["served"] += 1
        return f"/v2/{asked.repository}/manifests/{digest}"

    def _withheld(self, reasons: Sequence[str]) -> Response:
        self.counts["denied"] += 1
        return _denied(f"refused by policy: {reasons[0] if reasons else 'no reason is known'}", reasons)

    def _later(self, message: str) -> Response:
        self.counts["later"] += 1
        return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "TOOMANYREQUESTS", message, headers={"Retry-After": _AGAIN})

    def _failed(self, error: SallyportError) -> Response:
        self.counts["failed"] += 1
        if isinstance(error, NotFoundError):
            return _refuse(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "upstream has no such image")
        if isinstance(error, UnreachableError):
            return self._later("upstream cannot be reached, and there is no vetted copy that may be served")
        return self._withheld((error.message,))

    def _metrics(self) -> str:
        lines = ["# HELP sallyport_gateway_requests_total What became of requests.\n"]
        lines.append("# TYPE sallyport_gateway_requests_total counter\n")
        lines += [
            f'sallyport_gateway_requests_total{{outcome="{name}"}} {count}\n'
            for name, count in sorted(dict(self.counts).items())
        ]
        return "".join(lines)


def make_gateway(
    store: Store,
    rules: Sequence[Allow],
    admit: Admit,
    *,
    clock: Clock,
    terms: Terms = Terms(),  # noqa: B008 - an immutable value
    default: str = "",
    guard: Guard | None = None,
    rest: ASGIApp | None = None,
) -> Gateway:
    """An ASGI application over ``store``; ``default`` is the registry of names that say none.

    ``rest`` answers for every other path than ``/v2/`` and ``/metrics``, without ``guard`` being asked.
    """
    return Gateway(store, rules, admit, clock=clock, terms=terms, default=default, guard=guard, rest=rest)


def _from(want: Wanted, origin: str) -> Wanted:
    from sallyport.oci import Reference, is_tag

    known = want.reference
    if is_tag(origin):
        return Wanted(Reference(known.registry, known.repository, origin), want.allow)
    return Wanted(Reference(known.registry, known.repository, "", Digest.parse(origin)), want.allow)


def _denied(message: str, reasons: Sequence[str]) -> Response:
    return _refuse(HTTPStatus.FORBIDDEN, "DENIED", message[:_SHOWN], detail={"reasons": [*reasons]})


def _refuse(
    status: HTTPStatus,
    code: str,
    message: str,
    *,
    detail: dict[str, JSON] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    body: JSON = {"errors": [{"code": code, "message": message, "detail": detail or {}}]}
    return Response(
        render_json(body), status, {**(headers or {}), "X-Content-Type-Options": "nosniff"}, "application/json"
    )
