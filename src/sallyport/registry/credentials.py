"""Who we are at a registry: the files and helpers that docker, podman and skopeo share.

Sources: Docker's ``config.json`` (``auths``, ``credHelpers``, ``credsStore``) and its credential helper
protocol; containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sallyport.engine import run_program
from sallyport.errors import ConfigError
from sallyport.oci import JSON, parse_json

_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,100}\Z")
_LIMIT = 4 * 1024 * 1024  # bytes of a configuration
_HUB = ("docker.io", "index.docker.io")
_MEND = "log in anew with your container tool, or correct the file"


@dataclass(frozen=True, slots=True)
class Login:
    """A name and a secret, or a token that buys tokens."""

    username: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)


class Credentials(Protocol):
    """Knows who we are somewhere."""

    def login(self, registry: str) -> Login | None:
        """For the host and port as a reference names them; None means as nobody in particular."""
        ...


@dataclass(frozen=True, slots=True)
class OneLogin:
    """The same login everywhere: for a client of one registry."""

    known: Login

    def login(self, registry: str) -> Login | None:  # noqa: ARG002
        return self.known


@dataclass(frozen=True, slots=True)
class DockerConfig:
    """Reads the first of ``paths`` that knows the registry, anew each time, as helpers' secrets expire."""

    paths: tuple[Path, ...]
    name: str = ""  # where it is asked for another name than the one it is reached by

    def login(self, registry: str) -> Login | None:
        registry = self.name or registry
        for path in self.paths:
            document = _document(path)
            found = None if document is None else _from_document(document, registry, path)
            if found is not None:
                return found
        return None


def load_credentials(registry: str = "", *, environ: Mapping[str, str] = os.environ) -> DockerConfig:
    """Where container tools keep their logins, in the order in which they look.

    ``registry`` is the name under which the login stands, where the registry is reached by another.
    """
    home = environ.get("HOME", "")
    candidates = [
        environ.get("REGISTRY_AUTH_FILE", ""),
        f"{environ['DOCKER_CONFIG']}/config.json" if environ.get("DOCKER_CONFIG") else "",
        f"{environ['XDG_RUNTIME_DIR']}/containers/auth.json" if environ.get("XDG_RUNTIME_DIR") else "",
        f"{home}/.config/containers/auth.json" if home else "",
        f"{home}/.docker/config.json" if home else "",
    ]
    return DockerConfig(tuple(Path(path) for path in candidates if path), registry)


def _document(path: Path) -> dict[str, JSON] | None:
    try:
        with path.open("rb") as file:
            raw = file.read(_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "let this user read it, or remove it") from error
    if not raw.strip():
        return None
    value = parse_json(raw, what=str(path), limit=_LIMIT)
    if not isinstance(value, dict):
        raise ConfigError(f"{path} is not an object", _MEND)
    return value


def _from_document(document: dict[str, JSON], registry: str, path: Path) -> Login | None:
    names = _HUB if registry in _HUB else (registry,)
    helpers = document.get("credHelpers")
    for name in names:
        helper = helpers.get(name) if isinstance(helpers, dict) else None
        if isinstance(helper, str):
            return _ask_helper(helper, name, path)
    auths = document.get("auths")
    for key, entry in (auths if isinstance(auths, dict) else {}).items():
        if _host(key) in names and isinstance(entry, dict) and (login := _from_entry(entry, path)):
            return login
    store = document.get("credsStore")
    if isinstance(store, str) and store:
        server = "https://index.docker.io/v1/" if registry in _HUB else registry
        return _ask_helper(store, server, path)
    return None


def _host(key: str) -> str:
    return key.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _from_entry(entry: dict[str, JSON], path: Path) -> Login | None:
    auth, token = entry.get("auth"), entry.get("identitytoken")
    username = password = ""
    if isinstance(auth, str) and auth:
        try:
            username, colon, password = base64.b64decode(auth, validate=True).decode().rstrip("\0").partition(":")
        except (binascii.Error, ValueError) as error:
            raise ConfigError(f"{path}: an auth entry is not base64", _MEND) from error
        if not colon:
            raise ConfigError(f"{path}: an auth entry has no password", _MEND)
    if isinstance(token, str) and token:
        return Login(username, password, token)
    return Login(username, password) if username else None


def _ask_helper(helper: str, server: str, path: Path) -> Login | None:
    if not _HELPER.match(helper):
        raise ConfigError(f"{path} names the credential helper {helper[:60]!r}", "write a plain program name")
    ran = run_program([f"docker-credential-{helper}", "get"], timeout_s=30.0, stdin=server.encode())
    if ran.status != 0:
        # The protocol has no code for "I know no such server"; asking as nobody then says what is missing.
        return None
    what = f"the answer of docker-credential-{helper}"
    value = parse_json(ran.stdout, what=what, limit=_LIMIT)
    username = value.get("Username") if isinstance(value, dict) else None
    secret = value.get("Secret") if isinstance(value, dict) else None
    if not isinstance(username, str) or not isinstance(secret, str):
        raise ConfigError(f"{what} has no Username or Secret", "update or reinstall that helper")
    return Login("", "", secret) if username == "<token>" else Login(username, secret)


if TYPE_CHECKING:
    _one: type[Credentials] = OneLogin
    _docker: type[Credentials] = DockerConfig
