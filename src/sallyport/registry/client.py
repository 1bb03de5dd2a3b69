"""Asks a registry. Source: OCI distribution-spec 1.1.

What comes back is bounded and proven: a manifest by its digest, a page by its length, a redirect by
its host. Only :meth:`RegistryClient.blob` hands out bytes unproven, because the store proves them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from urllib.parse import urlencode, urljoin, urlsplit

from sallyport.engine import Http, Response
from sallyport.errors import (
    DigestMismatchError,
    MalformedError,
    NotFoundError,
    OversizeError,
    UnknownMediaTypeError,
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
    build_index,
    is_tag,
    media_types,
    parse_json,
    parse_manifest,
)
from sallyport.registry.answers import failure, location
from sallyport.registry.auth import Authorizer
from sallyport.registry.credentials import Credentials
from sallyport.registry.upload import Upload, send_blob

_KINDS = media_types.MANIFESTS | media_types.INDEXES
_ACCEPT = ", ".join(sorted(_KINDS))
_PAGE_LIMIT = 8 * 1024 * 1024  # bytes of one page of tags
_PAGES = 1000
_PAGE = 1000  # tags asked for at a time
_HUB = "registry-1.docker.io"  # what docker.io means on the wire
_REPORT = "report it to whoever runs that registry"


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
    ) -> None:
        """``plain_http`` None means: only to this machine itself. Without ``credentials`` we are nobody."""
        Reference(registry, "a")  # proves the host's form
        self.registry = registry
        plain = is_loopback(registry) if plain_http is None else plain_http
        host = _HUB if registry in ("docker.io", "index.docker.io") else registry
        self._http = http
        self._base = f"{'http' if plain else 'https'}://{host}/v2/"
        self._origin = urlsplit(self._base)[:2]
        self._plain = plain
        self._auth = Authorizer(http, registry, credentials, plain_http=plain)

    # --- reading ------------------------------------------------------------------------------

    def ping(self) -> None:
        """Prove that a registry answers and lets us in."""
        with self._ask("GET", self._base, scope="") as response:
            if response.status != HTTPStatus.OK:
                raise failure(response, self.registry)

    def head(self, repository: str, name: str) -> Descriptor | None:
        """What a tag or digest names, for the price of one HEAD; None where it names nothing."""
        what = self._what(repository, name)
        url = self._url(repository, "manifests", name)
        with self._ask("HEAD", url, scope=_pull(repository), headers={"Accept": _ACCEPT}) as response:
            if response.status == HTTPStatus.NOT_FOUND:
                return None
            if response.status not in (200, 405):
                raise failure(response, what)
            kind = _media_type(response)
            digest = response.headers.get("docker-content-digest", "")
            size = response.headers.get("content-length", "")
            if response.status == HTTPStatus.OK and digest and size.isdecimal():
                if int(size) > MANIFEST_LIMIT:
                    raise OversizeError(f"the manifest of {what} has {size[:20]} bytes", "refuse it")
                if kind not in _KINDS:
                    raise UnknownMediaTypeError(
                        f"{what} is {kind[:80]!r}, which is no image manifest or index",
                        "only OCI and Docker schema 2 are understood: ask the publisher to push it with a current tool",
                    )
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
        what = self._what(repository, name)
        url = self._url(repository, "manifests", name)
        with self._ask("GET", url, scope=_pull(repository), headers={"Accept": _ACCEPT}) as response:
            if response.status != HTTPStatus.OK:
                raise failure(response, what)
            kind = _media_type(response)
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
        for page, kind in self._pages(url, repository, what, missing=(400, 404, 405, 501)):
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

    def push_blob(self, repository: str, digest: Digest, size: int, chunks_from: Callable[[], Iterable[bytes]]) -> None:
        """Send a blob; ``chunks_from`` starts it from the beginning, more than once where the line breaks."""
        what = self._what(repository, str(digest))
        url = self._url(repository, "blobs", "uploads/")
        send_blob(self._ask, Upload(url, _push(repository), what, digest, size, chunks_from))

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

        Raises:
            ConflictError: the tag is immutable and names another.
            DeniedError, NotFoundError, UnreachableError.
        """
        what = self._what(repository, name)
        _expect(_digest_like(manifest.raw, name), name, what)
        url = self._url(repository, "manifests", name)
        headers = {"Content-Type": manifest.media_type}
        with self._ask("PUT", url, scope=_push(repository), headers=headers, body=manifest.raw) as response:
            if response.status not in (200, 201, 202):
                raise failure(response, what)
            stated = response.headers.get("docker-content-digest", "")
            if stated and Digest.parse(stated) != _digest_like(manifest.raw, stated):
                raise DigestMismatchError(f"{what}: {self.registry} says that it kept {stated[:140]}", _REPORT)
            answered = "oci-subject" in response.headers
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

    def _keep_referrer(self, repository: str, manifest: Manifest | Index, subject: Digest) -> None:
        kept = self._kept_referrers(repository, subject)
        known = kept.manifests if kept else ()
        mine = manifest.descriptor
        if any(item.digest == mine.digest for item in known):
            return
        mine = Descriptor(mine.media_type, mine.size, mine.digest, None, mine.artifact_type, manifest.annotations)
        index = build_index((*known, mine), annotations=kept.annotations if kept else NO_ANNOTATIONS)
        self.push_manifest(repository, referrers_tag(subject), index)

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
                    return
                if response.status != HTTPStatus.OK:
                    raise failure(response, what)
                page = response.read(_PAGE_LIMIT)
                kind = _media_type(response)
                following = _next(response.headers.get("link", ""))
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


def _next(link: str) -> str:
    """The target of a Link header with rel="next". Source: RFC 8288, 3."""
    for part in link[:8192].split(","):
        target, _, parameters = part.partition(";")
        target = target.strip()
        words = {word.strip().replace('"', "").replace(" ", "").lower() for word in parameters.split(";")}
        if target.startswith("<") and target.endswith(">") and "rel=next" in words:
            return target[1:-1]
    return ""
