"""Takes a site -> gives what it mirrors, whose word counts for it, and the copies."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sallyport.config import DiscoverSection
from sallyport.discover import Wanted
from sallyport.engine import Inline
from sallyport.errors import ConfigError, DamagedError, SallyportError, StorageError, UsageError
from sallyport.mirror import Mirrored, Selector
from sallyport.site import Site
from sallyport.vouch import Check, Need, Rule, UpstreamKey, make_check

_TRUST_FILE = 4 * 1024 * 1024  # bytes; sigstore's public trusted root has 7,000


def selectors(site: Site) -> tuple[Selector, ...]:
    from sallyport.mirror import locate, make_selector

    return tuple(
        make_selector(
            locate(section.source, site.root),
            section.tags,
            platforms=section.parsed_platforms(),
            to=section.to,
            digests=section.digests,
            deny=section.deny,
            immutable=section.immutable,
            require=section.require,
            attachments=section.attachments,
            newest=section.newest or 0,
        )
        for section in site.config.outside.mirror
    ) + tuple(
        make_selector(one.source, one.tags, digests=one.digests, platforms=section.parsed_platforms(), to=one.to)
        for section in site.config.outside.discover
        for one in found_in(site, section)
    )


def found_in(site: Site, section: DiscoverSection) -> tuple[Wanted, ...]:
    """What ``section`` finds now; what looked like an image and was none is said."""
    from sallyport.discover import discover, wanted

    found = discover(
        section.source,
        kind=section.kind,
        values=tuple(site.path(text) for text in section.values),
        only=section.only,
        note=lambda noted: site.progress.say(f"note: {noted.where}: {noted.why}"),
        root=site.root,
    )
    return wanted(found, to=section.to)


@dataclass(frozen=True, slots=True)
class Failure:
    """Something that failed while other things went on."""

    what: str
    error: str  # the class of the error
    message: str
    mend: str
    exit_code: int
    image: str = ""  # repository:tag of ours, where it concerns one

    @classmethod
    def of(cls, what: str, error: SallyportError) -> Failure:
        return cls(what, type(error).__name__, error.message, error.mend, error.exit_code)


def trust_rules(site: Site) -> tuple[Rule, ...]:
    """What upstream's images must bring, with the files that the rules name.

    Raises:
        ConfigError: a file cannot be read, is none of its kind, or a rule cannot be met.
    """

    def read(text: str) -> bytes:
        path = site.path(text)
        try:
            with path.open("rb") as file:
                raw = file.read(_TRUST_FILE + 1)
        except OSError as error:
            raise ConfigError(
                f"trust: cannot read {path}: {error.strerror}", "correct the path under trust:"
            ) from error
        if len(raw) > _TRUST_FILE:
            raise ConfigError(f"trust: {path} is larger than {_TRUST_FILE} bytes", "name the right file under trust:")
        return raw

    rules: list[Rule] = []
    for section in site.config.outside.trust:
        try:
            rules.append(
                Rule(
                    section.images,
                    Need(section.require),
                    tuple(UpstreamKey(read(name).decode("ascii", errors="replace")) for name in section.keys),
                    read(section.trusted_root) if section.trusted_root else b"",
                    section.issuer,
                    section.identity,
                    tuple(read(name).decode("ascii", errors="replace") for name in section.certificates),
                    section.subjects,
                    section.attestations,
                )
            )
        except (UsageError, DamagedError) as error:
            raise ConfigError(f"trust: {section.images}: {error.message}", error.mend) from error
    return tuple(rules)


def trust_check(site: Site) -> Check | None:
    """Who vouches for an image from upstream; None where the configuration asks for nobody.

    Raises ConfigError as :func:`trust_rules` does, and where a file that a rule names is none of its kind.
    """
    rules = trust_rules(site)
    try:
        return make_check(rules, site.store.blobs, now=site.clock.now()) if rules else None
    except (UsageError, DamagedError) as error:
        raise ConfigError(f"trust: {error.message}", error.mend) from error


def mirror_all(site: Site) -> tuple[tuple[Mirrored, ...], tuple[Failure, ...]]:
    """Every selector; those that fail are told beside the others' results."""
    from sallyport.mirror import mirror as copy

    wanted = selectors(site)
    check = trust_check(site)
    within = site.executor if len(wanted) == 1 else Inline()
    with site.clients() as client_for:

        def one(selector: Selector) -> tuple[tuple[Mirrored, ...], tuple[Failure, ...]]:
            failures: list[Failure] = []
            source = selector.files or str(selector.source)

            def note(name: str, error: SallyportError) -> None:
                if isinstance(error, StorageError):
                    raise error  # a full disk is nobody's own fault, and everybody's end
                failures.append(replace(Failure.of(source, error), image="" if name == source else name))

            done = copy(
                client_for,
                (selector,),
                site.store,
                executor=within,
                progress=site.progress,
                check=check,
                failed=note,
            )
            return done, tuple(failures)

        outcomes = tuple(site.executor.map(one, wanted))
    return tuple(m for done, _ in outcomes for m in done), tuple(f for _, failures in outcomes for f in failures)
