"""A registry with its mirrors, asked in order, behind the face of one client; and the clients of a whole site."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from threading import Lock
from typing import TypeVar

from sallyport.engine import ClientCertificate, Http, Progress, Silent
from sallyport.errors import DamagedError, DeniedError, NotFoundError, SallyportError, UnreachableError
from sallyport.oci import Descriptor, Digest, Index, Manifest
from sallyport.registry.client import RegistryClient
from sallyport.registry.credentials import load_credentials
from sallyport.registry.limits import RateLimit
from sallyport.registry.reach import Endpoint, Reach, Route
from sallyport.registry.registries_conf import certificate_folders, read_certificates
from sallyport.registry.upload import NoSessions, Sessions

T = TypeVar("T")
REST_S = 60.0
"""How long a mirror that did not answer is left alone."""
_SILENT = Silent()
_FORGETFUL = NoSessions()
_FALL = (UnreachableError, NotFoundError, DeniedError, DamagedError)
Connect = Callable[[Endpoint, bool], RegistryClient]


class Reached(RegistryClient):
    """A registry as :class:`Reach` says to reach it.

    Manifests and blobs are asked of the mirrors first: what one lacks, refuses, cannot say or says wrongly comes
    from the next, and in the end from the registry itself. Nothing is believed that is not proven, and each place
    gets its own credentials. Lists (tags, referrers) come from the registry itself, and from a mirror only where it
    does not answer, because a mirror lists what it happens to have. Writing goes to the registry itself.
    """

    def __init__(self, registry: str, reach: Reach, connect: Connect, *, progress: Progress = _SILENT) -> None:
        # Not the parent's own: it asks one place, and this one asks its clients.
        self.registry = registry
        self._reach = reach
        self._connect = connect
        self._watcher = progress
        self._guard = Lock()
        self._resting: dict[str, float] = {}
        self._told: set[str] = set()
        self._given: dict[Digest, str] = {}  # which mirror gave a blob: whoever asks for it again did not like it
        self._asked: dict[str, RegistryClient] = {}  # by place, as _key names it

    # --- reading ------------------------------------------------------------------------------

    def ping(self) -> None:
        for route in self._own("a")[:-1]:
            with suppress(UnreachableError):
                return self._client(route).ping()
        return self._client(self._own("a")[-1]).ping()

    def remaining(self) -> RateLimit | None:
        found = [limit for client in tuple(self._asked.values()) if (limit := client.remaining()) is not None]
        return min(found, key=lambda limit: limit.remaining, default=None)

    def head(self, repository: str, name: str, *, known: Descriptor | None = None) -> Descriptor | None:
        return self._first(repository, name, lambda client, there: client.head(there, name, known=known))

    def manifest(self, repository: str, name: str, *, expected: Digest | None = None) -> Manifest | Index:
        found = self._first(repository, name, lambda client, there: (client.manifest(there, name, expected=expected),))
        assert found is not None  # the last place answers, or raises
        return found[0]

    def changed(self, repository: str, name: str, known: Digest) -> Manifest | Index | None:
        # "Not changed" is an answer, and is no reason to ask the next one.
        found = self._first(repository, name, lambda client, there: (client.changed(there, name, known),))
        return found[0] if found else None

    def has_blob(self, repository: str, digest: Digest) -> bool:
        found = self._first(repository, str(digest), lambda client, there: client.has_blob(there, digest) or None)
        return bool(found)

    def blob(self, repository: str, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        before = self._given.get(digest) if not offset else None

        def begin(client: RegistryClient, there: str) -> tuple[bytes, Iterator[bytes], str] | None:
            place = next(place for place, known in tuple(self._asked.items()) if known is client)
            if place == before:
                return None
            chunks = client.blob(there, digest, offset=offset)
            return next(chunks, b""), chunks, place

        found = self._first(repository, str(digest), begin)
        if found is None:  # only one place, and it is asked again
            route = self._own(repository)[-1]
            yield from self._client(route).blob(route.repository, digest, offset=offset)
            return
        chunk, chunks, place = found
        self._given[digest] = place
        if chunk:
            yield chunk
        try:
            yield from chunks
        except UnreachableError:
            # Whoever asked resumes behind what came, at the next place.
            self._rest(place)
            raise

    def tags(self, repository: str) -> Iterator[str]:
        yield from self._listed(repository, lambda client, there: tuple(client.tags(there)))

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        return self._listed(repository, lambda client, there: client.referrers(there, digest))

    # --- writing ------------------------------------------------------------------------------

    def push_blob(self, repository: str, digest: Digest, size: int, chunks_from: Callable[[], Iterable[bytes]]) -> int:
        client, there = self._writable(repository)
        return client.push_blob(there, digest, size, chunks_from)

    def mount(self, repository: str, digest: Digest, source_repository: str) -> bool:
        client, there = self._writable(repository)
        other, source = self._writable(source_repository)
        return other is client and client.mount(there, digest, source)

    def push_manifest(self, repository: str, name: str, manifest: Manifest | Index) -> None:
        client, there = self._writable(repository)
        client.push_manifest(there, name, manifest)

    def delete_manifest(self, repository: str, name: str) -> bool:
        client, there = self._writable(repository)
        return client.delete_manifest(there, name)

    # --- below --------------------------------------------------------------------------------

    def _client(self, route: Route) -> RegistryClient:
        client = self._connect(route.endpoint, route.mirror)
        self._asked[_key(route)] = client
        return client

    def _own(self, repository: str) -> list[Route]:
        return [r for r in self._reach.routes(self.registry, repository, by_digest=True) if not r.mirror]

    def _writable(self, repository: str) -> tuple[RegistryClient, str]:
        *first, last = self._own(repository)
        for route in first:
            # Where TLS is not insisted on, who does not speak it is written to without.
            if not self._rests(_key(route)):
                try:
                    self._client(route).ping()
                except UnreachableError:
                    self._rest(_key(route))
                except SallyportError:
                    pass
                if not self._rests(_key(route)):
                    return self._client(route), route.repository
        return self._client(last), last.repository

    def _first(self, repository: str, name: str, ask: Callable[[RegistryClient, str], T | None]) -> T | None:
        routes = self._reach.routes(self.registry, repository, by_digest=":" in name)
        failed: list[str] = []
        for route in routes[:-1]:
            if self._rests(_key(route)):
                continue
            try:
                client = self._client(route)
                found = ask(client, route.repository)
            except _FALL as error:
                if isinstance(error, UnreachableError):
                    self._rest(_key(route))
                elif not route.mirror:
                    raise  # the registry itself has spoken
                failed.append(error.message)
                self._say(route, error)
            else:
                if found is not None or not route.mirror:
                    return found
        last = routes[-1]
        try:
            return ask(self._client(last), last.repository)
        except UnreachableError as error:
            if not failed:
                raise
            raise UnreachableError(f"{error.message}; before it: {'; '.join(failed)[:500]}", error.mend) from error

    def _listed(self, repository: str, ask: Callable[[RegistryClient, str], tuple[T, ...]]) -> tuple[T, ...]:
        routes = self._reach.routes(self.registry, repository, by_digest=True)
        ordered = [*(r for r in routes if not r.mirror), *(r for r in routes if r.mirror)]
        problem: SallyportError | None = None
        for route in ordered:
            if self._rests(_key(route)):
                continue
            try:
                return ask(self._client(route), route.repository)
            except UnreachableError as error:
                self._rest(_key(route))
                problem = problem or error
            except _FALL:
                if not route.mirror:
                    raise
        if problem is not None:
            raise problem
        route = self._own(repository)[-1]
        return ask(self._client(route), route.repository)

    def _rests(self, place: str) -> bool:
        with self._guard:
            return self._resting.get(place, 0.0) > time.monotonic()

    def _rest(self, place: str) -> None:
        with self._guard:
            self._resting[place] = time.monotonic() + REST_S

    def _say(self, route: Route, error: SallyportError) -> None:
        # A mirror that lacks something is no news; one that is down or damaged is, once.
        if isinstance(error, NotFoundError):
            return
        with self._guard:
            news = route.endpoint.location not in self._told
            self._told.add(route.endpoint.location)
        if news and route.mirror:
            self._watcher.say(f"note: {self.registry} is asked past its mirror: {error.message}")


def _key(route: Route) -> str:
    return f"{route.endpoint.host}{' in the clear' if route.endpoint.plain_http else ''}"


@contextmanager
def open_clients(
    reach: Reach,
    *,
    progress: Progress = _SILENT,
    sessions: Sessions | None = None,
    environ: Mapping[str, str] = os.environ,
    timeout_s: float = 60.0,
) -> Iterator[Callable[[str], RegistryClient]]:
    """A client for each registry by name; safe for threads.

    Credentials, certs.d and proxies are those that container tools use.
    """
    known: dict[tuple[Endpoint, bool], RegistryClient] = {}
    reached: dict[str, RegistryClient] = {}
    guard = Lock()
    with ExitStack() as stack:

        def connect(endpoint: Endpoint, mirror: bool) -> RegistryClient:  # noqa: FBT001 - a Callable knows no names
            with guard:
                client = known.get((endpoint, mirror))
                if client is None:
                    http = stack.enter_context(
                        http_for(endpoint, environ=environ, timeout_s=timeout_s, retries=1 if mirror else 4)
                    )
                    client = known[endpoint, mirror] = RegistryClient(
                        http,
                        endpoint.host,
                        plain_http=endpoint.plain_http,
                        credentials=load_credentials(endpoint.login, environ=environ),
                        progress=progress,
                        sessions=sessions or _FORGETFUL,
                    )
                return client

        def client_for(registry: str) -> RegistryClient:
            if not reach.concerns(registry):
                return connect(Endpoint(registry), False)
            with guard:
                return reached.setdefault(registry, Reached(registry, reach, connect, progress=progress))

        yield client_for


def http_for(
    endpoint: Endpoint, *, environ: Mapping[str, str] = os.environ, timeout_s: float = 60.0, retries: int = 4
) -> Http:
    """A client for one place: its authorities, our certificate, its proxy, and so many requests at a time."""
    authorities, ours = endpoint.authorities, None
    if endpoint.certificate is not None and endpoint.key is not None:
        ours = ClientCertificate(endpoint.certificate, endpoint.key)
    if not authorities or ours is None:
        there = read_certificates(endpoint.host, certificate_folders(environ))
        authorities, ours = authorities or there.authorities, ours or there.ours
    proxies = {"http": endpoint.proxy, "https": endpoint.proxy} if endpoint.proxy not in ("", "none") else {}
    host = endpoint.host if ":" in endpoint.host else f"{endpoint.host}:443"
    return Http(
        proxies=proxies if endpoint.proxy else None,
        ca=authorities,
        certificates={host.lower(): ours} if ours is not None else {},
        connections=endpoint.connections,
        timeout_s=timeout_s,
        retries=retries,
    )
