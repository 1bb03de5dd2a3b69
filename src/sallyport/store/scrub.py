"""Reads every blob again, slowly, while the store is in use, to find rot before somebody needs the bytes.

No lock keeps a writer or a collector out. So a blob may vanish or be replaced at any moment: what is gone is nobody's
fault, and what is taken away is read once more where it lies then, and put back if it is good.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sallyport.engine import Clock, SystemClock, exclusive, fsync_folder, parse_time, render_time
from sallyport.errors import DamagedError, LockedError, MissingBlobError, SallyportError
from sallyport.oci import CHUNK, Digest, Hasher, parse_json, render_json, verified
from sallyport.store.interface import Quarantining
from sallyport.store.store import Store

log = logging.getLogger("sallyport.store")

QUARANTINE = "quarantine"
"""The folder of the store where damaged blobs lie, under the digest that they do not have."""
_KIND, _KEY = "store.scrub", "position"
_NOTE_EVERY_S = 30.0
_LOCK = ".scrub.lock"
_RETRY_S = 600.0


@dataclass(frozen=True, slots=True)
class Position:
    """How far the present round has come; the next one begins when its time has come."""

    began: datetime
    after: str  # the digest that was read last; empty: the round begins
    done: bool
    checked: int
    damaged: int


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What one call found."""

    checked: int  # blobs
    bytes: int
    damaged: tuple[Digest, ...]
    finished: bool  # the round; false where somebody asked to stop


class Pace:
    """Sleeps so that no more than so many bytes go by in a second."""

    def __init__(
        self,
        rate: int,
        sleep: Callable[[float], object] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``rate`` is in bytes for a second; 0 is no limit."""
        self._rate, self._sleep, self._now = rate, sleep, now
        self._free_at = now()

    def passed(self, size: int) -> None:
        """Say that ``size`` bytes went by."""
        if self._rate:
            # Time that was not used is not saved up: after a pause nothing is read in a hurry.
            self._free_at = max(self._free_at, self._now()) + size / self._rate
            self._sleep(max(0.0, self._free_at - self._now()))


def scrub_once(
    store: Store,
    *,
    now: Callable[[], datetime],
    pace: Pace | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Scrubbed:
    """Go on with the round that was begun, or begin one; a kill costs half a minute's reading.

    A damaged blob is moved to ``quarantine/``, and the journal says ``quarantined``. Then it is missing, and is fetched
    again by whatever mirrors, receives or pushes its image.
    """
    position = read_position(store)
    if position is None or position.done:
        position = Position(now(), "", done=False, checked=0, damaged=0)
    damaged: list[Digest] = []
    checked = size = 0
    noted = time.monotonic()
    for digest in sorted(digest for digest in store.blobs.digests() if str(digest) > position.after):
        if stop():
            _note(store, position)
            return Scrubbed(checked, size, tuple(damaged), finished=False)
        try:
            read, why = _look(store, digest, pace or Pace(0), stop)
        except _StoppedError:
            _note(store, position)
            return Scrubbed(checked, size, tuple(damaged), finished=False)
        if why and _quarantine(store, digest, why):
            damaged.append(digest)
            position = _ahead(position, position.after, damaged=1)
        checked, size = checked + 1, size + read
        position = _ahead(position, str(digest), checked=1)
        if why or time.monotonic() - noted > _NOTE_EVERY_S:
            _note(store, position)
            noted = time.monotonic()
    _note(store, Position(position.began, "", done=True, checked=position.checked, damaged=position.damaged))
    return Scrubbed(checked, size, tuple(damaged), finished=True)


def read_position(store: Store) -> Position | None:
    """How far it has come; None where nothing was ever scrubbed, or the note cannot be read."""
    raw = store.state.fact(_KIND, _KEY)
    if raw is None:
        return None
    try:
        noted = parse_json(raw, what="the scrub's position")
        if not isinstance(noted, dict):
            return None
        return Position(
            parse_time(str(noted["began"])),
            str(noted["after"]),
            done=bool(noted["done"]),
            checked=int(str(noted["checked"])),
            damaged=int(str(noted["damaged"])),
        )
    except (SallyportError, KeyError, ValueError):
        return None


@contextmanager
def scrubbing(store: Store, *, every: timedelta, rate: int, clock: Clock = SystemClock()) -> Iterator[None]:  # noqa: B008 - an immutable value
    """Scrub in a thread while the block runs: one round in each ``every``, at most ``rate`` bytes in a second."""
    stop = threading.Event()
    thread = threading.Thread(target=_run, args=(store, every, rate, clock, stop), name="scrub", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _run(store: Store, every: timedelta, rate: int, clock: Clock, stop: threading.Event) -> None:
    while not stop.is_set():
        wait = _RETRY_S
        try:
            # Of several servers over one store one scrubs.
            with exclusive(store.root / _LOCK, timeout_s=0.0):
                position = read_position(store)
                if position is None or not position.done or clock.now() >= position.began + every:
                    found = scrub_once(store, now=clock.now, pace=Pace(rate, stop.wait), stop=stop.is_set)
                    if found.finished:
                        log.info("scrubbed", extra={"blobs": found.checked, "damaged": len(found.damaged)})
        except LockedError:
            pass
        except SallyportError as error:
            log.warning("scrub_interrupted", extra={"why": error.message})
        except Exception:
            # The next try may do better, and a registry without its scrub still serves.
            log.exception("scrub_failed")
        stop.wait(wait)


class _StoppedError(Exception):
    """Ends the reading of a large blob."""


def _look(store: Store, digest: Digest, pace: Pace, stop: Callable[[], bool]) -> tuple[int, str]:
    """How many bytes were read, and what is wrong with them; empty where nothing is, or they are gone."""
    read = 0
    try:
        for chunk in verified(store.blobs.chunks(digest), digest, store.blobs.size(digest)):
            read += len(chunk)
            pace.passed(len(chunk))
            if stop():
                raise _StoppedError
    except MissingBlobError:
        return read, ""
    except DamagedError as error:
        return read, error.message
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return read, f"{digest} cannot be read: {error.strerror}"
    return read, ""


def _quarantine(store: Store, digest: Digest, why: str) -> bool:
    """Take it away; returns whether it was damaged indeed."""
    path = store.blobs.path(digest)
    moved = ""
    if path is not None:
        folder = store.root / QUARANTINE
        folder.mkdir(exist_ok=True)
        target = folder / f"{digest.algorithm}-{digest.hex}"
        try:
            path.rename(target)
        except FileNotFoundError:
            return False
        fsync_folder(folder)
        fsync_folder(path.parent)
        if _is_good(target, digest):
            # Somebody had put it anew since it was read.
            _back(target, path)
            return False
        moved = str(target.relative_to(store.root))
    elif isinstance(store.blobs, Quarantining):
        moved = store.blobs.quarantine(digest)
    log.error("blob_quarantined", extra={"digest": str(digest), "why": why})
    store.state.append("quarantined", str(digest), {"why": why, "to": moved or "left where it is"})
    return True


def _is_good(path: Path, digest: Digest) -> bool:
    hasher = Hasher(digest.algorithm)
    try:
        with path.open("rb", buffering=0) as file:
            while chunk := file.read(CHUNK):
                hasher.update(chunk)
    except OSError:
        return False
    return hasher.digest() == digest


def _back(here: Path, there: Path) -> None:
    with contextlib.suppress(FileExistsError):  # put once more meanwhile
        there.hardlink_to(here)
    here.unlink()


def _ahead(position: Position, after: str, *, checked: int = 0, damaged: int = 0) -> Position:
    return Position(
        position.began, after, done=False, checked=position.checked + checked, damaged=position.damaged + damaged
    )


def _note(store: Store, position: Position) -> None:
    store.state.put_fact(
        _KIND,
        _KEY,
        render_json(
            {
                "began": render_time(position.began),
                "after": position.after,
                "done": position.done,
                "checked": position.checked,
                "damaged": position.damaged,
            }
        ),
    )
