"""Asks a registry. Source: OCI distribution-spec 1.1.

What comes back is bounded and proven: a manifest by its digest, a page by its length, a redirect by
its host. Only :meth:`RegistryClient.blob` hands out bytes unproven, because the store proves them.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from threading import Lock
from urllib.parse import urlencode, urljoin, urlsplit

from sallyport.engine import Http, Progress, Response, Silent
from sallyport.errors import (
    ConflictError,
    DigestMismatchError,
    MalformedError,
    NotFoundError,
    OversizeError,
    SallyportError,
    UnreachableError,
    UsageError,
)
from sallyport.oci import (
    MANIFEST_LIMIT,
    NO_ANNOTATIONS,
    Descriptor,
    Digest,
    Hasher,
    Index,
    Manifest,
    Reference,
    is_tag,
    media_types,
    parse_json,
    parse_manifest,
)
from sallyport.registry.answers import failure, location, next_page, refuses_to_overwrite, unknown_kind
from sallyport.registry.auth import Authorizer
from sallyport.registry.credentials import Credentials
from sallyport.registry.fallback import keep_referrer
from sallyport.registry.limits import Allowance, RateLimit
from sallyport.registry.upload import NoSessions, Sessions, Upload, send_blob

_KINDS = media_types.MANIFESTS | media_types.INDEXES
_ACCEPT = ", ".join(sorted(_KINDS))
_SCHEMA_1 = "application/vnd.docker.distribution.manifest.v1"
_PAGE_LIMIT = 8 * 1024 * 1024  # bytes of one page of tags
_PAGES = 1000
_PAGE = 1000  # tags asked for at a time
_HUB = "registry-1.docker.io"  # what docker.io means on the wire
_REPORT = "report it to whoever runs that registry"
_SILENT = Silent()
_FORGETFUL = NoSessions()


def is_loopback(registry: str) -> bool:
    """Whether a host, with or without a port, is this machine, so that plain HTTP shows nothing to anyone."""
    host = (urlsplit(f"//{registry}").hostname or "").lower()
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def referrers_tag(digest: Digest) -> str:
    """The tag under which clients keep the referrers where a registry has no API for them.

    Source: OCI distribution-spec 1.1, "Referrers Tag Schema".
    """
    return f"{digest.algorithm}-{digest.hex[:64]}"


class RegistryClient:
    """One registry. May be shared by threads."""

    def __init__(
        self,
        http: Http,
        registry: str,
        *,
        plain_http: bool | None = None,
        credentials: Credentials | None = None,
        progress: Progress = _SILENT,
        sessions: Sessions = _FORGETFUL,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """``plain_http`` None means: only to this machine itself. Without ``credentials`` we are nobody.

        ``progress`` is told when the registry allows only few more pulls. With ``sessions`` large blobs go up
        in chunks, so that a killed run is continued by the next.
        """
        Reference(registry, "a")  # proves the host's form
        self.registry = registry
        plain = is_loopback(registry) if plain_http is None else plain_http
        host = _HUB if registry in ("docker.io", "index.docker.io") else registry
        self._http = http
        self._base = f"{'http' if plain else 'https'}://{host}/v2/"
        self._origin = urlsplit(self._base)[:2]
        self._plain = plain
        self._auth = Authorizer(http, registry, credentials, plain_http=plain)
        self._allowance = Allowance(registry, progress, sleep)
        self._sessions = sessions
        self._sleep = sleep
        self._without_referrers = False  # whether the registry has shown that it has no API for them
        self._listing = Lock()  # of referrers under their tag: threads of ours need not undo each other

    # --- reading ------------------------------------------------------------------------------

    def ping(self) -> None:
        """Prove that a registry answers and lets us in."""
        with self._ask("GET", self._base, scope="") as response:
            if response.status != HTTPStatus.OK:
                raise failure(response, self.registry)

    def remaining(self) -> RateLimit | None:
        """What the registry said last about how much more it lets us pull; None where it says nothing."""
        return self._allowance.remaining()

    def head(self, repository: str, name: str, *, known: Descriptor | None = None) -> Descriptor | None:
        """What a tag or digest names, for the price of one HEAD; None where it names nothing.

        With ``known`` the registry may answer in one line that it still names that.
        """
        what = self._what(repository, name)
        url = self._url(repository, "manifests", name)
        headers = {"Accept": _ACCEPT, **_unless(None if known is None else known.digest)}
        with self._ask("HEAD", url, scope=_pull(repository), headers=headers) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            if response.status == HTTPStatus.NOT_MODIFIED and known is not None:
                return known
            if response.status not in (200, 405):
                raise failure(response, what)
            kind = _media_type(response)
            digest = response.headers.get("docker-content-digest", "")
            size = response.headers.get("content-length", "")
            if response.status == HTTPStatus.OK and digest and size.isdecimal():
                if int(size) > MANIFEST_LIMIT:
                    raise OversizeError(f"the manifest of {what} has {size[:20]} bytes", "refuse it")
                if kind not in _KINDS:
                    raise unknown_kind(what, kind)
                found = Descriptor(kind, int(size), Digest.parse(digest))
                _expect(found.digest, name, what)
                return found
        try:
            manifest = self.manifest(repository, name)
        except NotFoundError:
            return None
        return Descriptor(manifest.media_type, len(manifest.raw), _digest_like(manifest.raw, name))

    def manifest(self, repository: str, name: str, *, expected: Digest | None = None) -> Manifest | Index:
        """The manifest or index that a tag or digest names, proven.

        Raises:
            DigestMismatchError: its bytes are not those that ``name``, ``expected`` or the registry's
                own header promise.
            NotFoundError, DeniedError, UnreachableError, OversizeError, UnknownMediaTypeError, MalformedError.
        """
        found = self._manifest(repository, name, expected, None)
        if found is None:
            raise MalformedError(f"{self._what(repository, name)} is 'not modified', which nobody asked", _REPORT)
        return found

    def changed(self, repository: str, name: str, known: Digest) -> Manifest | Index | None:
        """As :meth:`manifest`, and None where ``name`` still means ``known``: one request either way."""
        found = self._manifest(repository, name, None, known)
        return None if found is None or _digest_like(found.raw, str(known)) == known else found

    def _manifest(
        self, repository: str, name: str, expected: Digest | None, known: Digest | None
    ) -> Manifest | Index | None:
        what = self._what(repository, name)
        url = self._url(repository, "manifests", name)
        headers = {"Accept": _ACCEPT, **_unless(known)}
        with self._ask("GET", url, scope=_pull(repository), headers=headers) as response:
            if response.status == HTTPStatus.NOT_MODIFIED and known is not None:
                return None
            if response.status != HTTPStatus.OK:
                raise failure(response, what)
            kind = _media_type(response)
            if kind.startswith(_SCHEMA_1):  # whose digest is over a part of it only
                raise unknown_kind(what, kind)
            raw = response.read(MANIFEST_LIMIT)
            stated = response.headers.get("docker-content-digest", "")
        wanted = [Digest.parse(stated)] if stated else []
        wanted += [Digest.parse(name)] if ":" in name else []
        wanted += [expected] if expected else []
        for digest in wanted:
            hasher = Hasher(digest.algorithm)
            hasher.update(raw)
            if hasher.digest() != digest:
                raise DigestMismatchError(
                    f"{what}: asked for {digest}, got {hasher.digest()}",
                    "fetch it again; if it happens twice, do not use that registry and keep its answer as evidence",
                )
        return parse_manifest(raw, kind, what=what)

    def blob(self, repository: str, digest: Digest, *, offset: int = 0) -> Iterator[bytes]:
        """The bytes of a blob from ``offset`` on, NOT proven: hand them to a store, or to ``verified``."""
        what = self._what(repository, str(digest))
        url = self._url(repository, "blobs", str(digest))
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        with self._ask("GET", url, scope=_pull(repository), headers=headers) as response:
            skip = 0
            if offset and response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return
            if offset and response.status == HTTPStatus.PARTIAL_CONTENT:
                if not response.headers.get("content-range", "").lower().startswith(f"bytes {offset}-"):
                    raise MalformedError(f"{what}: {self.registry} sent another part than asked for", _REPORT)
            elif response.status == HTTPStatus.OK:
                skip = offset
            else:
                raise failure(response, what)
            for chunk in response.chunks():
                if skip >= len(chunk):
                    skip -= len(chunk)
                else:
                    yield chunk[skip:] if skip else chunk
                    skip = 0

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Whether the repository has a blob."""
        with self._ask("HEAD", self._url(repository, "blobs", str(digest)), scope=_pull(repository)) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return False
            if response.status != HTTPStatus.OK:
                raise failure(response, self._what(repository, str(digest)))
            return True

    def tags(self, repository: str) -> Iterator[str]:
        """Every tag of a repository, page by page.

        Raises:
            NotFoundError: no such repository.
            MalformedError: a page is no list of tags, or the pages lead elsewhere or in a circle.
        """
        what = f"the tags of {self.registry}/{repository}"
        url = f"{self._url(repository, 'tags', 'list')}?n={_PAGE}"
        for page, _ in self._pages(url, repository, what, missing=()):
            value = parse_json(page, what=what, limit=_PAGE_LIMIT)
            names = value.get("tags") if isinstance(value, dict) else ()
            if names is None:
                names = []
            if not isinstance(names, list):
                raise MalformedError(f"{what} are not a list", _REPORT)
            for name in names:
                if not isinstance(name, str) or not is_tag(name):
                    raise MalformedError(f"{what}: {str(name)[:40]!r} is no tag", _REPORT)
                yield name

    def referrers(self, repository: str, digest: Digest) -> tuple[Descriptor, ...]:
        """What says something about a manifest: signatures, bills, attestations.

        Asks the API, and where there is none the tag that clients keep instead.
        """
        what = f"the referrers of {self._what(repository, str(digest))}"
        url = self._url(repository, "referrers", str(digest))
        found: list[Descriptor] = []
        known = False
        pages = () if self._without_referrers else self._pages(url, repository, what, missing=(400, 404, 405, 501))
        for page, kind in pages:
            known = True
            index = parse_manifest(page, kind, what=what)
            if not isinstance(index, Index):
                raise MalformedError(f"{what} are not an index", _REPORT)
            found.extend(index.manifests)
        if known:
            return tuple(found)
        kept = self._kept_referrers(repository, digest)
        return kept.manifests if kept else ()

    # --- writing ------------------------------------------------------------------------------

    def push_blob(self, repository: str, digest: Digest, size: int, chunks_from: Callable[[], Iterable[bytes]]) -> int:
        """Send a blob; ``chunks_from`` starts it from the beginning, more than once where the line breaks.

        Returns the bytes that went: fewer than ``size`` where an earlier run, that was killed, got so far.
        """
        what = self._what(repository, str(digest))
        url = self._url(repository, "blobs", "uploads/")
        return send_blob(self._ask, Upload(url, _push(repository), what, digest, size, chunks_from, self._sessions))

    def mount(self, repository: str, digest: Digest, source_repository: str) -> bool:
        """Take a blob over from another repository of the registry; false where it will not do that."""
        scope = f"{_push(repository)} {_pull(source_repository)}"
        self._url(source_repository, "blobs", str(digest))  # proves the name
        query = urlencode({"mount": str(digest), "from": source_repository})
        url = f"{self._url(repository, 'blobs', 'uploads/')}?{query}"
        with self._ask("POST", url, scope=scope, body=b"", idempotent=True) as response:
            if response.status == HTTPStatus.CREATED:
                return True
            if response.status not in (202, 404, 405):
                raise failure(response, self._what(repository, str(digest)))
            started = location(response) if response.status == HTTPStatus.ACCEPTED else ""
        if started:
            with suppress(UnreachableError), self._ask("DELETE", started, scope=scope):
                pass
        return False

    def push_manifest(self, repository: str, name: str, manifest: Manifest | Index) -> None:
        """Name a manifest; what it refers to must be there already.

        Where the registry does not keep referrers itself, the tag that lists them is brought up to date.
        An immutable tag that names it already is as good as a push.

        Raises:
            ConflictError: the tag is immutable and names another.
            DeniedError, NotFoundError, UnreachableError.
        """
        what = self._what(repository, name)
        _expect(_digest_like(manifest.raw, name), name, what)
        url = self._url(repository, "manifests", name)
        headers = {"Content-Type": manifest.media_type}
        with self._ask("PUT", url, scope=_push(repository), headers=headers, body=manifest.raw) as response:
            refusal = None if response.status in (200, 201, 202) else failure(response, what)
            status = response.status
            stated = response.headers.get("docker-content-digest", "")
            if stated and Digest.parse(stated) != _digest_like(manifest.raw, stated):
                raise DigestMismatchError(f"{what}: {self.registry} says that it kept {stated[:140]}", _REPORT)
            answered = "oci-subject" in response.headers
        if refusal is not None:
            self._excuse(refusal, status, repository, name, manifest)
        if manifest.subject is not None and not answered:
            self._keep_referrer(repository, manifest, manifest.subject.digest)

    def delete_manifest(self, repository: str, name: str) -> bool:
        """Forget a tag, or a manifest with its tags; false where it was not there."""
        with self._ask("DELETE", self._url(repository, "manifests", name), scope=_delete(repository)) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return False
            if response.status not in (200, 202, 204):
                raise failure(response, self._what(repository, name))
            return True

    # --- below --------------------------------------------------------------------------------

    def _excuse(
        self, refusal: SallyportError, status: int, repository: str, name: str, manifest: Manifest | Index
    ) -> None:
        """Registries say in many ways that a tag is immutable; what it names tells whether that matters.

        Raises:
            ConflictError: it names another manifest.
            SallyportError: ``refusal``, where it is about something else.
        """
        if not refuses_to_overwrite(status, refusal.message):
            raise refusal
        found = None
        with suppress(SallyportError):
            found = self.head(repository, name)
        if found is None:
            raise refusal
        if found.digest != _digest_like(manifest.raw, str(found.digest)):
            raise ConflictError(
                f"{self._what(repository, name)} names {found.digest} there already, and that registry will not "
                f"let it name {manifest.digest} ({status})",
                "the tag is immutable there: release under a new one",
            ) from refusal

    def _keep_referrer(self, repository: str, manifest: Manifest | Index, subject: Digest) -> None:
        mine = manifest.descriptor
        mine = Descriptor(mine.media_type, mine.size, mine.digest, None, mine.artifact_type, manifest.annotations)
        tag = referrers_tag(subject)
        with self._listing:
            keep_referrer(
                lambda: self._kept_referrers(repository, subject),
                lambda index: self.push_manifest(repository, tag, index),
                mine,
                what=self._what(repository, tag),
                sleep=self._sleep,
            )

    def _kept_referrers(self, repository: str, subject: Digest) -> Index | None:
        try:
            found = self.manifest(repository, referrers_tag(subject))
        except NotFoundError:
            return None
        if not isinstance(found, Index):
            raise MalformedError(
                f"{self._what(repository, referrers_tag(subject))} is not the list of referrers that its name promises",
                "delete that tag at the registry if nobody needs it",
            )
        return found

    def _pages(self, url: str, repository: str, what: str, *, missing: tuple[int, ...]) -> Iterator[tuple[bytes, str]]:
        path = urlsplit(url).path
        seen = {url}
        while True:
            with self._ask("GET", url, scope=_pull(repository), headers={"Accept": "*/*"}) as response:
                if response.status in missing and len(seen) == 1:
                    # An error of the specification is JSON; anything else comes from a server that has no such path.
                    if "/referrers/" in path and "json" not in _media_type(response):
                        self._without_referrers = True
                    return
                if response.status != HTTPStatus.OK:
                    raise failure(response, what)
                page = response.read(_PAGE_LIMIT)
                kind = _media_type(response)
                following = next_page(response.headers.get("link", ""))
            yield page, kind
            if not following:
                return
            url = urljoin(url, following)
            parts = urlsplit(url)
            if parts[:2] != self._origin or parts.path != path:
                raise MalformedError(f"{what}: the next page lies elsewhere", _REPORT)
            if url in seen or len(seen) >= _PAGES:
                raise MalformedError(f"{what}: the pages do not end", _REPORT)
            seen.add(url)

    def _url(self, repository: str, kind: str, name: str) -> str:
        Reference(self.registry, repository)  # proves the name, which becomes part of an address
        if ":" in name:
            Digest.parse(name)
        elif kind == "manifests" and not is_tag(name):
            raise UsageError(f"{name[:140]!r} is not a tag", "a tag has letters, digits, '.', '_' and '-', at most 128")
        return f"{self._base}{repository}/{kind}/{name}"

    def _what(self, repository: str, name: str) -> str:
        return f"{self.registry}/{repository}{'@' if ':' in name else ':'}{name}"

    @contextmanager
    def _ask(
        self,
        method: str,
        url: str,
        *,
        scope: str,
        headers: Mapping[str, str] = NO_ANNOTATIONS,
        body: bytes | Callable[[], Iterable[bytes]] | None = None,
        size: int | None = None,
        idempotent: bool | None = None,
    ) -> Iterator[Response]:
        """One request, and once more with what a 401 asks for. Secrets go to the registry's own host only."""
        ours = urlsplit(url)[:2] == self._origin
        if not ours and urlsplit(url).scheme != "https" and not self._plain:
            raise MalformedError(f"{self.registry} sends us to an address that is not https", _REPORT)
        if ours:
            self._allowance.wait()
        for again in (True, False):
            known = self._auth.header(scope) if ours else ""
            with self._http.request(
                method,
                url,
                headers={**headers, "Authorization": known} if known else headers,
                body=body() if callable(body) else body,
                size=size,
                idempotent=idempotent,
            ) as response:
                mine = ours and urlsplit(response.url)[:2] == self._origin
                if mine:
                    self._allowance.note(response.headers)
                if response.status == HTTPStatus.UNAUTHORIZED and again and mine:
                    challenge = response.headers.get("www-authenticate", "")
                else:
                    yield response
                    return
            if not self._auth.challenged(challenge, scope):
                raise failure(response, self.registry)


def _pull(repository: str) -> str:
    return f"repository:{repository}:pull"


def _push(repository: str) -> str:
    return f"repository:{repository}:pull,push"


def _delete(repository: str) -> str:
    return f"repository:{repository}:delete"


def _unless(known: Digest | None) -> dict[str, str]:
    # Registries use the digest as the entity tag. Source: OCI distribution-spec 1.1; RFC 9110, 13.1.2.
    return {} if known is None else {"If-None-Match": f'"{known}"'}


def _media_type(response: Response) -> str:
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def _digest_like(raw: bytes, name: str) -> Digest:
    """The digest of ``raw`` by the algorithm of ``name``, where that is a digest."""
    hasher = Hasher(Digest.parse(name).algorithm if ":" in name else "sha256")
    hasher.update(raw)
    return hasher.digest()


def _expect(digest: Digest, name: str, what: str) -> None:
    if ":" in name and str(digest) != name:
        raise DigestMismatchError(f"{what}: asked for {name}, got {digest}", _REPORT)
