"""The verb ``gc``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sallyport.cli.options import DEFAULT_CONFIG, ConfigOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from sallyport.config import RetentionSection
    from sallyport.site import Site
    from sallyport.store import Retention, RetentionRule


def command(
    config: ConfigOption = DEFAULT_CONFIG,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    retention: Annotated[
        bool,
        typer.Option("--retention", help="First let go what the configuration's retention does not keep."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove blobs that no tag, manifest, release or feed refers to.

    With --retention, tags go first that the rules do not keep, and then manifests that no tag reaches any more.

    Example: sallyport gc --retention --dry-run

    Exit codes: 0 done, 2 usage, 3 damaged bytes, 5 the bucket is unreachable, 6 the store is held by another process.
    """
    from sallyport.cli.output import show, size
    from sallyport.errors import ConfigError
    from sallyport.ledger import Ledger
    from sallyport.site import open_site
    from sallyport.store import collect_garbage

    with open_site(config) as site:
        rules = site.config.retention
        if retention and not rules:
            raise ConfigError("the configuration has no retention", "say which tags stay; see retention in it")
        ledger = Ledger(site.store.state)
        collected = collect_garbage(
            site.store,
            roots=sorted(ledger.referred().digests) if retention else ledger.roots(),
            dry_run=dry_run,
            untagged=retention,
            within=lambda repository: any(_fits(rule, repository) for rule in rules),
            retention=_plan(site) if retention else None,
        )
    verb, gone = ("would free", "would go") if dry_run else ("freed", "went")
    note = f"{verb} {size(collected.bytes)} in {len(collected.digests)} blobs"
    if retention:
        note = f"{len(collected.tags)} tags and {collected.let_go} manifests {gone}\n{note}"
    show(
        collected,
        as_json=as_json,
        headers=("tag", "digest", "rule", "why"),
        rows=[(f"{one.repository}:{one.tag}", one.digest.hex[:12], one.rule, one.reason) for one in collected.tags],
        note=note,
    )


def _fits(rule: RetentionSection, repository: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(repository, rule.images)


def _plan(site: Site) -> Callable[[], Retention]:
    """Makes the plan when it is called: while no writer is at work."""
    from sallyport.ledger import Ledger
    from sallyport.store import reach, retain

    store = site.store
    rules = [_rule(number, section) for number, section in enumerate(site.config.retention, 1)]

    def plan() -> Retention:
        return retain(
            [tag for repository in store.state.repositories() for tag in store.state.tags(repository)],
            rules,
            site.clock.now(),
            Ledger(store.state).referred(),
            reach=lambda tag: reach(store.blobs, [tag.descriptor]),
        )

    return plan


def _rule(number: int, section: RetentionSection) -> RetentionRule:
    from sallyport.config import duration
    from sallyport.mirror import select_tags
    from sallyport.store import RetentionRule

    return RetentionRule(
        f"{number}: {section.images}",
        lambda repository, tag: (
            _fits(section, repository) and (not section.tags or bool(select_tags(section.tags, (tag,))))
        ),
        section.keep_newest,
        duration(section.keep_for) if section.keep_for else None,
    )
