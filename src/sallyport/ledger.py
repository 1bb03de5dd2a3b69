"""What the steps of the pipeline leave for each other: typed facts in the store.

=============== ======================= ===========================================================
kind            key                     value
=============== ======================= ===========================================================
``upstream``    repository:tag          :class:`Upstream`: what was mirrored
``bill``        image digest            :class:`Bill`
``problem``     image digest            why it could not be catalogued
``scan``        image digest            :class:`Scan`
``scan.before`` patched image digest    the :class:`Scan` of the image that it replaced
``candidate``   repository:tag          :class:`Candidate`: the patched index, or the upstream one
``verdict``     repository@digest       the gate's verdict: waivers are for repositories, so it is for one, too
``release``     repository:tag          :class:`Released`
``feed``        ``current``             :class:`FeedFile`: the advisories that were last used
``held``        repository:channel      the tag of an older release that somebody rolled back to
``sealed``      destination             :class:`Sealed`: the newest bundle
``receipt``     destination/position    :class:`Receipt`
=============== ======================= ===========================================================
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from sallyport.bundle import FeedFile, Receipt, Released
from sallyport.catalog import Bill
from sallyport.gate import Verdict
from sallyport.match import Scan
from sallyport.oci import Descriptor, Digest, decode, encode
from sallyport.patch import Patched
from sallyport.store import Protected, State

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upstream:
    """A mirrored tag."""

    repository: str
    tag: str
    reference: str  # upstream's name with digest
    descriptor: Descriptor

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """What would be released under a tag: patched, or as it came."""

    upstream: Upstream
    descriptor: Descriptor
    patched: tuple[Patched, ...]
    problem: str = ""  # why it could not be patched; then it stays as it came, for the gate to judge

    @property
    def changed(self) -> bool:
        return self.descriptor.digest != self.upstream.descriptor.digest


@dataclass(frozen=True, slots=True)
class Sealed:
    """The newest bundle: its name, and the names of the releases that it brings, sorted."""

    name: str
    released: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """Facts with their types; ``put_…`` says whether anything changed."""

    state: State

    def upstreams(self) -> tuple[Upstream, ...]:
        return self._all("upstream", Upstream)

    def put_upstream(self, upstream: Upstream) -> bool:
        return self._put("upstream", upstream.name, upstream)

    def keep_upstreams(self, names: Collection[str]) -> tuple[str, ...]:
        """Forget the tags that are not in ``names``, and their candidates; returns those. Releases stay."""
        gone = [upstream.name for upstream in self.upstreams() if upstream.name not in names]
        for name in gone:
            self.state.delete_fact("upstream", name)
            self.state.delete_fact("candidate", name)
        return tuple(gone)

    def forget_upstream(self, name: str) -> bool:
        """Forget one mirrored tag and its candidate; returns whether it was there. Releases stay."""
        self.state.delete_fact("candidate", name)
        return self.state.delete_fact("upstream", name)

    def bill(self, image: Digest) -> Bill | None:
        return self._one("bill", str(image), Bill)

    def put_bill(self, bill: Bill) -> bool:
        return self._put("bill", str(bill.image), bill)

    def problem(self, image: Digest) -> str:
        """Why the image could not be catalogued; empty where it could."""
        return self._one("problem", str(image), str) or ""

    def put_problem(self, image: Digest, problem: str) -> None:
        if problem:
            self._put("problem", str(image), problem)
        else:
            self.state.delete_fact("problem", str(image))

    def scan(self, image: Digest) -> Scan | None:
        return self._one("scan", str(image), Scan)

    def put_scan(self, scan: Scan) -> bool:
        """Keep the scan; a repetition that found the same is kept with its newer time, and is no change."""
        known = self.scan(scan.image)
        self._put("scan", str(scan.image), scan)
        return known is None or replace(known, scanned_at=scan.scanned_at) != scan

    def scan_before(self, image: Digest) -> Scan | None:
        return self._one("scan.before", str(image), Scan)

    def put_scan_before(self, image: Digest, scan: Scan) -> bool:
        return self._put("scan.before", str(image), scan)

    def candidates(self) -> tuple[Candidate, ...]:
        return self._all("candidate", Candidate)

    def candidate(self, upstream: Upstream) -> Candidate | None:
        return self._one("candidate", upstream.name, Candidate)

    def put_candidate(self, candidate: Candidate) -> bool:
        return self._put("candidate", candidate.upstream.name, candidate)

    def verdict(self, repository: str, digest: Digest) -> Verdict | None:
        # A union is no class to the type checker, and is one to the decoder.
        shape: Any = Verdict
        verdict: Verdict | None = self._one("verdict", f"{repository}@{digest}", shape)
        return verdict

    def put_verdict(self, repository: str, digest: Digest, verdict: Verdict) -> bool:
        return self._put("verdict", f"{repository}@{digest}", verdict)

    def releases(self) -> tuple[Released, ...]:
        return self._all("release", Released)

    def put_release(self, released: Released) -> bool:
        return self._put("release", f"{released.repository}:{released.tag}", released)

    def roots(self) -> tuple[Digest, ...]:
        """What garbage collection must keep although no tag may name it."""
        feed = self.feed()
        roots = [released.descriptor.digest for released in self.releases()]
        roots += [candidate.descriptor.digest for candidate in self.candidates()]
        for receipt in self._all("receipt", Receipt):
            roots += [Digest.parse(name.rpartition("@")[2]) for name in receipt.imported]
        if feed is not None:
            roots.append(feed.blob.digest)
        return tuple(dict.fromkeys(roots))

    def referred(self) -> Protected:
        """What retention must leave: roots, what is still mirrored, and the tags that channels were rolled back to."""
        digests = {*self.roots(), *(upstream.descriptor.digest for upstream in self.upstreams())}
        names: set[str] = set()
        for key, body in self.state.facts("held"):
            repository, _, channel = key.rpartition(":")
            names |= {key, f"{repository}:{decode(body, str, what=f'the held tag of {channel}')}"}
        return Protected(frozenset(digests), frozenset(names))

    def feed(self) -> FeedFile | None:
        return self._one("feed", "current", FeedFile)

    def put_feed(self, feed: FeedFile) -> bool:
        return self._put("feed", "current", feed)

    def held(self, repository: str, channel: str) -> str:
        """The tag that somebody rolled the channel back to; empty where nobody did."""
        return self._one("held", f"{repository}:{channel}", str) or ""

    def put_held(self, repository: str, channel: str, tag: str) -> None:
        """An empty ``tag`` lets the channel move again."""
        if tag:
            self._put("held", f"{repository}:{channel}", tag)
        else:
            self.state.delete_fact("held", f"{repository}:{channel}")

    def sealed(self, destination: str) -> Sealed | None:
        return self._one("sealed", destination, Sealed)

    def put_sealed(self, destination: str, sealed: Sealed) -> None:
        self._put("sealed", destination, sealed)

    def put_receipt(self, receipt: Receipt) -> bool:
        return self._put("receipt", f"{receipt.destination}/{receipt.position}", receipt)

    def _put(self, kind: str, key: str, value: object) -> bool:
        body = encode(value)
        if self.state.fact(kind, key) == body:
            return False
        self.state.put_fact(kind, key, body)
        return True

    def _one(self, kind: str, key: str, shape: type[T]) -> T | None:
        body = self.state.fact(kind, key)
        return None if body is None else decode(body, shape, what=f"the {kind} of {key}")

    def _all(self, kind: str, shape: type[T]) -> tuple[T, ...]:
        return tuple(decode(body, shape, what=f"the {kind} of {key}") for key, body in self.state.facts(kind))
