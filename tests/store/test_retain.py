"""Retention lets go what its rules say, and never what something else refers to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.oci import Descriptor, Digest, Manifest, media_types
from sallyport.store import (
    Protected,
    Retention,
    RetentionRule,
    Store,
    Tag,
    collect_garbage,
    reach,
    retain,
    verify_store,
)

NOW = datetime(2026, 7, 11, 12, 0, tzinfo=UTC)


def tag(name: str, content: str = "", *, days: int = 0, immutable: bool = False, repository: str = "team/app") -> Tag:
    raw = (content or name).encode()
    descriptor = Descriptor(media_types.OCI_MANIFEST, len(raw), Digest.of(raw))
    return Tag(repository, name, descriptor, immutable, NOW - timedelta(days=days))


def rule(newest: int | None = None, days: int | None = None, prefix: str = "") -> RetentionRule:
    keep_for = None if days is None else timedelta(days=days)
    return RetentionRule(prefix or "all", lambda _, name: name.startswith(prefix), newest, keep_for)


def names(plan: Retention) -> list[str]:
    return [one.tag for one in plan.going]


def test_the_newest_stay_and_the_reason_is_said() -> None:
    plan = retain([tag("a", days=3), tag("b", days=1), tag("c", days=2)], [rule(newest=2)], NOW)

    assert names(plan) == ["a"]
    assert plan.going[0].reason == "number 3, and the newest 2 stay"
    assert plan.staying == 2


def test_what_changed_lately_stays_too() -> None:
    tags = [tag("a", days=30), tag("b", days=5), tag("c", days=1)]
    plan = retain(tags, [rule(newest=1, days=7)], NOW)
    assert names(plan) == ["a"]
    assert plan.going[0].reason == "number 3, and the newest 1 stay; unchanged for 30 days"


def test_the_first_rule_that_fits_counts_and_one_without_a_limit_keeps_all() -> None:
    tags = [tag("v1", days=9), tag("v2", days=8), tag("ci-1", days=3), tag("ci-2", days=2)]
    assert names(retain(tags, [rule(prefix="v"), rule(newest=1)], NOW)) == ["ci-1"]
    assert names(retain(tags, [rule(newest=1, prefix="ci")], NOW)) == ["ci-1"]


def test_what_is_immutable_and_every_channel_on_it_stays() -> None:
    tags = [tag("1.0-r1", "one", days=90, immutable=True), tag("stable", "one", days=80), tag("main", days=0)]
    assert names(retain(tags, [rule(newest=1)], NOW)) == []


def test_a_signature_follows_its_image_and_its_own_signature_follows_it() -> None:
    old, new = tag("old", days=9), tag("new")
    sig = tag(f"sha256-{old.descriptor.digest.hex}.sig", days=9)
    of_sig = tag(f"sha256-{sig.descriptor.digest.hex}.sig", days=9)
    other = tag(f"sha256-{new.descriptor.digest.hex}.att", days=9)

    plan = retain([old, new, sig, of_sig, other], [rule(newest=1)], NOW)

    # Attachments before what they are about.
    assert names(plan) == [of_sig.name, sig.name, "old"]


def test_a_signature_stays_while_another_tag_names_its_image() -> None:
    old, again = tag("old", "same", days=9), tag("new", "same")
    sig = tag(f"sha256-{old.descriptor.digest.hex}.sig", days=9)
    assert names(retain([old, again, sig], [rule(newest=1)], NOW)) == ["old"]


TAGS = st.lists(
    st.builds(
        tag,
        st.sampled_from([f"t{number}" for number in range(12)]),
        st.sampled_from(["x", "y", "z", "", ""]),
        days=st.integers(0, 40),
        immutable=st.booleans(),
        repository=st.sampled_from(["team/app", "team/web"]),
    ),
    unique_by=lambda one: (one.repository, one.name),
)
RULES = st.lists(
    st.builds(
        rule,
        st.none() | st.integers(1, 4),
        st.none() | st.integers(0, 30),
        st.sampled_from(["", "t1", "t"]),
    ),
    max_size=3,
)


@settings(max_examples=100, deadline=None)
@given(
    TAGS, RULES, st.sets(st.sampled_from(["x", "y", "t3"])), st.sets(st.sampled_from(["team/app:t1", "team/web:t2"]))
)
def test_nothing_protected_goes_and_a_second_run_finds_nothing(
    tags: list[Tag], rules: list[RetentionRule], contents: set[str], kept_names: set[str]
) -> None:
    protected = Protected(frozenset(Digest.of(one.encode()) for one in contents), frozenset(kept_names))

    plan = retain(tags, rules, NOW, protected)

    gone = {(one.repository, one.tag) for one in plan.going}
    left = [one for one in tags if (one.repository, one.name) not in gone]
    assert plan.staying == len(left)
    for one in tags:
        if (one.repository, one.name) in gone:
            assert not one.immutable
            assert one.descriptor.digest not in protected.digests
            assert f"{one.repository}:{one.name}" not in protected.names
    for number, one_rule in enumerate(rules):
        for repository in ("team/app", "team/web"):
            ours = [
                one
                for one in tags
                if one.repository == repository
                and next((at for at, other in enumerate(rules) if other.fits(repository, one.name)), None) == number
            ]
            newest = sorted(ours, key=lambda one: (one.set_at, one.name), reverse=True)[: one_rule.keep_newest or 0]
            assert not {(one.repository, one.name) for one in newest} & gone
    assert retain(left, rules, NOW, protected).going == ()


def test_gc_lets_tags_go_and_then_what_only_they_needed(store: Store, put_image: Callable[..., Manifest]) -> None:
    old = put_image("team/app", "old", b"old layer")
    sig = put_image("team/app", f"sha256-{old.digest.hex}.sig", b"signature")
    new = put_image("team/app", "new", b"new layer")
    tagless = put_image("team/other", "", b"held by digest alone")

    def plan() -> Retention:
        tags = [one for repository in store.state.repositories() for one in store.state.tags(repository)]
        return retain(
            tags,
            [RetentionRule("1", lambda _, name: name == "old", None, timedelta(0))],
            store.state.tags("team/app")[0].set_at + timedelta(days=1),
            reach=lambda one: reach(store.blobs, [one.descriptor]),
        )

    def collect(*, dry_run: bool) -> tuple[list[str], int]:
        done = collect_garbage(
            store, retention=plan, untagged=True, within=lambda name: name == "team/app", grace_s=0, dry_run=dry_run
        )
        return [one.tag for one in done.tags], len(done.digests)

    sayings = collect(dry_run=True)
    assert store.state.tag("team/app", "old") is not None
    assert collect(dry_run=False) == sayings == ([f"sha256-{old.digest.hex}.sig", "old"], 4)

    assert [one.name for one in store.state.tags("team/app")] == ["new"]
    assert not store.blobs.has(old.digest)
    assert not store.blobs.has(sig.digest)
    assert store.blobs.has(new.digest)
    assert store.blobs.has(tagless.digest)
    assert [event.verb for event in store.state.events()] == ["expired", "expired"]
    assert verify_store(store) == ()
    assert collect(dry_run=False) == ([], 0)
