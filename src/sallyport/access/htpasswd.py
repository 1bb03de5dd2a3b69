"""Users and their bcrypt hashes, as ``htpasswd -B`` writes them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from sallyport.access.watched import Watched
from sallyport.errors import ConfigError

_HASH = re.compile(rb"\$2[by]\$(0[4-9]|1[0-9])\$[./A-Za-z0-9]{53}\Z")
_PASSWORD_BYTES = 72
"""What bcrypt looks at; a longer password is refused, because its end would not count."""
_UNKNOWN_COST = 10


class Htpasswd:
    """The users of one file, which is read again when it changes."""

    def __init__(self, path: Path) -> None:
        """Read it.

        Raises:
            ConfigError: it is missing, or has something else than names and bcrypt hashes.
        """
        self.file: Watched[Mapping[str, bytes]] = Watched(path, parse, {})

    def verify(self, name: str, password: str) -> bool:
        """Whether it is the user's password. A name that is not there takes as long as one that is."""
        import bcrypt

        users = self.file.value()
        known = users.get(name)
        secret = password.encode()
        short = len(secret) <= _PASSWORD_BYTES and b"\0" not in secret
        right = bcrypt.checkpw(secret if short else b"x", known or _nobody(users))
        return right and short and known is not None

    def proof(self, name: str) -> str:
        """Changes with the user's password; empty where there is no such user."""
        known = self.file.value().get(name)
        return hashlib.sha256(known).hexdigest()[:16] if known else ""


def parse(data: bytes) -> Mapping[str, bytes]:
    """The users of a file by name.

    Raises:
        ConfigError: a line is not a name and a bcrypt hash.
    """
    users: dict[str, bytes] = {}
    for number, line in enumerate(data.splitlines(), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        raw, _, hashed = line.rstrip().partition(b":")
        try:
            name = raw.decode()
        except UnicodeDecodeError as error:
            raise ConfigError(f"line {number} of the htpasswd file is no UTF-8", "write the name anew") from error
        if not name or not _HASH.match(hashed):
            raise ConfigError(
                f"line {number} of the htpasswd file is not a name and a bcrypt hash",
                "make it with: htpasswd -B FILE NAME",
            )
        if name in users:
            raise ConfigError(f"line {number} of the htpasswd file has {name!r} again", "keep one line for each user")
        users[name] = hashed
    return users


def _nobody(users: Mapping[str, bytes]) -> bytes:
    """A hash that no password has, as costly as the most costly of the file."""
    cost = max((int(hashed[4:6]) for hashed in users.values()), default=_UNKNOWN_COST)
    return b"$2b$%02d$" % cost + b"." * 53
