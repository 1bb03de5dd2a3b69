"""Takes a site -> gives its registry, or its gateway, running.

Who may write, decided here once:

- With logins or rules in ``access``, the rules say it, robots' accounts too, and ``--writable`` means nothing.
- Without them everybody may pull; ``--writable`` lets everybody write, and so only callers of this machine.
- Logins do not cross a network in the clear: beyond this machine they need TLS, ours or a proxy's before us.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.errors import ConfigError, UsageError
from sallyport.site import Site

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute, Route
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sallyport.access import RuledGuard


@contextmanager
def serve(
    site: Site,
    *,
    listen: str = "",
    writable: bool = False,
    certificate: Path | None = None,
    private_key: Path | None = None,
) -> Iterator[str]:
    """The store as a registry, with the status page at its root, while the block runs; gives its address.

    Where ``scrub`` is configured, blobs are read again meanwhile.

    Raises:
        UsageError: an address that is none, or that others reach while everybody may write.
        ConfigError: the files of ``access`` cannot be used, or logins would cross the network in the clear.
    """
    from sallyport.access import token_routes
    from sallyport.config import byte_size, duration
    from sallyport.registry import make_app
    from sallyport.registry import serve as start
    from sallyport.store import scrubbing
    from sallyport.web import status_routes

    host, port = _address(listen or site.config.listen)
    guard = open_guard(site, writable=writable, local=_is_local(host), encrypted=certificate is not None)
    routes: Sequence[BaseRoute] = status_routes(site.store, f"{site.config.destination}, {site.config.side}")
    if guard is not None and guard.logins:
        routes = (*_behind(guard, routes), *token_routes(guard))
    app = make_app(
        site.store,
        writable=writable or guard is not None,
        immutable=_immutable(site.config.access.immutable),
        guard=guard,
        on_write=_journal(site),
        extra_routes=routes,
    )
    scrub = site.config.scrub
    with ExitStack() as stack:
        serving = stack.enter_context(start(app, host=host, port=port, certificate=certificate, key=private_key))
        if scrub is not None:
            every, rate = duration(scrub.every), byte_size(scrub.rate)
            stack.enter_context(scrubbing(site.store, every=every, rate=rate, clock=site.clock))
        yield serving.url


def open_guard(site: Site, *, writable: bool, local: bool, encrypted: bool) -> RuledGuard | None:
    """What ``access`` asks for; None where it asks for nothing, and all is as open as ``writable`` says.

    Raises:
        UsageError: everybody may write, and others than callers of this machine would be able to.
        ConfigError: a file cannot be used, or logins would cross the network in the clear.
    """
    from sallyport.access import EVERYTHING, Grant, Htpasswd, Provider, Quota, Robots, RuledGuard
    from sallyport.config import byte_size

    access = site.config.access
    logins = bool(access.htpasswd or access.robots or access.tokens)
    if writable and (logins or access.rules):
        raise UsageError("access says who may write, not --writable", "leave --writable out, and see access.rules")
    if writable and not local:
        raise UsageError(
            "everybody who reaches this address could write", "listen on 127.0.0.1, or say who may push: see access"
        )
    if logins and not (local or encrypted or access.url.startswith("https://")):
        raise ConfigError(
            "passwords would cross the network in the clear",
            "serve TLS: --certificate and --private-key; or set access.url to the https address of a proxy before us",
        )
    if any(rule.who != "anonymous" for rule in access.rules) and not logins:
        raise ConfigError(
            "access.rules name people, and nobody can log in", "set access.htpasswd, access.robots or access.tokens"
        )
    if not (logins or access.rules or access.quotas):
        return None
    grants = tuple(Grant(rule.who, rule.images, frozenset(rule.may)) for rule in access.rules) or (EVERYTHING,)
    if writable:
        grants = (Grant("anonymous", "*", frozenset({"pull", "push", "delete"})),)
    return RuledGuard(
        htpasswd=Htpasswd(site.path(access.htpasswd)) if access.htpasswd else None,
        robots=Robots(site.path(access.robots)) if access.robots else None,
        providers=tuple(
            Provider(
                one.issuer,
                one.audience,
                site.path(one.keys),
                user_claim=one.user_claim,
                groups_claim=one.groups_claim,
            )
            for one in access.tokens
        ),
        grants=grants,
        quotas=tuple(Quota(one.images, byte_size(one.size)) for one in access.quotas),
        url=access.url,
    )


def _immutable(patterns: Sequence[str]) -> Callable[[str, str], bool]:
    """Releases, and what the configuration names."""
    from sallyport.access import fits
    from sallyport.registry import is_release_tag

    def immutable(repository: str, tag: str) -> bool:
        return is_release_tag(repository, tag) or any(fits(one, f"{repository}:{tag}") for one in patterns)

    return immutable


def _journal(site: Site) -> Callable[[str, str, str, str, Mapping[str, str]], None]:
    """Each change that a client makes becomes a line."""

    def note(who: str, verb: str, repository: str, subject: str, detail: Mapping[str, str]) -> None:  # noqa: ARG001 - the subject begins with it
        site.store.state.append(verb=verb, subject=subject, detail={"by": who, **detail})

    return note


def _behind(guard: RuledGuard, routes: Sequence[BaseRoute]) -> tuple[BaseRoute, ...]:
    """The status pages name images: who may not pull all of them has to log in; ``/healthz`` says nothing."""
    from starlette.routing import Route

    return tuple(
        _guarded(guard, route) if isinstance(route, Route) and route.path != "/healthz" else route for route in routes
    )


def _guarded(guard: RuledGuard, route: Route) -> Route:
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route as Made

    from sallyport.access import ANONYMOUS
    from sallyport.errors import DeniedError

    def endpoint(request: Request) -> Response:
        address = request.client.host if request.client else ""
        try:
            caller = guard.caller(request.headers.get("authorization", ""), address)
        except DeniedError:
            caller = ANONYMOUS
        if guard.sees_all(caller):
            answer: Response = route.endpoint(request)
            return answer
        return PlainTextResponse(
            "log in as somebody who may pull everything\n",
            401,
            {"WWW-Authenticate": 'Basic realm="sallyport", charset="UTF-8"', "Cache-Control": "no-store"},
        )

    return Made(route.path, endpoint, methods=["GET"])


def _is_local(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"{listen!r} is no address to listen on", "write it like 127.0.0.1:5000")
    return host.strip("[]"), int(port)


@contextmanager
def serve_gateway(
    site: Site, *, listen: str = "", certificate: Path | None = None, private_key: Path | None = None
) -> Iterator[str]:
    """The vetted pull-through of ``gateway`` in the configuration, while the block runs; gives its address.

    Package repositories are served beside the images; who may pull ``packages/NAME`` may read them.

    Raises:
        UsageError: this is no outside, an address that is none, or a rule that names no registry.
        ConfigError: the files of ``access`` or of a package repository cannot be used.
    """
    from sallyport.admission import SiteAdmit
    from sallyport.config import duration
    from sallyport.gateway import Terms, make_allow, make_gateway
    from sallyport.oci import Platform
    from sallyport.registry import serve as start

    section = site.config.gateway
    host, port = _address(listen or section.listen)
    guard = open_guard(site, writable=False, local=_is_local(host), encrypted=certificate is not None)
    rules = [
        make_allow(rule.images, rule.tags, [Platform.parse(text) for text in rule.platforms], rule.prefer)
        for rule in section.allow
    ]
    terms = Terms(duration(section.fresh_for), duration(section.serve_stale_for), section.wait_s)
    with ExitStack() as stack:
        gateway = make_gateway(
            site.store,
            rules,
            SiteAdmit(site),
            clock=site.clock,
            terms=terms,
            default=section.default_registry,
            guard=guard,
            rest=_beside(site, guard, stack),
        )
        stack.callback(gateway.close)
        yield stack.enter_context(start(gateway, host=host, port=port, certificate=certificate, key=private_key)).url


def _beside(site: Site, guard: RuledGuard | None, stack: ExitStack) -> ASGIApp:
    """What the gateway serves beside images: packages, and tokens for those who log in."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    from sallyport.access import token_routes
    from sallyport.depot import depot_routes
    from sallyport.engine import Http
    from sallyport.store import DirectoryStore

    logins = token_routes(guard) if guard is not None and guard.logins else ()
    sections = site.config.gateway.packages
    if not sections:
        return Starlette(routes=[*logins])
    http = stack.enter_context(Http())
    cache = DirectoryStore(site.path(site.config.cache) / "depot", durable=False)
    address = site.config.access.url
    routes = depot_routes(sections, http, cache, site.clock.now, folder=site.root, address=address)
    packages = Starlette(routes=[*routes])
    if guard is None:
        return packages
    return Starlette(routes=[*logins, Mount("/", _only_for(guard, packages))])


def _only_for(guard: RuledGuard, packages: ASGIApp) -> ASGIApp:
    """Package managers log in by Basic; who may pull ``packages/NAME`` may read it."""
    from anyio import to_thread
    from starlette.responses import PlainTextResponse

    from sallyport.access import ANONYMOUS, Decision
    from sallyport.errors import DeniedError

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        authorization = dict(scope.get("headers", ())).get(b"authorization", b"").decode("latin-1")
        client = scope.get("client")
        try:
            caller = guard.remembered(authorization)
            if caller is None:
                caller = await to_thread.run_sync(guard.caller, authorization, str(client[0]) if client else "")
        except DeniedError:
            caller = ANONYMOUS
        name = "/".join(scope.get("path", "").strip("/").split("/")[:2])
        if guard.may(caller, name, "pull") is Decision.ALLOWED:
            await packages(scope, receive, send)
            return
        ask = {"WWW-Authenticate": 'Basic realm="sallyport", charset="UTF-8"', "Cache-Control": "no-store"}
        await PlainTextResponse("log in as somebody who may read these packages\n", 401, ask)(scope, receive, send)

    return guarded
