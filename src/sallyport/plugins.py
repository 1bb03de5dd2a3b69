"""Plug-ins: found by entry point, loaded by name, nothing imported that nobody named.

A group is a kind of plug-in (``sallyport.cataloguers``, ``sallyport.advisories``); what stands
behind a name implements the group's Protocol. Built-ins are registered the same way, so that a
plug-in of somebody else is no second-class citizen.
"""

from __future__ import annotations

from typing import Any

from sallyport.errors import UsageError


def names(group: str) -> tuple[str, ...]:
    """What is installed in ``group``, sorted; nothing is imported."""
    from importlib import metadata

    return tuple(sorted({point.name for point in metadata.entry_points(group=group)}))


def load(group: str, name: str) -> Any:
    """What stands behind ``name`` in ``group``.

    Raises:
        UsageError: nothing is called so (the mend lists what is), two packages claim the name, or
            its own imports fail.
    """
    from importlib import metadata

    found = {point.value: point for point in metadata.entry_points(group=group, name=name)}
    if not found:
        known = ", ".join(names(group)) or "none: install sallyport (make demo does), so that it registers its own"
        raise UsageError(f"no plug-in of {group} is called {name[:60]!r}", f"use one of: {known}")
    if len(found) > 1:
        # Which of them wins would depend on the order of folders: neither does.
        raise UsageError(
            f"several plug-ins of {group} are called {name!r}: {', '.join(sorted(found))}",
            "uninstall all but one of the packages that bring them",
        )
    point = next(iter(found.values()))
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"the plug-in {name!r} of {group} cannot be loaded from {point.value}: {str(error)[:200]}",
            "install what it needs, or leave it out of the configuration",
        ) from error
