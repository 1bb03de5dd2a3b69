"""Package repositories under /packages/NAME/, over HTTP."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sallyport.archives import Keyring, find_mirrors, load_keyring, read_keyring
from sallyport.depot.apk import ApkShelf, read_keys
from sallyport.depot.apt import AptShelf
from sallyport.depot.interface import Shelf
from sallyport.depot.keep import Keeper
from sallyport.depot.model import Asked, Kind, Page, Reply, Repository, Whole
from sallyport.depot.names import read_path
from sallyport.depot.npm import NpmShelf
from sallyport.depot.pypi import PypiShelf
from sallyport.engine import Http
from sallyport.errors import ConfigError, NotFoundError, RefusedError, SallyportError, StorageError
from sallyport.store import DirectoryStore

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

PREFIX = "/packages"
THREADS = 16
"""That wait for upstreams at a time. Of our own: a slow one must not hold up the pulls that the server answers, too."""
_HOURS = {"h": 1, "d": 24, "w": 168}
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_KEYS = (".gpg", ".pgp", ".asc", ".pub")
_SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'"}


class PackagesLike(Protocol):
    """A section of the configuration that names a repository."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> Kind: ...
    @property
    def upstream(self) -> str: ...
    @property
    def files(self) -> str: ...
    @property
    def allow(self) -> tuple[str, ...]: ...
    @property
    def keyring(self) -> str: ...
    @property
    def fresh_for(self) -> str: ...


def depot_routes(
    sections: Iterable[PackagesLike],
    http: Http,
    cache: DirectoryStore,
    now: Callable[[], datetime],
    *,
    folder: Path = Path(),
    address: str = "",
) -> Sequence[Route]:
    """A route for every repository of ``sections``; nothing is asked of any upstream yet.

    Keyrings are looked for below ``folder``. ``address`` is where clients reach this server, such as
    ``https://gateway.example``; when left out, it is what each request says (npm's indexes need it).

    Raises:
        ConfigError, UsageError: a section lacks an upstream or keys, or they cannot be read.
        NoMirrorError: an apt section without an upstream, and this host has no mirror either.
    """
    from anyio import CapacityLimiter
    from starlette.routing import Route

    routes: list[Route] = []
    threads = CapacityLimiter(THREADS)
    for section in sections:
        repository = read_section(section, folder)
        if any(route.path == f"{PREFIX}/{repository.name}" for route in routes):
            raise ConfigError(f"two repositories of packages are called {repository.name}", "give each its own name")
        shelf = _shelf(repository, http, cache, now)
        top = f"{PREFIX}/{repository.name}"
        endpoint = _endpoint(repository, shelf, cache, address, threads)
        routes += (
            Route(top, endpoint, methods=["GET", "HEAD"]),
            Route(f"{top}/{{path:path}}", endpoint, methods=["GET", "HEAD"]),
        )
    return routes


def read_section(section: PackagesLike, folder: Path) -> Repository:
    """The repository that ``section`` means."""
    upstream = section.upstream
    if not upstream:
        if section.kind != "apt":
            raise ConfigError(
                f"the packages of {section.name} have no upstream", "name the address of the repository in `upstream`"
            )
        upstream = find_mirrors(environ=os.environ).main
    for address in filter(None, (upstream, section.files)):
        if not address.startswith(("http://", "https://")):
            raise ConfigError(f"{address[:80]!r} is no address of a repository", "write http://… or https://…")
    return Repository(
        section.name,
        section.kind,
        upstream.rstrip("/"),
        section.allow,
        timedelta(hours=int(section.fresh_for[:-1]) * _HOURS[section.fresh_for[-1]]),
        section.files.rstrip("/"),
        _keys(folder / section.keyring) if section.keyring else (),
    )


def _keys(path: Path) -> tuple[Path, ...]:
    found = sorted(item for item in path.iterdir() if item.suffix in _KEYS) if path.is_dir() else [path]
    if not found:
        raise ConfigError(f"{path} holds no keys", f"put files there that end in one of {', '.join(_KEYS)}")
    return tuple(found)


def _shelf(repository: Repository, http: Http, cache: DirectoryStore, now: Callable[[], datetime]) -> Shelf:
    keeper = Keeper(repository, http, cache, now)
    match repository.kind:
        case "apt":
            named = read_keyring(repository.keys) if repository.keys else None

            def keyring() -> Keyring:
                nonlocal named
                if named is None:
                    named = load_keyring(http=http, cache=cache, mirror=repository.upstream)
                return named

            return AptShelf(keeper, keyring)
        case "pypi":
            return PypiShelf(keeper)
        case "npm":
            return NpmShelf(keeper)
        case "apk":
            if not repository.keys:
                raise ConfigError(
                    f"the packages of {repository.name} have no keys", "name the folder with the .rsa.pub files"
                )
            return ApkShelf(keeper, read_keys(repository.keys))


def _endpoint(
    repository: Repository, shelf: Shelf, cache: DirectoryStore, address: str, threads: CapacityLimiter
) -> Callable[[Request], Awaitable[Response]]:
    from anyio import to_thread

    def answer(request: Request) -> Response:
        try:
            segments, is_folder = read_path(request.path_params.get("path", ""))
            base = f"{address.rstrip('/') or _address(request)}{PREFIX}/{repository.name}/"
            reply = shelf.get(Asked(segments, is_folder, request.headers.get("accept", "")[:1024], base))
            return _response(reply, cache, request)
        except RefusedError as error:
            return _refusal(HTTPStatus.FORBIDDEN, error)
        except NotFoundError as error:
            return _refusal(HTTPStatus.NOT_FOUND, error)
        except StorageError:
            # What is wrong with the disk is nothing that a stranger should read.
            return _refusal(HTTPStatus.SERVICE_UNAVAILABLE, NotFoundError("the cache cannot be used", ""))
        except SallyportError as error:
            return _refusal(HTTPStatus.BAD_GATEWAY, error)

    async def endpoint(request: Request) -> Response:
        return await to_thread.run_sync(answer, request, limiter=threads)

    return endpoint


def _address(request: Request) -> str:
    host = request.headers.get("host", "")
    if not _HOST.match(host):
        raise NotFoundError("the request names no host", "send a Host header")
    return f"{request.url.scheme}://{host}"


def _refusal(status: HTTPStatus, error: SallyportError) -> Response:
    from starlette.responses import PlainTextResponse

    line = "".join(sign if sign.isprintable() else " " for sign in error.message)[:400]
    return PlainTextResponse(f"{line}\n", status, headers=_SAFE)


def _response(reply: Reply, cache: DirectoryStore, request: Request) -> Response:
    from starlette.responses import FileResponse, Response

    if isinstance(reply, Page):
        headers = _SAFE | {"Vary": "Accept", "Cache-Control": "no-cache"}
        return Response(reply.raw, headers=headers, media_type=reply.media_type)
    headers = _SAFE | {"ETag": f'"{reply.digest}"'}
    if reply.modified:
        headers["Last-Modified"] = reply.modified
    if _is_known(reply, headers, request):
        return Response(None, HTTPStatus.NOT_MODIFIED, headers=headers)
    path = cache.path(reply.digest)
    if path is None:
        raise NotFoundError("the cache has just been emptied", "ask again")
    return FileResponse(path, headers=headers, media_type=reply.media_type, stat_result=path.stat())


def _is_known(reply: Whole, headers: dict[str, str], request: Request) -> bool:
    asked = request.headers.get("if-none-match", "")
    if asked:
        return headers["ETag"] in (item.strip() for item in asked[:4096].split(","))
    return bool(reply.modified) and request.headers.get("if-modified-since", "") == reply.modified
