"""Blobs in and out. Source: OCI distribution-spec 1.1, "Pulling blobs", "Pushing blobs"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response

from sallyport.access import Action
from sallyport.oci import CHUNK, Digest, is_repository
from sallyport.registry.hot import Hot
from sallyport.registry.proven import Proven
from sallyport.registry.replies import NO_HEADERS, BlobReply, RefusalError
from sallyport.registry.requests import CALLER, parse_digest
from sallyport.registry.rights import Rights
from sallyport.registry.uploads import Upload, Uploads
from sallyport.store import Store

_CONTENT_RANGE = re.compile(r"([0-9]{1,18})-([0-9]{1,18})\Z")


class Blobs:
    """The endpoints under ``blobs/``."""

    def __init__(
        self,
        store: Store,
        rights: Rights,
        may: Callable[[Request, str, Action], None],
        *,
        hot: Hot,
        note: Callable[[str, str, str, str, Mapping[str, str]], None],
        room: Callable[[str], int | None],
    ) -> None:
        """``may`` refuses where the caller has no right to another repository; ``note`` is told of each change;
        ``room`` says how many bytes a repository may hold.
        """
        self._store, self._rights, self._may = store, rights, may
        self._hot, self._note, self._room = hot, note, room
        self._uploads = Uploads(store)
        self._proven = Proven(store.blobs)

    async def get(self, request: Request, repository: str, name: str) -> Response:
        digest = parse_digest(name)
        version = self._hot.version()
        if not await to_thread.run_sync(self._rights.has, repository, digest):
            raise _no_blob()
        wanted = request.headers.get("range", "")
        seen = await to_thread.run_sync(self._proven.check, digest)
        reply = await to_thread.run_sync(BlobReply, self._store.blobs, digest, wanted)
        if not wanted:
            path = self._store.blobs.path(digest)
            self._hot.keep_blob(version, repository, name, path, seen, reply.raw_headers)
        return reply

    async def delete(self, request: Request, repository: str, name: str) -> Response:
        digest = parse_digest(name)
        if not await to_thread.run_sync(self._rights.has, repository, digest):
            raise _no_blob()
        if await to_thread.run_sync(self._rights.needed, repository, digest):
            raise RefusalError(HTTPStatus.METHOD_NOT_ALLOWED, "UNSUPPORTED", "a manifest of the repository needs it")
        await to_thread.run_sync(self._rights.forget, repository, digest)
        await self._tell(request, "deleted", repository, digest)
        return Response(status_code=HTTPStatus.ACCEPTED)

    # --- uploads ------------------------------------------------------------------------------

    async def begin(self, request: Request, repository: str, name: str) -> Response:  # noqa: ARG002
        mount, source = request.query_params.get("mount", ""), request.query_params.get("from", "")
        if mount and is_repository(source):
            digest = parse_digest(mount)
            if self._pulls(request, source) and await to_thread.run_sync(self._rights.has, source, digest):
                await to_thread.run_sync(self._rights.uploaded, repository, digest)
                await self._tell(request, "mounted", repository, digest, {"from": source})
                return _created(repository, digest)
        wanted = request.query_params.get("digest", "")
        digest_wanted = parse_digest(wanted) if wanted else None
        upload = await to_thread.run_sync(self._uploads.begin, repository)
        if digest_wanted is None:
            return _progress(HTTPStatus.ACCEPTED, repository, upload)
        await self._receive(request, repository, upload)
        return await self._finish(request, repository, upload, digest_wanted)

    async def status(self, request: Request, repository: str, session: str) -> Response:  # noqa: ARG002
        upload = await to_thread.run_sync(self._uploads.find, repository, session)
        return _progress(HTTPStatus.NO_CONTENT, repository, upload)

    async def append(self, request: Request, repository: str, session: str) -> Response:
        upload = await to_thread.run_sync(self._uploads.find, repository, session)
        _check_range(request, repository, upload)
        await self._receive(request, repository, upload)
        return _progress(HTTPStatus.ACCEPTED, repository, upload)

    async def close(self, request: Request, repository: str, session: str) -> Response:
        upload = await to_thread.run_sync(self._uploads.find, repository, session)
        digest = parse_digest(request.query_params.get("digest", ""))
        _check_range(request, repository, upload)
        await self._receive(request, repository, upload)
        return await self._finish(request, repository, upload, digest)

    async def cancel(self, request: Request, repository: str, session: str) -> Response:  # noqa: ARG002
        upload = await to_thread.run_sync(self._uploads.find, repository, session)
        await to_thread.run_sync(self._uploads.cancel, repository, upload)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    def _pulls(self, request: Request, source: str) -> bool:
        """Whether the caller may pull there; to who may not, its blobs are as unknown as any, and are sent instead."""
        try:
            self._may(request, source, "pull")
        except RefusalError as error:
            if error.status == HTTPStatus.UNAUTHORIZED:
                raise
            return False
        return True

    async def _receive(self, request: Request, repository: str, upload: Upload) -> None:
        """Add the request's body, piece by piece, off the event loop."""
        limit = self._room(repository)
        stated = request.headers.get("content-length", "")
        self._check_room(repository, upload, int(stated[:18]) if stated.isdecimal() else 0, limit)
        writing = await to_thread.run_sync(self._uploads.writing, upload)
        try:
            waiting: list[bytes] = []
            size = 0
            try:
                async for piece in request.stream():
                    waiting.append(piece)
                    size += len(piece)
                    if size >= CHUNK:
                        data, waiting, size = b"".join(waiting), [], 0
                        self._check_room(repository, upload, len(data), limit)
                        await to_thread.run_sync(writing.write, data)
            finally:
                # Also what came before a line broke: the client goes on behind it.
                if waiting:
                    await to_thread.run_sync(writing.write, b"".join(waiting))
        finally:
            writing.file.close()

    async def _finish(self, request: Request, repository: str, upload: Upload, digest: Digest) -> Response:
        await to_thread.run_sync(self._check_whole, repository, upload, digest)
        await to_thread.run_sync(self._uploads.finish, repository, upload, digest)
        await to_thread.run_sync(self._rights.uploaded, repository, digest)
        await self._tell(request, "uploaded", repository, digest)
        return _created(repository, digest)

    def _check_whole(self, repository: str, upload: Upload, digest: Digest) -> None:
        """Whether the blob fits beside what the repository holds already."""
        limit = self._room(repository)
        if limit is not None and not self._rights.has(repository, digest):
            self._check_room(repository, upload, self._rights.bytes_held(repository), limit)

    def _check_room(self, repository: str, upload: Upload, more: int, limit: int | None) -> None:
        """Whether the upload, with ``more`` bytes beside it, fits in ``limit``; if not, it ends."""
        if limit is not None and upload.size + more > limit:
            self._uploads.cancel(repository, upload)
            raise RefusalError(HTTPStatus.FORBIDDEN, "DENIED", f"quota exceeded: {repository} may hold {limit} bytes")

    async def _tell(
        self, request: Request, verb: str, repository: str, digest: Digest, detail: Mapping[str, str] = NO_HEADERS
    ) -> None:
        who = str(request.scope[CALLER])
        await to_thread.run_sync(self._note, who, verb, repository, f"{repository}@{digest}", detail)


def _no_blob() -> RefusalError:
    return RefusalError(HTTPStatus.NOT_FOUND, "BLOB_UNKNOWN", "blob unknown to registry")


def _created(repository: str, digest: Digest) -> Response:
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": str(digest)}
    return Response(status_code=HTTPStatus.CREATED, headers=headers)


def _place(repository: str, upload: Upload) -> dict[str, str]:
    return {
        "Location": f"/v2/{repository}/blobs/uploads/{upload.session}",
        "Range": f"0-{max(0, upload.size - 1)}",
        "Docker-Upload-UUID": upload.session,
    }


def _progress(status: HTTPStatus, repository: str, upload: Upload) -> Response:
    return Response(status_code=status, headers=_place(repository, upload))


def _check_range(request: Request, repository: str, upload: Upload) -> None:
    """A chunk begins where the last one ended, and is as long as it says."""
    stated = request.headers.get("content-range")
    if stated is None:
        return
    match = _CONTENT_RANGE.match(stated.removeprefix("bytes ").partition("/")[0])
    if match is None or int(match[1]) != upload.size:
        raise RefusalError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE,
            "BLOB_UPLOAD_INVALID",
            "the chunk does not begin where the last one ended",
            headers=_place(repository, upload),
        )
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(match[2]) - int(match[1]) + 1 != int(length):
        raise RefusalError(HTTPStatus.BAD_REQUEST, "SIZE_INVALID", "provided length did not match content length")
