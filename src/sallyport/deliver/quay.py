"""Quay, by its API v1: repositories before the first push, and tags that end by themselves.

Its API wants an OAuth token of an application, not the robot account that pushes. Source: Quay's API reference,
``createRepo``, ``getRepo``, ``changeTag``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from sallyport.deliver.api import Api, part
from sallyport.deliver.interface import Destination
from sallyport.deliver.model import Made, Settings
from sallyport.deliver.rename import owned_names
from sallyport.engine import Http
from sallyport.errors import DeniedError
from sallyport.oci import JSON
from sallyport.registry import Login

_NOT_ASKED = "no token-file: Quay's API was not asked; it makes repositories with the first push where it may"


@dataclass(frozen=True, slots=True)
class Quay:
    """One Quay."""

    settings: Settings
    api: Api

    @property
    def registry(self) -> str:
        return self.settings.registry

    def names(self, repositories: Sequence[str]) -> Mapping[str, str]:
        return owned_names(repositories, self.settings, product="Quay", owner="an organisation")

    def prepare(self, repositories: Sequence[str], *, dry_run: bool) -> tuple[Made, ...]:
        if not self.settings.create:
            return ()
        if not self.api.knows_us:
            return (Made("repository", self.settings.prefix, problem=_NOT_ASKED),)
        made: list[Made] = []
        for name in repositories:
            organisation, _, rest = name.partition("/")
            status, value = self.api.ask("GET", f"/repository/{part(organisation)}/{rest}")
            if status == HTTPStatus.OK:
                continue
            if status != HTTPStatus.NOT_FOUND:
                raise self.api.refusal(f"a look at {name}", status, value)
            made.append(Made("repository", name, repositories=(name,)))
            if not dry_run:
                self._create(name, organisation, rest)
        return tuple(made)

    def finish(self, pushed: Sequence[tuple[str, str]], *, now: datetime) -> tuple[Made, ...]:
        """Tags that are new there end by themselves after ``expire``."""
        if self.settings.expire is None:
            return ()
        if not self.api.knows_us:
            return (Made("tag expiry", self.settings.prefix, problem=_NOT_ASKED),)
        at = int((now + self.settings.expire).timestamp())
        made: list[Made] = []
        for name, tag in pushed:
            organisation, _, rest = name.partition("/")
            path = f"/repository/{part(organisation)}/{rest}/tag/{part(tag)}"
            try:
                status, value = self.api.ask("PUT", path, {"expiration": at})
                problem = "" if status in (200, 201) else self.api.refusal("the expiry", status, value).message
            except DeniedError as error:
                problem = error.message
            made.append(Made("tag expiry", f"{name}:{tag}", problem=problem))
        return tuple(made)

    def _create(self, name: str, organisation: str, rest: str) -> None:
        body: JSON = {
            "namespace": organisation,
            "repository": rest,
            "visibility": "private",
            "description": "delivered by sallyport",
            "repo_kind": "image",
        }
        status, value = self.api.ask("POST", "/repository", body)
        if status == HTTPStatus.CREATED:
            return
        # Quay has no code for "is there already"; only a look tells it from a wrong name.
        if self.api.ask("GET", f"/repository/{part(organisation)}/{rest}")[0] != HTTPStatus.OK:
            raise self.api.refusal(f"the repository {name}", status, value)


def make(settings: Settings, http: Http, login: Login | None) -> Quay:  # noqa: ARG001 - a robot's login is no API token
    """The entry point ``quay``."""
    base = settings.api or f"{'http' if settings.plain_http else 'https'}://{settings.registry}"
    return Quay(settings, Api(http, f"{base.rstrip('/')}/api/v1", token=settings.token))


if TYPE_CHECKING:
    _fits: type[Destination] = Quay
