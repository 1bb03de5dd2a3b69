"""A registry over a store. Source: OCI distribution-spec 1.1, all four categories, and what came after
it: several tags set by one push of a digest (``?tag=``, answered by ``OCI-Tag``).

Decisions where the specification leaves room:

- What is stored is served as it is; Accept is not negotiated.
- An immutable tag that would come to name another digest: 412, as Harbor answers, with the code DENIED,
  which is the specification's. The same digest again: 201.
- A manifest is refused (MANIFEST_BLOB_UNKNOWN) unless its repository has everything it refers to but its
  subject; an index may lack children only with ``sparse``.
- A blob is shown only by repositories that it was uploaded to, or whose manifests reach it.
- DELETE takes away the right to a blob; the bytes go with the next garbage collection.
- ``mount`` needs a ``from`` that shows the blob and that the caller may pull; else an upload begins.
- A blob whose bytes on the disk are no longer those of its digest is not sent: 500, and a line in the log.
- What somebody may not list is not listed, and a repository that somebody may not pull is refused before anything
  is said about what is in it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TypeAlias

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from sallyport.access import ANONYMOUS, Action, Caller, Decision, Guard
from sallyport.errors import DeniedError, DiskFullError, ImmutableTagError, LockedError, StorageError
from sallyport.registry.blobs import Blobs
from sallyport.registry.hot import Hot, ReadyBlob, ReadyManifest, still_there
from sallyport.registry.listings import API, Listings
from sallyport.registry.manifests import Manifests
from sallyport.registry.replies import RefusalError, refusal
from sallyport.registry.requests import CALLER, Handler, parse_path
from sallyport.registry.rights import Rights
from sallyport.store import Store

log = logging.getLogger("sallyport.registry")

OnWrite: TypeAlias = Callable[[str, str, str, str, Mapping[str, str]], None]
"""Takes who, what (pushed, tagged, mounted, uploaded, deleted), the repository, the subject and details; is called
after each change, from any thread."""
_RELEASE = re.compile(r".+-[0-9]{8}\.[0-9]+\Z")
_ACTIONS: Mapping[str, Action] = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}


def is_release_tag(repository: str, tag: str) -> bool:  # noqa: ARG001
    """Whether a tag has the form of a release, ``<upstream-tag>-<yyyymmdd>.<n>``, which never moves."""
    return _RELEASE.match(tag) is not None


def make_app(
    store: Store,
    *,
    writable: bool = True,
    immutable: Callable[[str, str], bool] = is_release_tag,
    sparse: bool = False,
    guard: Guard | None = None,
    on_write: OnWrite | None = None,
    extra_routes: Sequence[BaseRoute] = (),
) -> ASGIApp:
    """An ASGI application; the store stays the caller's to close. Without ``guard`` everybody may everything."""
    registry = _Registry(store, writable=writable, immutable=immutable, sparse=sparse, guard=guard, on_write=on_write)
    rest = Starlette(routes=[*extra_routes])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # Before any framework: most of what a registry does is done a thousand times a second.
        path = scope.get("path", "")
        if scope["type"] == "http" and (path.startswith("/v2/") or path == "/v2"):
            await registry(scope, receive, send)
        else:
            await rest(scope, receive, send)

    return app


class _Registry:
    """One request in, one answer out."""

    def __init__(
        self,
        store: Store,
        *,
        writable: bool,
        immutable: Callable[[str, str], bool],
        sparse: bool,
        guard: Guard | None,
        on_write: OnWrite | None,
    ) -> None:
        self._guard = guard
        # Threads of their own: who guesses passwords must not keep those busy that serve.
        self._proving = CapacityLimiter(4)
        self._hot = Hot(store)
        rights = Rights(store)
        note = on_write or _forget
        room = guard.room if guard is not None else _endless
        listings = Listings(store, self._lists)
        blobs = Blobs(store, rights, self._may, hot=self._hot, note=note, room=room)
        manifests = Manifests(store, rights, immutable=immutable, sparse=sparse, hot=self._hot, note=note, room=room)
        reads: dict[str, Mapping[str, Handler]] = {
            "base": {"GET": listings.base},
            "catalog": {"GET": listings.catalog},
            "tags": {"GET": listings.tags},
            "referrers": {"GET": listings.referrers},
            "manifest": {"GET": manifests.get},
            "blob": {"GET": blobs.get},
            "uploads": {},
            "upload": {},
        }
        writes: dict[str, Mapping[str, Handler]] = {
            "manifest": {"PUT": manifests.put, "DELETE": manifests.delete},
            "blob": {"DELETE": blobs.delete},
            "uploads": {"POST": blobs.begin},
            "upload": {"GET": blobs.status, "PATCH": blobs.append, "PUT": blobs.close, "DELETE": blobs.cancel},
        }
        self._handlers = {
            kind: {**found, **(writes.get(kind, {}) if writable else {})} for kind, found in reads.items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD") and await self._from_memory(scope, send):
            return
        request = Request(scope, receive)
        response = await self._answer(request)
        if request.method == "HEAD":
            response.body = b""  # the length stays in the header
        await response(scope, receive, send)

    async def _from_memory(self, scope: Scope, send: Send) -> bool:
        """Answer what was asked before; false where the ordinary way must."""
        repository, ready = self._ready(scope["path"])
        if ready is None:
            return False
        authorization = ""
        known = b""
        for header, value in scope["headers"]:
            if header == b"range":
                return False
            if header == b"if-none-match":
                known = value
            if header == b"authorization":
                authorization = value.decode("latin-1")
        if self._guard is not None:
            caller = self._guard.remembered(authorization)
            if caller is None:
                return False
            if self._guard.may(caller, repository, "pull") is not Decision.ALLOWED:
                return False
        if isinstance(ready, ReadyBlob) and not (
            "http.response.pathsend" in scope.get("extensions", ()) and still_there(ready)
        ):
            return False
        if known and isinstance(ready, ReadyManifest) and ready.etag in known:
            await send({"type": "http.response.start", "status": 304, "headers": ready.headers[2:]})
            await send({"type": "http.response.body", "body": b""})
            return True
        await send({"type": "http.response.start", "status": 200, "headers": ready.headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body", "body": b""})
        elif isinstance(ready, ReadyManifest):
            await send({"type": "http.response.body", "body": ready.body})
        else:
            await send({"type": "http.response.pathsend", "path": ready.path})
        return True

    def _ready(self, path: str) -> tuple[str, ReadyManifest | ReadyBlob | None]:
        """The repository that a path names, and the answer if it is remembered."""
        try:
            repository, found, name = path[4:].rpartition("/manifests/")
            if found:
                return repository, self._hot.manifest(repository, name)
            repository, _, name = path[4:].rpartition("/blobs/")
            return repository, self._hot.blob(repository, name)
        except StorageError:
            return "", None  # the ordinary way will find the same, and say it

    async def _answer(self, request: Request) -> Response:
        try:
            kind, repository, name = parse_path(request.scope["path"])
            method = "GET" if request.method == "HEAD" else request.method
            handler = self._handlers[kind].get(method)
            request.scope[CALLER] = await self._caller(request)
            if handler is None:
                raise RefusalError(
                    HTTPStatus.METHOD_NOT_ALLOWED,
                    "UNSUPPORTED",
                    "the operation is unsupported",
                    headers={"Allow": ", ".join(self._handlers[kind]) or "GET"},
                )
            self._may(request, repository, _action(kind, request.method))
            return await handler(request, repository, name)
        except RefusalError as error:
            return refusal(error)
        except ImmutableTagError as error:
            return refusal(RefusalError(HTTPStatus.PRECONDITION_FAILED, "DENIED", error.message))
        except LockedError:
            wait = {"Retry-After": "5"}
            return refusal(
                RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "TOOMANYREQUESTS", "the store is busy", headers=wait)
            )
        except ClientDisconnect:
            return Response(status_code=HTTPStatus.BAD_REQUEST)  # which nobody hears
        except DiskFullError:
            log.exception("store_full", extra={"path": request.scope["path"]})
            return refusal(RefusalError(HTTPStatus.INSUFFICIENT_STORAGE, "UNKNOWN", "the registry's disk is full"))
        except Exception:
            # What went wrong is the operator's to read, not the client's.
            log.exception("request_failed", extra={"path": request.scope["path"]})
            return refusal(RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry failed"))

    async def _caller(self, request: Request) -> Caller:
        if self._guard is None:
            return ANONYMOUS
        authorization = request.headers.get("authorization", "")
        known = self._guard.remembered(authorization)
        if known is not None:
            return known
        try:
            return await to_thread.run_sync(
                self._guard.caller, authorization, _address(request.scope), limiter=self._proving
            )
        except DeniedError as error:
            raise self._login(request, "", "pull", error.message) from error

    def _may(self, request: Request, repository: str, action: Action) -> None:
        if self._guard is None:
            return
        decision = self._guard.may(request.scope[CALLER], repository, action)
        if decision is Decision.LOGIN:
            raise self._login(request, repository, action, "authentication required")
        if decision is not Decision.ALLOWED:
            raise RefusalError(
                HTTPStatus.FORBIDDEN,
                "DENIED",
                "requested access to the resource is denied",
                details=({"repository": repository, "action": action},),
            )

    def _lists(self, request: Request, repository: str) -> bool:
        """Whether the caller may know of the repository."""
        return self._guard is None or self._guard.may(request.scope[CALLER], repository, "pull") is Decision.ALLOWED

    def _login(self, request: Request, repository: str, action: Action, message: str) -> RefusalError:
        assert self._guard is not None
        host = request.headers.get("host", "")
        challenge = self._guard.challenge(f"{request.scope['scheme']}://{host}", repository, action)
        return RefusalError(
            HTTPStatus.UNAUTHORIZED, "UNAUTHORIZED", message, headers={"WWW-Authenticate": challenge, **API}
        )


def _action(kind: str, method: str) -> Action:
    if kind == "upload":
        return "push"
    if kind in ("base", "catalog"):
        return "list"
    return _ACTIONS.get(method, "push")


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _forget(who: str, verb: str, repository: str, subject: str, detail: Mapping[str, str]) -> None:
    """Nobody wants to know."""


def _endless(repository: str) -> int | None:  # noqa: ARG001
    return None
