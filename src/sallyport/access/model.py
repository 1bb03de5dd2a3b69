"""The nouns of access: who calls, what they want, what is decided."""

from __future__ import annotations

import enum
import fnmatch
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal, TypeAlias

Action: TypeAlias = Literal["pull", "push", "delete", "list"]
Kind: TypeAlias = Literal["user", "robot", "token", "anonymous"]


class Decision(enum.Enum):
    """What becomes of a request."""

    ALLOWED = "allowed"
    LOGIN = "login"  # 401: somebody who logs in may
    FORBIDDEN = "forbidden"  # 403: who called is known, and may not


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request; proven."""

    name: str
    kind: Kind
    groups: tuple[str, ...] = ()  # of a token's claim

    def __str__(self) -> str:
        return self.kind if self.kind == "anonymous" else f"{self.kind}:{self.name}"


ANONYMOUS = Caller("", "anonymous")
ASKED = Caller("anonymous", "token")
"""Nobody in particular, who has asked our token endpoint and so has been told that one can log in."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What somebody may do where. Grants add up; what none allows is refused."""

    who: str  # user:NAME, robot:NAME, group:NAME, anonymous, or * for users who logged in
    images: str  # repositories; * and ? as in a glob
    may: frozenset[str]  # pull, push, delete

    def covers(self, repository: str) -> bool:
        """Whether it is about the repository."""
        return fits(self.images, repository)


@dataclass(frozen=True, slots=True)
class Quota:
    """The most bytes that each repository which fits may hold."""

    images: str
    size: int


@dataclass(frozen=True, slots=True)
class Robot:
    """An account for a program; its secret is kept as a salted hash."""

    name: str
    images: tuple[str, ...]
    may: tuple[str, ...]
    created: datetime
    expires: datetime | None
    salt: bytes
    hash: bytes  # SHA-256 of salt and secret

    def active(self, now: datetime) -> bool:
        """Whether its end is still to come."""
        return self.expires is None or now < self.expires


def fits(pattern: str, text: str) -> bool:
    """Whether a glob fits the whole of ``text``; ``*`` goes across slashes."""
    return _compiled(pattern).match(text) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))
