"""Artifactory: a local Docker repository, told apart by path, port or subdomain.

Source: Artifactory's REST API, "Get Repository Configuration" and "Create Repository"; its manual, "Docker Registry".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

from sallyport.deliver.api import Api, part
from sallyport.deliver.interface import Destination
from sallyport.deliver.layout import Place, place
from sallyport.deliver.model import Made, Settings
from sallyport.engine import Http
from sallyport.errors import ConfigError
from sallyport.oci import JSON
from sallyport.registry import Login


@dataclass(frozen=True, slots=True)
class Artifactory:
    """One local repository of an Artifactory."""

    place: Place
    api: Api

    @property
    def registry(self) -> str:
        return self.place.registry

    def names(self, repositories: Sequence[str]) -> Mapping[str, str]:
        return self.place.names(repositories)

    def prepare(self, repositories: Sequence[str], *, dry_run: bool) -> tuple[Made, ...]:
        if not self.place.settings.create:
            return ()
        key = self.place.key
        path = f"/repositories/{part(key)}"
        status, value = self.api.ask("GET", path)
        if status == HTTPStatus.OK and isinstance(value, dict):
            if value.get("packageType") != "docker" or value.get("rclass") == "remote":
                raise ConfigError(
                    f"{key} at {self.api.place} is a {value.get('rclass')} repository for {value.get('packageType')}",
                    "name a local Docker repository as prefix:",
                )
            return ()
        # It says 400 of a repository that is not there, and 404 since version 7.
        if status not in (400, 404):
            raise self.api.refusal(f"a look at the repository {key}", status, value)
        if not dry_run:
            body: JSON = {
                "key": key,
                "rclass": "local",
                "packageType": "docker",
                "dockerApiVersion": "V2",
                "blockPushingSchema1": True,
                "maxUniqueTags": 0,
                "description": "delivered by sallyport",
            }
            status, value = self.api.ask("PUT", path, body)
            if status not in (200, 201):
                raise self.api.refusal(f"the repository {key}", status, value)
        return (Made("repository", key, repositories=tuple(repositories)),)

    def finish(self, pushed: Sequence[tuple[str, str]], *, now: datetime) -> tuple[Made, ...]:  # noqa: ARG002
        """Nothing follows."""
        return ()


def make(settings: Settings, http: Http, login: Login | None) -> Artifactory:
    """The entry point ``artifactory``."""
    base = settings.api or f"{'http' if settings.plain_http else 'https'}://{settings.registry}"
    api = Api(http, f"{base.rstrip('/')}/artifactory/api", token=settings.token, login=login)
    return Artifactory(place(settings), api)


if TYPE_CHECKING:
    _fits: type[Destination] = Artifactory
