"""What a registry lists: repositories, tags, referrers. Source: OCI distribution-spec 1.1, "Content Discovery"."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import urlencode

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from sallyport.errors import DamagedError
from sallyport.oci import JSON, Descriptor, Digest, Manifest, load_manifest, media_types, render_json
from sallyport.registry.replies import RefusalError, json_reply
from sallyport.registry.requests import parse_digest
from sallyport.store import Store

log = logging.getLogger("sallyport.registry")

_TAGS = 10_000  # in one page, unless a client asks for fewer
_REFERRERS_BYTES = 3 * 1024 * 1024  # a page stays below what clients read of an index
API = {"Docker-Distribution-API-Version": "registry/2.0"}


class Listings:
    """The endpoints that list."""

    def __init__(self, store: Store, lists: Callable[[Request, str], bool]) -> None:
        """``lists`` says whether the caller may know of a repository."""
        self._store, self._lists = store, lists
        self._describe = lru_cache(maxsize=2048)(lambda descriptor: _referrer(store, descriptor))

    async def base(self, request: Request, repository: str, name: str) -> Response:  # noqa: ARG002
        return json_reply({}, headers=API)

    async def catalog(self, request: Request, repository: str, name: str) -> Response:  # noqa: ARG002
        count, last = _page(request)
        every = await to_thread.run_sync(self._store.state.repositories)
        names = [found for found in every if found > last and self._lists(request, found)]
        shown: list[JSON] = [*names[:count]]
        return json_reply({"repositories": shown}, headers=_link(request, shown, more=len(names) > count > 0))

    async def tags(self, request: Request, repository: str, name: str) -> Response:  # noqa: ARG002
        count, last = _page(request)
        state = self._store.state
        tags = await to_thread.run_sync(lambda: state.tags(repository, after=last, limit=count + 1))
        if not tags and not await to_thread.run_sync(
            lambda: state.tags(repository, limit=1) or state.manifests(repository)
        ):
            raise RefusalError(HTTPStatus.NOT_FOUND, "NAME_UNKNOWN", "repository name not known to registry")
        shown: list[JSON] = [tag.name for tag in tags[:count]]
        headers = _link(request, shown, more=len(tags) > count > 0)
        return json_reply({"name": repository, "tags": shown}, headers=headers)

    async def referrers(self, request: Request, repository: str, name: str) -> Response:
        subject = parse_digest(name)
        wanted = request.query_params.get("artifactType", "")
        last = request.query_params.get("last", "")
        shown, more = await to_thread.run_sync(self._referrers_page, repository, subject, wanted, last)
        headers = {"OCI-Filters-Applied": "artifactType"} if wanted else {}
        if more:
            query = {"last": str(shown[-1]["digest"])} | ({"artifactType": wanted} if wanted else {})
            headers["Link"] = f'</v2/{repository}/referrers/{subject}?{urlencode(query)}>; rel="next"'
        index: JSON = {"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [*shown]}
        return json_reply(index, headers=headers, media_type=media_types.OCI_INDEX)

    def _referrers_page(
        self, repository: str, subject: Digest, wanted: str, last: str
    ) -> tuple[list[dict[str, JSON]], bool]:
        shown: list[dict[str, JSON]] = []
        size = 0
        for held in self._store.state.referrers(repository, subject):
            if str(held.descriptor.digest) <= last:
                continue
            try:
                found = self._describe(held.descriptor)
            except DamagedError:
                log.warning("manifest_damaged", extra={"digest": str(held.descriptor.digest)})
                continue
            if wanted and found.artifact_type != wanted:
                continue
            entry = found.to_json()
            size += len(render_json(entry))
            if shown and size > _REFERRERS_BYTES:
                return shown, True
            shown.append(entry)
        return shown, False


def _page(request: Request) -> tuple[int, str]:
    count = request.query_params.get("n", str(_TAGS))
    if not (count.isascii() and count.isdecimal()):
        raise RefusalError(HTTPStatus.BAD_REQUEST, "UNSUPPORTED", "n is not a number")
    return min(int(count[:9]), _TAGS), request.query_params.get("last", "")


def _link(request: Request, shown: Sequence[JSON], *, more: bool) -> dict[str, str]:
    if not more:
        return {}
    query = urlencode({"n": len(shown), "last": str(shown[-1])})
    return {"Link": f'<{request.scope["path"]}?{query}>; rel="next"'}


def _referrer(store: Store, descriptor: Descriptor) -> Descriptor:
    manifest = load_manifest(store.blobs, descriptor)
    kind = manifest.artifact_type
    if not kind and isinstance(manifest, Manifest):
        kind = manifest.config.media_type
    return Descriptor(descriptor.media_type, descriptor.size, descriptor.digest, None, kind, manifest.annotations)
