"""What was admitted, and whether it still stands."""

from __future__ import annotations

import time
from datetime import datetime
from threading import Lock

from sallyport.errors import DamagedError
from sallyport.gateway.interface import Admit
from sallyport.gateway.model import Admitted, Vetted
from sallyport.oci import Descriptor, Digest, decode, encode, reachable
from sallyport.store import Store

_FACT = "gateway.vetted"
_HOLDS_S = 5.0  # how long a judgement answers by itself
_BESIDE = 8  # older images of a tag that are scanned again with it
_DEEP = 4  # a signature on a bill on an image


class Shelf:
    """Remembered in the store, and in memory. Safe for several threads; one process at a time."""

    def __init__(self, store: Store, admit: Admit) -> None:
        self._store, self._admit = store, admit
        self._lock = Lock()
        self._vetted: dict[str, dict[str, Vetted]] = {}
        self._standing: dict[tuple[str, Digest], tuple[float, tuple[str, ...]]] = {}
        self._below: dict[tuple[str, Digest], frozenset[Digest]] = {}
        for key, body in store.state.facts(_FACT):
            vetted = decode(body, Vetted, what=f"what was admitted as {key}")
            self._vetted.setdefault(vetted.repository, {})[vetted.name] = vetted

    def find(self, repository: str, name: str) -> Vetted | None:
        """What was admitted under a tag or digest."""
        with self._lock:
            return self._vetted.get(repository, {}).get(name)

    def keep(self, admitted: Admitted, origin: str, now: datetime) -> None:
        """Remember it under the name that was asked for and under its digest, the name last."""
        for name in dict.fromkeys((str(admitted.descriptor.digest), origin)):
            vetted = Vetted(admitted.repository, name, admitted.descriptor, origin, now)
            self._store.state.put_fact(_FACT, f"{admitted.repository} {name}", encode(vetted))
            with self._lock:
                self._vetted.setdefault(admitted.repository, {})[name] = vetted
                self._below.clear()

    def beside(self, repository: str, origin: str) -> tuple[Descriptor, ...]:
        """What was admitted under a name and may still be served, newest first."""
        found = sorted(
            (one for one in self._all(repository) if one.origin == origin), key=lambda one: one.checked_at, reverse=True
        )
        return tuple({one.descriptor.digest: one.descriptor for one in found}.values())[:_BESIDE]

    def standing(self, vetted: Vetted) -> tuple[str, ...]:
        """Why it must not be served now; empty where it may."""
        key = (vetted.repository, vetted.descriptor.digest)
        now = time.monotonic()
        with self._lock:
            known = self._standing.get(key)
        if known is not None and known[0] > now:
            return known[1]
        try:
            reasons = self._admit.standing(vetted.repository, vetted.descriptor)
        except DamagedError as error:
            reasons = (error.message,)
        with self._lock:
            self._standing[key] = (now + _HOLDS_S, reasons)
        return reasons

    def forget_standing(self) -> None:
        """After new scans."""
        with self._lock:
            self._standing.clear()

    def why_not(self, repository: str, digest: Digest) -> tuple[str, ...] | None:
        """Why a manifest or blob must not be served: empty where it may, None where nothing admitted has it."""
        answer: tuple[str, ...] | None = None
        for vetted in {one.descriptor.digest: one for one in self._all(repository)}.values():
            if digest in self._reached(vetted):
                answer = self.standing(vetted)
                if not answer:
                    return ()
        return answer

    def _all(self, repository: str) -> tuple[Vetted, ...]:
        with self._lock:
            return tuple(self._vetted.get(repository, {}).values())

    def _reached(self, vetted: Vetted) -> frozenset[Digest]:
        """Everything below it, with what is said about it and about that."""
        key = (vetted.repository, vetted.descriptor.digest)
        with self._lock:
            known = self._below.get(key)
        if known is not None:
            return known
        blobs, state = self._store.blobs, self._store.state
        try:
            found = {one.digest for one in reachable(blobs, vetted.descriptor)}
            held = [one for one in state.manifests(vetted.repository) if one.subject is not None]
            for _ in range(_DEEP):
                for one in held:
                    if one.subject in found and one.descriptor.digest not in found:
                        found |= {below.digest for below in reachable(blobs, one.descriptor)}
        except DamagedError:
            return frozenset()
        with self._lock:
            self._below[key] = frozenset(found)
        return frozenset(found)
