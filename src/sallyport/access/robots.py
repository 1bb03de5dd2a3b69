"""Robot accounts: a file of names, rights and salted hashes of secrets that nobody can guess."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from sallyport.access.model import Robot
from sallyport.access.watched import Watched
from sallyport.engine import exclusive, parse_time, render_time, write_file
from sallyport.errors import ConfigError, ConflictError, SallyportError, UsageError
from sallyport.oci import JSON, parse_json, render_json

LOGIN_PREFIX = "robot+"
"""What a robot's login name begins with, so that it can be no user's."""
SECRET_PREFIX = "spr_"  # noqa: S105 - what every secret begins with, so that scanners for secrets find it
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}\Z")
_ACTIONS = ("pull", "push", "delete")
_NONE: Mapping[str, Robot] = MappingProxyType({})


class Robots:
    """The robots of one file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            ConfigError: it is missing or not a file of robots.
        """
        self.file: Watched[Mapping[str, Robot]] = Watched(path, parse, _NONE)

    def find(self, name: str, now: datetime) -> Robot | None:
        """The robot, unless it was revoked or its time is over."""
        robot = self.file.value().get(name)
        return robot if robot is not None and robot.active(now) else None

    def verify(self, name: str, secret: str, now: datetime) -> bool:
        """Whether it is the robot's secret."""
        robot = self.find(name, now)
        salt, known = (robot.salt, robot.hash) if robot else (b"", b"\0" * 32)
        return hmac.compare_digest(_hash(salt, secret), known)

    def proof(self, name: str, now: datetime) -> str:
        """Changes with the robot's secret; empty where there is no such robot any more."""
        robot = self.find(name, now)
        return robot.hash.hex()[:16] if robot else ""


def list_robots(path: Path) -> tuple[Robot, ...]:
    """Those of the file, by name; none where there is no file yet.

    Raises:
        ConfigError: it is not a file of robots.
    """
    try:
        return tuple(parse(path.read_bytes()).values())
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", "see access.robots") from error


def create_robot(
    path: Path, name: str, *, images: Sequence[str], may: Sequence[str], now: datetime, expires: datetime | None
) -> tuple[Robot, str]:
    """Add a robot; gives its secret, which is kept nowhere.

    Raises:
        UsageError: a name, glob or right that cannot be.
        ConflictError: there is one of this name.
    """
    if not _NAME.match(name):
        raise UsageError(f"{name[:80]!r} is no name for a robot", "use lower case letters, digits, dot, dash")
    if not images or not all(images):
        raise UsageError("a robot without repositories can do nothing", "name some: --images 'team/*'")
    if not may or not set(may) <= set(_ACTIONS):
        raise UsageError(f"{', '.join(may)[:80] or 'nothing'} cannot be allowed", "use pull, push, delete")
    secret = SECRET_PREFIX + secrets.token_urlsafe(32)
    salt = secrets.token_bytes(16)
    rights = tuple(action for action in _ACTIONS if action in may)
    robot = Robot(name, tuple(images), rights, now, expires, salt, _hash(salt, secret))
    with exclusive(path.with_name(f".{path.name}.lock"), timeout_s=10.0):
        robots = {known.name: known for known in list_robots(path)}
        if name in robots:
            raise ConflictError(f"there is a robot {name}", "choose another name, or revoke it first")
        _write(path, {**robots, name: robot})
    return robot, secret


def revoke_robot(path: Path, name: str) -> None:
    """Forget a robot: its secret and its tokens end at once.

    Raises:
        UsageError: there is none of this name.
    """
    with exclusive(path.with_name(f".{path.name}.lock"), timeout_s=10.0):
        robots = {known.name: known for known in list_robots(path)}
        if robots.pop(name, None) is None:
            raise UsageError(f"there is no robot {name[:80]}", "see: sallyport robot list")
        _write(path, robots)


def parse(data: bytes) -> Mapping[str, Robot]:
    """The robots of a file, by name.

    Raises:
        ConfigError: it is not one.
    """
    try:
        document = parse_json(data, what="the file of robots")
        if not isinstance(document, dict) or document.get("version") != 1:
            raise ConfigError("the file of robots has no version 1", "make it with: sallyport robot create")
        listed = document["robots"]
        robots = [_robot(entry) for entry in (listed if isinstance(listed, list) else [None])]
    except ConfigError:
        raise
    except (SallyportError, KeyError, ValueError, TypeError) as error:
        raise ConfigError(
            f"the file of robots is damaged: {error}", "restore it, or make the robots anew: sallyport robot create"
        ) from error
    return {robot.name: robot for robot in sorted(robots, key=lambda robot: robot.name)}


def _robot(entry: JSON) -> Robot:
    if not isinstance(entry, dict):
        raise TypeError("a robot is no object")
    name, expires = str(entry["name"]), entry["expires"]
    images, may = _strings(entry["images"]), _strings(entry["may"])
    salt, hashed = bytes.fromhex(str(entry["salt"])), bytes.fromhex(str(entry["sha256"]))
    if not _NAME.match(name) or len(hashed) != 32 or len(salt) < 16 or not set(may) <= set(_ACTIONS):  # noqa: PLR2004 - SHA-256, and our salt
        raise ValueError("a robot has a name, right or hash that cannot be")
    end = parse_time(str(expires)) if expires is not None else None
    return Robot(name, images, may, parse_time(str(entry["created"])), end, salt, hashed)


def _strings(value: JSON) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError("a list of words is something else")
    return tuple(str(item) for item in value)


def _write(path: Path, robots: Mapping[str, Robot]) -> None:
    entries: list[JSON] = [
        {
            "name": robot.name,
            "images": [*robot.images],
            "may": [*robot.may],
            "created": render_time(robot.created),
            "expires": render_time(robot.expires) if robot.expires else None,
            "salt": robot.salt.hex(),
            "sha256": robot.hash.hex(),
        }
        for _, robot in sorted(robots.items())
    ]
    write_file(path, render_json({"version": 1, "robots": entries}), mode=0o600)


def _hash(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()
