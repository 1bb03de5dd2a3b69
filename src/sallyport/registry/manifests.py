"""Manifests in and out. Source: OCI distribution-spec 1.1, "Pulling manifests", "Pushing Manifests"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from sallyport.errors import DamagedError, ImmutableTagError
from sallyport.oci import MANIFEST_LIMIT, Descriptor, Hasher, is_tag, parse_manifest, read_blob
from sallyport.registry.hot import Hot
from sallyport.registry.replies import RefusalError
from sallyport.registry.requests import CALLER, parse_digest, read_body
from sallyport.registry.rights import Rights, missing
from sallyport.store import Store

TAGS = 100
"""Tags that one push of a manifest by its digest may set."""


class Manifests:
    """The endpoints under ``manifests/``."""

    def __init__(
        self,
        store: Store,
        rights: Rights,
        *,
        immutable: Callable[[str, str], bool],
        sparse: bool,
        hot: Hot,
        note: Callable[[str, str, str, str, Mapping[str, str]], None],
        room: Callable[[str], int | None],
    ) -> None:
        """``note`` is told of each change; ``room`` says how many bytes a repository may hold."""
        self._store, self._rights, self._immutable, self._sparse = store, rights, immutable, sparse
        self._hot, self._note, self._room = hot, note, room

    async def get(self, request: Request, repository: str, name: str) -> Response:
        version = self._hot.version()
        found = await to_thread.run_sync(self._find, repository, name)
        if found is None:
            raise RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown to registry")
        descriptor, raw = found
        self._hot.keep_manifest(version, repository, name, descriptor, raw)
        etag = f'"{descriptor.digest}"'
        headers = {"Docker-Content-Digest": str(descriptor.digest), "ETag": etag, "X-Content-Type-Options": "nosniff"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(raw, headers={**headers, "Content-Type": descriptor.media_type})

    def _find(self, repository: str, name: str) -> tuple[Descriptor, bytes] | None:
        state, blobs = self._store.state, self._store.blobs
        if ":" in name:
            held = state.held(repository, parse_digest(name))
            descriptor = held.descriptor if held else None
        else:
            tag = state.tag(repository, name) if is_tag(name) else None
            descriptor = tag.descriptor if tag else None
        if descriptor is None or not blobs.has(descriptor.digest):
            return None
        return descriptor, read_blob(blobs, descriptor.digest, limit=MANIFEST_LIMIT)

    async def put(self, request: Request, repository: str, name: str) -> Response:
        tags = tuple(dict.fromkeys(request.query_params.getlist("tag"))) if ":" in name else (name,)
        if not all(is_tag(tag) for tag in tags):
            raise RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", "that is neither a tag nor a digest")
        if len(tags) > TAGS:
            raise RefusalError(HTTPStatus.REQUEST_URI_TOO_LONG, "TAG_INVALID", f"more than {TAGS} tags at once")
        raw = await read_body(request, MANIFEST_LIMIT)
        kind = request.headers.get("content-type", "")
        return await to_thread.run_sync(self._keep, str(request.scope[CALLER]), repository, name, tags, raw, kind)

    def _keep(  # noqa: PLR0917 - to_thread passes by position
        self, who: str, repository: str, name: str, tags: tuple[str, ...], raw: bytes, kind: str
    ) -> Response:
        try:
            manifest = parse_manifest(raw, kind)
        except DamagedError as error:
            raise RefusalError(HTTPStatus.BAD_REQUEST, "MANIFEST_INVALID", error.message) from error
        hasher = Hasher(parse_digest(name).algorithm if ":" in name else "sha256")
        hasher.update(raw)
        digest = hasher.digest()
        if ":" in name and str(digest) != name:
            raise RefusalError(HTTPStatus.BAD_REQUEST, "DIGEST_INVALID", "the manifest has another digest")
        described = manifest.descriptor
        descriptor = Descriptor(described.media_type, len(raw), digest, None, described.artifact_type)
        store = self._store
        # Garbage collection stays out between the look at the blobs and the note that they are needed.
        with store.lease():
            lacking = missing(self._rights, store, repository, manifest, sparse=self._sparse)
            if lacking:
                raise RefusalError(
                    HTTPStatus.BAD_REQUEST,
                    "MANIFEST_BLOB_UNKNOWN",
                    "manifest references a manifest or blob unknown to registry",
                    details=tuple({"digest": str(blob.digest)} for blob in lacking[:100]),
                )
            limit = self._room(repository)
            if limit is not None and self._rights.bytes_with(repository, manifest) > limit:
                raise RefusalError(
                    HTTPStatus.FORBIDDEN, "DENIED", f"quota exceeded: {repository} may hold {limit} bytes"
                )
            before = {tag: store.state.tag(repository, tag) for tag in tags}
            for known in before.values():
                if known is not None and known.immutable and known.descriptor.digest != digest:
                    raise ImmutableTagError(f"the tag {known.name} is immutable and names another digest", "")
            new = store.state.held(repository, digest) is None
            store.blobs.put(digest, len(raw), (raw,))
            store.state.hold(repository, descriptor, subject=manifest.subject.digest if manifest.subject else None)
            moved = [
                tag
                for tag in tags
                if store.state.set_tag(repository, tag, descriptor, immutable=self._immutable(repository, tag))
            ]
        if new:
            self._note(who, "pushed", repository, f"{repository}@{digest}", {})
        for tag in moved:
            known = before[tag]
            detail = {"before": str(known.descriptor.digest)} if known is not None else {}
            self._note(who, "tagged", repository, f"{repository}:{tag}@{digest}", detail)
        headers = {"Location": f"/v2/{repository}/manifests/{digest}", "Docker-Content-Digest": str(digest)}
        if manifest.subject is not None:
            headers["OCI-Subject"] = str(manifest.subject.digest)
        response = Response(status_code=HTTPStatus.CREATED, headers=headers)
        for tag in tags if ":" in name else ():
            response.headers.append("OCI-Tag", tag)
        return response

    async def delete(self, request: Request, repository: str, name: str) -> Response:
        if not await to_thread.run_sync(self._forget, repository, name):
            raise RefusalError(HTTPStatus.NOT_FOUND, "MANIFEST_UNKNOWN", "manifest unknown to registry")
        subject = f"{repository}{'@' if ':' in name else ':'}{name}"
        await to_thread.run_sync(self._note, str(request.scope[CALLER]), "deleted", repository, subject, {})
        return Response(status_code=HTTPStatus.ACCEPTED)

    def _forget(self, repository: str, name: str) -> bool:
        state = self._store.state
        if ":" not in name:
            return is_tag(name) and state.delete_tag(repository, name)
        digest = parse_digest(name)
        # First, because it refuses where an immutable tag names the manifest.
        if not state.unhold(repository, digest):
            return False
        for tag in state.tags(repository):
            if tag.descriptor.digest == digest:
                state.delete_tag(repository, tag.name)
        return True
