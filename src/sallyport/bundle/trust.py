"""What the inside knows about the gap: the root it trusts, and how far it has come. Torn, it refuses everything.

``trust/`` holds ``N.root.json`` for every root since the one that an operator imported, and ``state.json``
with the high-water mark. Nothing here is ever made anew by itself: a missing or damaged file could be an
attempt to have an old bundle received again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from sallyport.bundle.errors import (
    NoTrustError,
    ReplayedBundleError,
    TrustDamagedError,
    TrustExistsError,
    TwoBundlesError,
    WrongFingerprintError,
)
from sallyport.bundle.model import Position
from sallyport.bundle.name import bundle_name
from sallyport.bundle.profile import ROOT_LIMIT, RootFile, read_shape
from sallyport.bundle.roots import RootChain, fingerprint, follow, verify_roots
from sallyport.engine import exclusive, storage_error, write_file
from sallyport.errors import DamagedError, SallyportError, UntrustedError
from sallyport.oci import Digest, decode, encode, render_json

START = Position(0, 0)
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)
"""How far past the inside's own clock a signed time may push the stored one: a slip of the outside's clock
by years would otherwise make every later bundle look expired."""
_STATE = "state.json"
_LIMIT = 64 * 1024  # bytes
_MEND = (
    "do not make it anew: restore the folder from a backup and compare its position with the newest receipt, "
    "or have an operator remove it and import the root again with that position"
)


@dataclass(frozen=True, slots=True)
class HighWater:
    """How far this side has come. Only ever rises."""

    format: int
    destination: str
    first_root: int  # version of the root that was imported by hand
    root: int  # version of the newest one
    position: Position  # of the newest bundle whose import was begun
    bundle: Digest | None  # of that bundle's signed statement
    complete: bool  # whether its import was finished
    time: datetime  # the latest that a signed source has proven


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a reader trusts before it opens a bundle."""

    roots: RootChain
    time: datetime = NO_TIME

    @classmethod
    def of(cls, root: bytes) -> Self:
        """Trust one root's file, for a check without any stored state: on the outside, or of a found medium."""
        version = read_shape(root, RootFile, what="the trusted root", limit=ROOT_LIMIT).signed.version
        return cls(verify_roots((root,), first=version))


class TrustStore:
    """The folder, opened. Safe for several processes; every change is on the disk before it returns."""

    def __init__(self, folder: Path, state: HighWater, roots: RootChain) -> None:
        self.folder = folder
        self._state = state
        self._roots = roots

    @classmethod
    def create(cls, folder: Path, root: bytes, *, expect: str, received: Position = START) -> TrustStore:
        """Import the first ``root`` by hand.

        ``expect`` is its fingerprint, told by another way than the root itself; ``received`` is the position of
        the newest bundle that this destination has received already, for an inside that is built again.

        Raises:
            WrongFingerprintError: it is another root.
            TrustExistsError: there is one already.
        """
        actual = fingerprint(root)
        if actual != expect.strip().lower().removeprefix("sha256:"):
            raise WrongFingerprintError(
                f"the root has the fingerprint {actual}, not {expect[:80]}",
                "compare it with the outside by telephone or on paper; use the root only when they agree",
            )
        version = read_shape(root, RootFile, what="the root", limit=ROOT_LIMIT).signed.version
        chain = verify_roots((root,), first=version)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, folder) from error
        with exclusive(folder / ".lock"):
            if (folder / _STATE).exists() or any(folder.glob("*.root.json")):
                raise TrustExistsError(
                    f"a root is trusted in {folder} already",
                    "a new root comes with the bundles, signed by the old one; nothing need be imported",
                )
            # The state first: with a root and no state, an open would have to guess how far this side had come.
            state = HighWater(1, chain.destination, version, version, received, None, True, NO_TIME)
            _write_state(folder, state)
            write_file(folder / f"{version}.root.json", root)
        return cls(folder, state, chain)

    @classmethod
    def open(cls, folder: Path) -> TrustStore:
        """Read what is trusted here.

        Raises:
            NoTrustError: nothing has been imported yet.
            TrustDamagedError: the state or a root is missing, torn or does not fit the others.
        """
        state = _read_state(folder)
        return cls(folder, state, _read_chain(folder, state))

    @property
    def destination(self) -> str:
        return self._state.destination

    @property
    def position(self) -> Position:
        """The newest that needs no more work: bundles after it wait to be received, or to be gone on with."""
        at = self._state.position
        return at if self._state.complete else Position(at.epoch, at.sequence - 1)

    @property
    def begun(self) -> Position:
        """Of the newest bundle whose import was begun; nothing before it is received any more."""
        return self._state.position

    @property
    def complete(self) -> bool:
        """Whether that import was finished."""
        return self._state.complete

    @property
    def time(self) -> datetime:
        """The latest time that a signed source has proven; 1970 where none has."""
        return self._state.time

    @property
    def fingerprint(self) -> str:
        """Of the newest trusted root."""
        return fingerprint(self._roots.raws[-1])

    @property
    def anchor(self) -> Anchor:
        return Anchor(self._roots, self._state.time)

    def check(self, position: Position, bundle: Digest) -> None:
        """Whether a bundle may be received: it is newer, or it is the one whose import was broken off.

        Raises:
            ReplayedBundleError: it, or a newer one, has been received.
            TwoBundlesError: another bundle of this position was begun.
        """
        state = self._state
        name = bundle_name(state.destination, position)
        if position > state.position:
            return
        if position < state.position:
            raise ReplayedBundleError(
                f"{name} is older than {bundle_name(state.destination, state.position)}, which has been received",
                "use the newest bundle; if the outside has lost its count, let it start a new epoch",
            )
        if state.bundle != bundle and state.bundle is not None:
            raise TwoBundlesError(
                f"another bundle has been received as {name}",
                "keep both media as evidence; ask the approvers which one they signed, and for a new bundle",
            )
        if state.complete:
            raise ReplayedBundleError(f"{name} has been received already", "nothing is left to do with it")

    def renew(self, chain: RootChain) -> None:
        """Keep the newer roots of a proven ``chain``; from now on older keys have no say.

        Raises:
            RolledBackRootError, ForeignRootError: it does not continue what is trusted.
        """
        with self._changing():
            follow(chain, self._roots)
            if chain.version == self._roots.version:
                return
            for version in range(self._roots.version + 1, chain.version + 1):
                write_file(self.folder / f"{version}.root.json", chain.at(version))
            state = replace(self._state, root=chain.version)
            _write_state(self.folder, state)
            self._state, self._roots = state, _read_chain(self.folder, state)

    def begin(self, position: Position, bundle: Digest) -> None:
        """Raise the mark before anything is imported: from here on no older bundle is received.

        Raises as :meth:`check` does.
        """
        with self._changing():
            self.check(position, bundle)
            state = replace(self._state, position=position, bundle=bundle, complete=False)
            _write_state(self.folder, state)
            self._state = state

    def finish(self, position: Position, bundle: Digest, *, signed_at: datetime, now: datetime) -> None:
        """The import is complete. ``signed_at`` is the bundle's own time, ``now`` this side's clock."""
        with self._changing():
            if (position, bundle) != (self._state.position, self._state.bundle):
                raise TwoBundlesError(
                    f"{bundle_name(self.destination, position)} was overtaken by {self._state.position}",
                    "nothing is lost: receive the newest bundle",
                )
            time = max(self._state.time, min(signed_at, now + AHEAD))
            state = replace(self._state, complete=True, time=time)
            _write_state(self.folder, state)
            self._state = state

    def advance(self, signed_at: datetime, *, now: datetime) -> None:
        """Let another signed source (an archive's Release, a receipt) prove that it is at least that late."""
        with self._changing():
            time = min(signed_at, now + AHEAD)
            if time > self._state.time:
                state = replace(self._state, time=time)
                _write_state(self.folder, state)
                self._state = state

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with exclusive(self.folder / ".lock"):
            # Another process may have gone on since this was opened.
            self._state = _read_state(self.folder)
            self._roots = _read_chain(self.folder, self._state)
            yield


def _write_state(folder: Path, state: HighWater) -> None:
    body = encode(state)
    check = hashlib.sha256(body).hexdigest().encode()
    write_file(folder / _STATE, b'{"sha256":"%s","state":%s}' % (check, body))


def _read_state(folder: Path) -> HighWater:
    path = folder / _STATE
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
    except FileNotFoundError as error:
        if any(folder.glob("*.root.json")):
            raise TrustDamagedError(f"{path} is missing", _MEND) from error
        raise NoTrustError(
            f"no root is trusted in {folder}",
            "import the destination's root: sallyport key trust ROOT --fingerprint FINGERPRINT",
        ) from error
    except OSError as error:
        raise TrustDamagedError(f"cannot read {path}: {error.strerror}", _MEND) from error
    try:
        sealed = decode(raw, _Sealed, what=str(path), limit=_LIMIT)
        body = encode(sealed.state)
    except SallyportError as error:
        raise TrustDamagedError(f"{path} is torn or was changed", _MEND) from error
    if (
        sealed.sha256 != hashlib.sha256(body).hexdigest()
        or render_json({"sha256": sealed.sha256})[:-1] + (b',"state":' + body + b"}") != raw
    ):
        raise TrustDamagedError(f"{path} is torn or was changed", _MEND)
    return sealed.state


@dataclass(frozen=True, slots=True)
class _Sealed:
    sha256: str
    state: HighWater


def _read_chain(folder: Path, state: HighWater) -> RootChain:
    raws = []
    for version in range(state.first_root, state.root + 1):
        path = folder / f"{version}.root.json"
        try:
            with path.open("rb") as file:
                raws.append(file.read(ROOT_LIMIT + 1))
        except OSError as error:
            raise TrustDamagedError(f"{path} is missing or unreadable", _MEND) from error
    try:
        chain = verify_roots(raws, first=state.first_root)
    except (UntrustedError, DamagedError) as error:
        raise TrustDamagedError(f"{folder}: {error.message}", _MEND) from error
    if chain.destination != state.destination:
        raise TrustDamagedError(f"the roots in {folder} are for {chain.destination}, not {state.destination}", _MEND)
    return chain
