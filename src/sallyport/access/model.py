"""The nouns of access: who calls, what they want, what is decided."""

from __future__ import annotations

import enum
from dataclasses import dataclass
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
