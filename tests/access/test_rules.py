"""Laws of the rule, whatever is granted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.access import ANONYMOUS, Action, Caller, Decision, Grant, Robot
from sallyport.access.model import ASKED
from sallyport.access.rules import decide, sees_all

ACTIONS: tuple[Action, ...] = get_args(Action)
WHO = st.sampled_from(["anonymous", "*", "user:alice", "user:bob", "group:ops", "robot:ci", "robot:alice"])
IMAGES = st.sampled_from(["*", "team/*", "team/app", "t?am/*", "other/*", ""])
GRANTS = st.lists(st.builds(Grant, WHO, IMAGES, st.frozensets(st.sampled_from(["pull", "push", "delete"]))), max_size=5)
CALLERS = st.sampled_from(
    [ANONYMOUS, ASKED, Caller("alice", "user"), Caller("bob", "user", ("ops",)), Caller("ci", "robot")]
)
REPOSITORIES = st.sampled_from(["team/app", "team/a/b", "other/app", "tram/x"])
ROBOTS = st.none() | st.builds(
    lambda images, may: Robot("ci", tuple(images), tuple(may), datetime(2026, 1, 1, tzinfo=UTC), None, b"", b""),
    st.lists(IMAGES, max_size=2),
    st.sets(st.sampled_from(["pull", "push", "delete"])),
)
LAWS = settings(max_examples=100, deadline=None)


@LAWS
@given(GRANTS, GRANTS, CALLERS, ROBOTS, REPOSITORIES, st.sampled_from(ACTIONS))
def test_one_more_grant_never_takes_anything_away(
    grants: list[Grant], more: list[Grant], caller: Caller, robot: Robot | None, repository: str, action: Action
) -> None:
    if decide(grants, caller, robot, repository, action, logins=True) is Decision.ALLOWED:
        for order in (grants + more, more + grants):
            assert decide(order, caller, robot, repository, action, logins=True) is Decision.ALLOWED


@LAWS
@given(GRANTS, CALLERS, REPOSITORIES, st.sampled_from(ACTIONS))
def test_what_anonymous_may_everybody_may(grants: list[Grant], caller: Caller, repository: str, action: Action) -> None:
    if decide(grants, ANONYMOUS, None, repository, action, logins=True) is Decision.ALLOWED:
        assert decide(grants, caller, None, repository, action, logins=True) is Decision.ALLOWED


@LAWS
@given(GRANTS, CALLERS, REPOSITORIES, st.sampled_from(["pull", "push", "delete"]), st.booleans())
def test_nothing_is_allowed_that_no_grant_names(
    grants: list[Grant],
    caller: Caller,
    repository: str,
    action: Action,
    logins: bool,  # noqa: FBT001 - hypothesis passes it
) -> None:
    others = [grant for grant in grants if action not in grant.may or not grant.covers(repository)]
    refused = decide(others, caller, None, repository, action, logins=logins)
    asked = logins and caller.kind in ("anonymous", "token")
    assert refused is (Decision.LOGIN if asked else Decision.FORBIDDEN)


@LAWS
@given(GRANTS, CALLERS, REPOSITORIES)
def test_who_sees_all_may_pull_each(grants: list[Grant], caller: Caller, repository: str) -> None:
    if sees_all(grants, caller):
        assert decide(grants, caller, None, repository, "pull", logins=True) is Decision.ALLOWED


@LAWS
@given(ROBOTS, REPOSITORIES, st.sampled_from(["pull", "push", "delete"]))
def test_a_robot_is_no_user_whatever_its_name(robot: Robot | None, repository: str, action: Action) -> None:
    everything = frozenset({"pull", "push", "delete"})
    grants = [Grant("*", "*", everything), Grant("user:ci", "*", everything), Grant("group:ci", "*", everything)]
    alone = decide((), Caller("ci", "robot"), robot, repository, action, logins=True)
    assert decide(grants, Caller("ci", "robot"), robot, repository, action, logins=True) is alone
