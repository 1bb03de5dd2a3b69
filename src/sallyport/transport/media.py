"""A folder on a medium that somebody carries: a USB disk, a tape's staging area, a share that both sides reach.

Bundles lie in the folder by their names, receipts below ``receipts/``. The medium may be read-only for the inside,
but then the receipt has to travel another way. FAT and exFAT will do: no links, no modes, lower-case names.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport.bundle import (
    RECEIPT_LIMIT,
    RECEIPT_SUFFIX,
    Position,
    parse_bundle_name,
    parse_receipt_name,
    pour,
)
from sallyport.engine import TEMPORARY_PREFIX, fsync_folder, storage_error
from sallyport.errors import ConflictError, DiskFullError, StorageError, UsageError
from sallyport.oci import CHUNK
from sallyport.transport.interface import Transport

RECEIPTS = "receipts"
MAX_RECEIPTS = 10_000  # that are looked at; a bound against a hostile medium
_SPARE = 1024 * 1024  # bytes for folders


class MediaTransport:
    """A :class:`Transport` in the folder ``address``."""

    def __init__(self, address: str) -> None:
        self.root = Path(address)

    @property
    def outgoing(self) -> Path:
        return self.root

    def deliver(self, bundle: Path) -> None:
        """Copy ``bundle`` to the medium, unless it was written there in the first place.

        Raises:
            UsageError: it has no bundle's name.
            ConflictError: something else has that name on the medium.
            DiskFullError: it does not fit; nothing is left of it.
        """
        target = self.root / bundle.name
        if bundle.resolve() == target.resolve():
            return
        if parse_bundle_name(bundle.name) is None:
            raise UsageError(f"{bundle} has no bundle's name", "give the folder of a sealed bundle")
        if target.exists():
            if _sizes(target) == _sizes(bundle):
                return
            raise ConflictError(f"{target} is there already, and is another bundle", "remove it, if nobody needs it")
        sizes = _sizes(bundle)
        self._make_root()
        free, needed = shutil.disk_usage(self.root).free, sum(sizes.values()) + _SPARE + 4096 * len(sizes)
        if needed > free:
            raise DiskFullError(
                f"{bundle.name} needs {needed:,} bytes on {self.root}, where {free:,} are free",
                "free space or use a larger medium",
            )
        temporary = self.root / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            for path in sizes:
                _copy(bundle / path, temporary / path)
            for folder in [temporary, *(path for path in temporary.rglob("*") if path.is_dir())]:
                fsync_folder(folder)
            temporary.rename(target)
            fsync_folder(self.root)
        except OSError as error:
            raise storage_error(error, target) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def waiting(self, destination: str, *, after: Position) -> tuple[Path, ...]:
        found: list[tuple[Position, Path]] = []
        for path in self._entries(self.root):
            named = parse_bundle_name(path.name)
            if named is not None and named[0] == destination and named[1] > after and path.is_dir():
                found.append((named[1], path))
        return tuple(path for _, path in sorted(found))

    def put_receipt(self, receipt: Path) -> None:
        """Copy the receipt, whole or not at all.

        Raises:
            UsageError: it has no receipt's name.
            StorageError: the medium cannot be written.
        """
        if parse_receipt_name(receipt.name) is None:
            raise UsageError(f"{receipt} has no receipt's name", f"it ends in {RECEIPT_SUFFIX}")
        folder = self.root / RECEIPTS
        temporary = folder / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _copy(receipt, temporary)
            temporary.replace(folder / receipt.name)
            fsync_folder(folder)
        except OSError as error:
            raise StorageError(
                f"cannot write the receipt to {folder}: {error.strerror or error}",
                f"carry {receipt} back another way: the next bundle needs it to leave out what is here",
            ) from error
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def receipts(self) -> Iterator[tuple[str, bytes]]:
        """Newest name first; what is no plain file, or too large for a receipt, is passed over."""
        named = [
            (found, path) for path in self._entries(self.root / RECEIPTS) if (found := parse_receipt_name(path.name))
        ]
        for _, path in sorted(named, key=lambda item: item[0], reverse=True)[:MAX_RECEIPTS]:
            raw = _read_small(path, RECEIPT_LIMIT)
            if raw is not None:
                yield str(path), raw

    def _make_root(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, self.root) from error

    def _entries(self, folder: Path) -> list[Path]:
        try:
            return list(folder.iterdir())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(
                f"cannot read {folder}: {error.strerror or error}", "put the medium in, and mount it there"
            ) from error


def _sizes(folder: Path) -> dict[str, int]:
    """Every plain file below ``folder`` with its size."""
    return {
        str(path.relative_to(folder)): status.st_size
        for path in sorted(folder.rglob("*"))
        if stat.S_ISREG((status := path.lstat()).st_mode)
    }


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb", buffering=0) as file, target.open("wb", buffering=0) as copy:
        for _ in pour(iter(lambda: file.read(CHUNK), b""), copy):
            pass
        os.fsync(copy.fileno())


def _read_small(path: Path, limit: int) -> bytes | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        return None
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        try:
            raw = file.read(limit + 1)
        except OSError:
            return None
    return raw if len(raw) <= limit else None


if TYPE_CHECKING:
    _fits: type[Transport] = MediaTransport
