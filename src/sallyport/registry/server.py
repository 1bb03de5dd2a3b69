"""A registry over a store. Source: OCI distribution-spec 1.1, all four categories.

Decisions where the specification leaves room:

- What is stored is served as it is; Accept is not negotiated.
- An immutable tag that would come to name another digest: 412, as Harbor answers, with the code DENIED,
  which is the specification's. The same digest again: 201.
- A manifest is refused (MANIFEST_BLOB_UNKNOWN) unless its repository has everything it refers to but its
  subject; an index may lack children only with ``sparse``.
- A blob is shown only by repositories that it was uploaded to, or whose manifests reach it.
- DELETE takes away the right to a blob; the bytes go with the next garbage collection.
- Uploads begin at once with ``mount`` only where ``from`` names a repository that shows the blob.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from sallyport.errors import DiskFullError, ImmutableTagError, LockedError
from sallyport.registry.blobs import Blobs
from sallyport.registry.listings import API, Listings
from sallyport.registry.manifests import Manifests
from sallyport.registry.replies import RefusalError, refusal
from sallyport.registry.requests import Handler, parse_path
from sallyport.registry.rights import Rights
from sallyport.store import Store

log = logging.getLogger("sallyport.registry")

Authorize = Callable[[str, str, str], HTTPStatus]
"""Takes the Authorization header, the repository (empty: none in particular) and pull, push or delete;
gives OK, UNAUTHORIZED or FORBIDDEN."""
_RELEASE = re.compile(r".+-[0-9]{8}\.[0-9]+\Z")
_ACTIONS = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}


def is_release_tag(repository: str, tag: str) -> bool:  # noqa: ARG001
    """Whether a tag has the form of a release, ``<upstream-tag>-<yyyymmdd>.<n>``, which never moves."""
    return _RELEASE.match(tag) is not None


def make_app(
    store: Store,
    *,
    writable: bool = True,
    immutable: Callable[[str, str], bool] = is_release_tag,
    sparse: bool = False,
    authorize: Authorize | None = None,
    extra_routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """An ASGI application; the store stays the caller's to close."""
    registry = _Registry(store, writable=writable, immutable=immutable, sparse=sparse, authorize=authorize)
    methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
    return Starlette(
        routes=[
            Route("/v2", registry, methods=methods),
            Route("/v2/{rest:path}", registry, methods=methods),
            *extra_routes,
        ]
    )


class _Registry:
    """One request in, one answer out."""

    def __init__(
        self,
        store: Store,
        *,
        writable: bool,
        immutable: Callable[[str, str], bool],
        sparse: bool,
        authorize: Authorize | None,
    ) -> None:
        self._authorize = authorize
        rights = Rights(store)
        listings, blobs = Listings(store), Blobs(store, rights, self._may)
        manifests = Manifests(store, rights, immutable=immutable, sparse=sparse)
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
        request = Request(scope, receive)
        response = await self._answer(request)
        if request.method == "HEAD":
            response.body = b""  # the length stays in the header
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            kind, repository, name = parse_path(request.scope["path"])
            method = "GET" if request.method == "HEAD" else request.method
            handler = self._handlers[kind].get(method)
            if handler is None:
                raise RefusalError(
                    HTTPStatus.METHOD_NOT_ALLOWED,
                    "UNSUPPORTED",
                    "the operation is unsupported",
                    headers={"Allow": ", ".join(self._handlers[kind]) or "GET"},
                )
            self._may(request, repository, _ACTIONS.get(request.method, "push") if kind != "upload" else "push")
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

    def _may(self, request: Request, repository: str, action: str) -> None:
        if self._authorize is None:
            return
        status = self._authorize(request.headers.get("authorization", ""), repository, action)
        if status == HTTPStatus.UNAUTHORIZED:
            ask = {"WWW-Authenticate": 'Basic realm="sallyport", charset="UTF-8"', **API}
            raise RefusalError(status, "UNAUTHORIZED", "authentication required", headers=ask)
        if status != HTTPStatus.OK:
            raise RefusalError(HTTPStatus.FORBIDDEN, "DENIED", "requested access to the resource is denied")
