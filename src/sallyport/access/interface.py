"""What a registry asks about each request."""

from __future__ import annotations

from typing import Protocol

from sallyport.access.model import Action, Caller, Decision


class Guard(Protocol):
    """Knows who may do what. Safe for several threads; but for ``caller`` every method is fast enough for each
    request.
    """

    def caller(self, authorization: str, address: str = "") -> Caller:
        """Who sent this Authorization header; nobody in particular where it is empty.

        Raises DeniedError: it is wrong. ``address`` is where it came from, to slow down who guesses.
        """
        ...

    def remembered(self, authorization: str) -> Caller | None:
        """Who sent this header, if that was proven before or needs no proof; None: ask ``caller``, in a thread.

        Never waits: a password takes a moment of a core, and one thread answers everybody.
        """
        ...

    def may(self, caller: Caller, repository: str, action: Action) -> Decision:
        """Whether the caller may; ``repository`` is empty for what concerns none in particular."""
        ...

    def challenge(self, host: str, repository: str, action: Action) -> str:
        """The WWW-Authenticate value that asks for a login. Source: RFC 9110, 11.6.1."""
        ...

    def room(self, repository: str) -> int | None:
        """The most bytes that the repository may hold, each blob once; None: no limit."""
        ...
