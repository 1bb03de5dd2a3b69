"""Which tags go, by rules: tags, rules and what others refer to in -> a plan out; nothing is done here.

The first rule that fits a tag counts; a tag that no rule fits stays. Of the tags of one repository and one rule the
newest so many stay, and those that changed in the last so much time; a rule that says neither lets nothing go.
What is immutable, or names the same image as something immutable or as something that is referred to, always stays.
Signatures and other attachments under a tag of their own follow their image.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sallyport.oci import Digest
from sallyport.store.model import LetGo, Tag

# Source: cosign's tag scheme (sha256-….sig, .att, .sbom), and OCI distribution-spec 1.1, "Referrers Tag Schema".
_ATTACHED = re.compile(r"(sha256-[0-9a-f]{64}|sha512-[0-9a-f]{64}(?:[0-9a-f]{64})?)(?:\.[a-z0-9]+)?\Z")
Reach = Callable[[Tag], Collection[Digest]]


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """One rule; ``fits`` is asked with a repository and a tag."""

    name: str
    fits: Callable[[str, str], bool]
    keep_newest: int | None = None
    keep_for: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Protected:
    """What always stays, whatever the rules say."""

    digests: frozenset[Digest] = frozenset()
    names: frozenset[str] = frozenset()  # repository:tag


@dataclass(frozen=True, slots=True)
class Retention:
    """The plan: attachments before their images, so that a stop in between leaves nothing behind for good."""

    going: tuple[LetGo, ...]
    staying: int


def retain(
    tags: Iterable[Tag],
    rules: Sequence[RetentionRule],
    now: datetime,
    protected: Protected = Protected(),
    *,
    reach: Reach = lambda tag: (tag.descriptor.digest,),
) -> Retention:
    """What the rules let go of ``tags``; ``reach`` says what a tag's image consists of, itself included."""
    by_repository: dict[str, list[Tag]] = {}
    for tag in tags:
        by_repository.setdefault(tag.repository, []).append(tag)
    going: list[LetGo] = []
    for repository in sorted(by_repository):
        going += _of_repository(by_repository[repository], rules, now, protected, reach)
    return Retention(tuple(going), sum(map(len, by_repository.values())) - len(going))


def _of_repository(
    tags: list[Tag], rules: Sequence[RetentionRule], now: datetime, protected: Protected, reach: Reach
) -> list[LetGo]:
    safe = protected.digests | {tag.descriptor.digest for tag in tags if tag.immutable}

    def stays(tag: Tag) -> bool:
        named = f"{tag.repository}:{tag.name}" in protected.names
        return tag.immutable or named or tag.descriptor.digest in safe

    attached = _attached(tags)
    groups: dict[int, list[Tag]] = {}
    for tag in tags:
        if tag.name not in attached:
            number = next((at for at, rule in enumerate(rules) if rule.fits(tag.repository, tag.name)), None)
            if number is not None:
                groups.setdefault(number, []).append(tag)
    images = [
        LetGo(tag.repository, tag.name, tag.descriptor.digest, rules[number].name, why)
        for number in sorted(groups)
        for tag, why in _judged(groups[number], rules[number], now)
        if not stays(tag)
    ]
    return _followers(tags, images, safe, stays, reach) + images


def _judged(tags: list[Tag], rule: RetentionRule, now: datetime) -> list[tuple[Tag, str]]:
    """The tags that ``rule`` lets go, and why."""
    if rule.keep_newest is None and rule.keep_for is None:
        return []
    gone: list[tuple[Tag, str]] = []
    # Two of the same moment are in an order all the same, and in the same one each time.
    for place, tag in enumerate(sorted(tags, key=lambda tag: (tag.set_at, tag.name), reverse=True), 1):
        reasons: list[str] = []
        if rule.keep_newest is not None:
            if place <= rule.keep_newest:
                continue
            reasons.append(f"number {place}, and the newest {rule.keep_newest} stay")
        if rule.keep_for is not None:
            if now - tag.set_at <= rule.keep_for:
                continue
            reasons.append(f"unchanged for {(now - tag.set_at).days} days")
        gone.append((tag, "; ".join(reasons)))
    return gone


def _followers(
    tags: list[Tag],
    images: list[LetGo],
    safe: frozenset[Digest],
    stays: Callable[[Tag], bool],
    reach: Reach,
) -> list[LetGo]:
    """Attachments whose image goes and is not what another tag that stays consists of; theirs, too."""
    attached = _attached(tags)
    if not images or not attached:
        return []
    lost = {one.tag: one.rule for one in images}
    reached = {tag.name: {_tag_form(digest) for digest in reach(tag)} for tag in tags}
    kept = {_tag_form(digest) for digest in safe}
    followers: list[LetGo] = []
    while True:
        needed = kept.union(*(reached[tag.name] for tag in tags if tag.name not in lost))
        more = [
            LetGo(tag.repository, tag.name, tag.descriptor.digest, rule, "attached to an image that goes")
            for tag in tags
            if tag.name in attached and tag.name not in lost and not stays(tag) and attached[tag.name] not in needed
            if (rule := next((lost[name] for name in lost if attached[tag.name] in reached[name]), None)) is not None
        ]
        if not more:
            return followers
        followers = more + followers
        lost |= {one.tag: one.rule for one in more}


def _attached(tags: Iterable[Tag]) -> dict[str, str]:
    """Tags of attachments, each with the digest that it is about, in the form that such tags have."""
    return {tag.name: match[1] for tag in tags if (match := _ATTACHED.match(tag.name))}


def _tag_form(digest: Digest) -> str:
    return f"{digest.algorithm}-{digest.hex}"
