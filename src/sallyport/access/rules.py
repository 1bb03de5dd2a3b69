"""Whether somebody may: the rule itself, pure.

1. A robot may what its account says, and what a grant to ``robot:NAME`` says.
2. A user may what grants to ``user:NAME``, to one of their groups, or to ``*`` say.
3. What ``anonymous`` may, everybody may.
4. Everything else is refused; who has not logged in is asked to.
"""

from __future__ import annotations

from collections.abc import Iterable

from sallyport.access.model import Action, Caller, Decision, Grant, Quota, Robot, fits

EVERYTHING = Grant("anonymous", "*", frozenset({"pull"}))
"""What holds where no rule is configured: whoever reaches the registry may pull."""


def decide(
    grants: Iterable[Grant], caller: Caller, robot: Robot | None, repository: str, action: Action, *, logins: bool
) -> Decision:
    """What becomes of the request; ``robot`` is the caller's account where it is one, ``logins`` whether any can be."""
    if action == "list":
        # Clients ask here first, to learn whether and how one logs in; what is listed is decided for each repository.
        return Decision.LOGIN if logins and caller.kind == "anonymous" else Decision.ALLOWED
    if caller.kind == "robot" and robot is not None and action in robot.may and _any(robot.images, repository):
        return Decision.ALLOWED
    names = _names(caller)
    if any(action in grant.may and grant.who in names and grant.covers(repository) for grant in grants):
        return Decision.ALLOWED
    return Decision.LOGIN if logins and caller.kind in ("anonymous", "token") else Decision.FORBIDDEN


def sees_all(grants: Iterable[Grant], caller: Caller) -> bool:
    """Whether the caller may pull everything there is, whatever it is called."""
    names = _names(caller)
    return any("pull" in grant.may and grant.who in names and set(grant.images) == {"*"} for grant in grants)


def room(quotas: Iterable[Quota], repository: str) -> int | None:
    """The quota of a repository; the first that fits counts."""
    return next((quota.size for quota in quotas if fits(quota.images, repository)), None)


def _names(caller: Caller) -> frozenset[str]:
    if caller.kind == "user":
        return frozenset({"anonymous", "*", f"user:{caller.name}", *(f"group:{name}" for name in caller.groups)})
    if caller.kind == "robot":
        return frozenset({"anonymous", f"robot:{caller.name}"})
    return frozenset({"anonymous"})


def _any(patterns: Iterable[str], repository: str) -> bool:
    return any(fits(pattern, repository) for pattern in patterns)
