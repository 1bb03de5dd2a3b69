"""Nexus Repository 3: a hosted Docker repository, told apart by path, connector port or subdomain.

Source: Nexus' REST API, ``/service/rest/v1/repositories/docker/hosted``; its manual, "Docker Registry".
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
from sallyport.oci import JSON
from sallyport.registry import Login


@dataclass(frozen=True, slots=True)
class Nexus:
    """One hosted repository of a Nexus."""

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
        status, value = self.api.ask("GET", f"/repositories/docker/hosted/{part(key)}")
        if status == HTTPStatus.OK:
            return ()
        if status != HTTPStatus.NOT_FOUND:
            raise self.api.refusal(f"a look at the repository {key}", status, value)
        if not dry_run:
            status, value = self.api.ask("POST", "/repositories/docker/hosted", self._body())
            if status != HTTPStatus.CREATED:
                raise self.api.refusal(f"the repository {key}", status, value)
        return (Made("repository", key, repositories=tuple(repositories)),)

    def finish(self, pushed: Sequence[tuple[str, str]], *, now: datetime) -> tuple[Made, ...]:  # noqa: ARG002
        """Nothing follows."""
        return ()

    def _body(self) -> JSON:
        docker: dict[str, JSON] = {"v1Enabled": False, "forceBasicAuth": True}
        layout = self.place.settings.layout
        if layout == "path":
            docker["pathEnabled"] = True
        elif layout == "subdomain":
            docker["subdomain"] = self.place.key
        else:
            docker["httpPort"] = int(self.place.registry.rpartition(":")[2])
        # ALLOW, because channels and lists of signatures move; releases are never overwritten by us.
        storage: JSON = {"blobStoreName": "default", "strictContentTypeValidation": True, "writePolicy": "ALLOW"}
        return {"name": self.place.key, "online": True, "storage": storage, "docker": docker}


def make(settings: Settings, http: Http, login: Login | None) -> Nexus:
    """The entry point ``nexus``."""
    base = settings.api or f"{'http' if settings.plain_http else 'https'}://{settings.registry}"
    api = Api(http, f"{base.rstrip('/')}/service/rest/v1", token=settings.token, login=login)
    return Nexus(place(settings), api)


if TYPE_CHECKING:
    _fits: type[Destination] = Nexus
