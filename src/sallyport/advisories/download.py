"""An advisory export from an address into a file: bounded, whole or not at all, and only where it changed."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from sallyport.engine import Http, Progress, Response, atomic_write, write_file
from sallyport.errors import DeniedError, NotFoundError, OversizeError, StorageError, UnreachableError

LIMIT = 8 * 1024 * 1024 * 1024  # bytes; the export of all ecosystems together is under 1 GiB
_TAG_LIMIT = 1024


def download(http: Http, url: str, folder: Path, *, progress: Progress, limit: int = LIMIT) -> Path:
    """Fetch ``url`` into ``folder``; where the host says that nothing changed, the file of last time is used.

    Raises:
        UnreachableError, NotFoundError, DeniedError: there is nothing to be had; the old file is not used instead,
            because a scan with yesterday's knowledge must not look like today's.
        OversizeError: more than ``limit`` bytes.
    """
    name = hashlib.sha256(url.encode()).hexdigest()[:32]
    path, tag = folder / f"{name}.zip", folder / f"{name}.etag"
    headers: dict[str, str] = {}
    if path.is_file() and (known := _read_tag(tag)):
        headers["If-None-Match"] = known
    with http.request("GET", url, headers=headers) as response:
        if response.status == 304 and headers:  # noqa: PLR2004 - RFC 9110, 15.4.5
            return path
        _check(response, url)
        length = response.headers.get("content-length", "")
        total = int(length) if length.isdecimal() and length.isascii() else None
        with contextlib.suppress(FileNotFoundError):
            tag.unlink()  # of the old bytes: it must not vouch for the new ones
        _make(folder)
        with progress.task(f"advisories from {urlsplit(url).hostname}", total) as task, atomic_write(path) as file:
            size = 0
            for chunk in response.chunks():
                size += len(chunk)
                if size > limit:
                    raise OversizeError(f"{urlsplit(url).hostname} sent more than {limit} bytes", "check the address")
                view = memoryview(chunk)
                while view:
                    view = view[file.write(view) :]
                task.advance(len(chunk))
        if (fresh := response.headers.get("etag", "")) and len(fresh) <= _TAG_LIMIT:
            write_file(tag, fresh.encode("latin-1", "replace"))
    return path


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror}", "check that this user may write there") from error


def _read_tag(tag: Path) -> str:
    try:
        with tag.open("rb") as file:
            text = file.read(_TAG_LIMIT + 1).decode("latin-1")
    except OSError:
        return ""
    return text if text.isprintable() else ""


def _check(response: Response, url: str) -> None:
    host, status = urlsplit(url).hostname, response.status
    if status == 200:  # noqa: PLR2004 - RFC 9110, 15.3.1
        return
    if status in (404, 410):
        raise NotFoundError(f"{host} has no advisories at that address", "check the address in the configuration")
    if status in (401, 403, 407):
        raise DeniedError(
            f"{host} does not let us read the advisories (status {status})", "check the address and access"
        )
    raise UnreachableError(f"{host} answered with status {status}", "run the same command again later")
