"""Takes a reference that somebody asks the gateway for -> the image, judged and held here, or why not.

What comes from upstream is mirrored into ``incoming/REGISTRY/REPOSITORY``, which the gateway does not serve; only
what passed is held in ``REGISTRY/REPOSITORY``, the name that waivers of the policy are matched against.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from sallyport import steps, upstreams
from sallyport.errors import NotFoundError, SallyportError, StorageError
from sallyport.gate import Passed, Undecided, Verdict
from sallyport.gateway import Admitted, Rejected, Wanted, our_repository
from sallyport.ledger import Candidate, Ledger, Upstream
from sallyport.mirror import Selector, mirror
from sallyport.oci import Descriptor, Reference, reachable
from sallyport.site import Site

_INCOMING = "incoming"
_DEEP = 4  # a signature on a bill on an image


class SiteAdmit:
    """The gateway's :class:`sallyport.gateway.Admit`, by the steps of the pipeline."""

    def __init__(self, site: Site) -> None:
        """``site`` is an outside that stays open."""
        site.must_be("outside", "serve gateway")
        self._site = site
        self._one = Lock()  # scans and patches take memory, and share the archive's cache

    def admit(self, wanted: Wanted, beside: Sequence[Descriptor]) -> Admitted | Rejected:
        """Mirror, scan, patch where that is preferred, judge, hold.

        Raises:
            NotFoundError, UnreachableError: upstream does not have it, or does not answer.
        """
        site = self._site
        repository = our_repository(wanted.reference)
        # The lease keeps the collector out until everything that was made is held.
        with site.store.lease():
            upstream = self._fetch(wanted, f"{_INCOMING}/{repository}")
            try:
                with self._one:
                    candidate, verdict = self._judge(wanted, upstream, repository, beside)
            except StorageError:
                raise
            except SallyportError as error:
                # Whatever keeps us from knowing is a refusal: no scanner, no archive, an image nobody can read.
                candidate = Candidate(upstream, upstream.descriptor, ())
                verdict = Undecided((f"it could not be scanned: {error.message}",))
            name = f"{repository}:{wanted.name}@{candidate.descriptor.digest}"
            changed = Ledger(site.store.state).put_verdict(repository, candidate.descriptor.digest, verdict)
            detail = {"upstream": upstream.reference, "because": "; ".join(verdict.because)[:2000]}
            if not isinstance(verdict, Passed):
                if changed:
                    site.store.state.append("denied", name, detail)
                return Rejected(verdict.because)
            self._hold(upstream.repository, repository, candidate.descriptor)
            if wanted.reference.tag:
                site.store.state.set_tag(repository, wanted.reference.tag, candidate.descriptor)
            if changed:
                site.store.state.append("admitted", name, detail)
        return Admitted(repository, candidate.descriptor)

    def standing(self, repository: str, descriptor: Descriptor) -> tuple[str, ...]:
        """What the policy says today of the newest scans; their age counts, too."""
        known = Ledger(self._site.store.state).verdict(repository, descriptor.digest)
        if not isinstance(known, Passed):
            return known.because if known is not None else ("it was never judged",)
        verdict = steps.judge_image(self._site, repository, descriptor)
        return () if isinstance(verdict, Passed) else verdict.because

    def _fetch(self, wanted: Wanted, into: str) -> Upstream:
        reference, site = wanted.reference, self._site
        source = Reference(reference.registry, reference.repository)
        digests = () if reference.digest is None else (reference.digest,)
        tags = (reference.tag,) if reference.tag else ()
        # What is named by its digest comes as it is: with fewer platforms it would be something else.
        platforms = () if digests else wanted.allow.platforms
        selector = Selector(source, tags, platforms, into, digests)
        with site.clients() as client_for:
            found = mirror(
                client_for,
                (selector,),
                site.store,
                executor=site.executor,
                progress=site.progress,
                check=upstreams.trust_check(site),
            )
        if not found:
            raise NotFoundError(f"{reference} is not there", "check its name")
        one = found[0]
        return Upstream(into, one.tag, f"{source}:{one.tag}@{one.descriptor.digest}", one.descriptor)

    def _judge(
        self, wanted: Wanted, upstream: Upstream, repository: str, beside: Sequence[Descriptor]
    ) -> tuple[Candidate, Verdict]:
        site, name = self._site, upstream.name
        with site.archive() as archive:
            again = [(f"{repository}@{one.digest}", one) for one in beside]
            steps.scan_images(site, archive, [(name, upstream.descriptor), *again])
            candidate = Candidate(upstream, upstream.descriptor, ())
            if wanted.allow.prefer == "patched" and wanted.reference.digest is None:
                candidate = steps.patch_candidate(site, archive, upstream)
                if candidate.changed:
                    steps.scan_images(site, archive, [(name, candidate.descriptor)])
        return candidate, steps.judge_image(site, repository, candidate.descriptor, candidate.problem)

    def _hold(self, incoming: str, repository: str, descriptor: Descriptor) -> None:
        """The image, and what is said about it and its children."""
        site = self._site
        steps.hold(site, repository, descriptor)
        found = {one.digest for one in reachable(site.store.blobs, descriptor)}
        about = [one for one in site.store.state.manifests(incoming) if one.subject is not None]
        for _ in range(_DEEP):
            for one in about:
                if one.subject in found and one.descriptor.digest not in found:
                    found.add(one.descriptor.digest)
                    site.store.state.hold(repository, one.descriptor, subject=one.subject)
