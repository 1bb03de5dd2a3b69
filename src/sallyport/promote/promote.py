"""Moves a channel. Channels are the only names that move, and only to what cannot move."""

from __future__ import annotations

from sallyport.errors import UsageError
from sallyport.oci import is_tag
from sallyport.promote.model import Promotion
from sallyport.store import State


def promote(state: State, repository: str, tag: str, *, channel: str = "stable") -> Promotion:
    """Let ``repository:channel`` name what ``repository:tag`` names; an older tag rolls back.

    Raises:
        UsageError: there is no such tag, or it could move, or the channel's name is none.
        ImmutableTagError: the channel's name is an immutable tag itself.
    """
    if not is_tag(channel):
        raise UsageError(f"{channel[:140]!r} is no name for a channel", "choose one like stable or ring-0")
    found = state.tag(repository, tag)
    if found is None:
        known = [item.name for item in state.tags(repository) if item.immutable]
        raise UsageError(
            f"there is no {repository}:{tag}",
            f"promote one of: {', '.join(known[-5:])}" if known else "receive or release the image first",
        )
    if not found.immutable:
        raise UsageError(
            f"{repository}:{tag} can move, so it cannot be promoted", "promote the immutable tag that it names now"
        )
    before = state.tag(repository, channel)
    state.set_tag(repository, channel, found.descriptor)
    return Promotion(repository, tag, channel, found.descriptor, before.descriptor.digest if before else None)
