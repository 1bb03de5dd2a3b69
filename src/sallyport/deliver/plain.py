"""Any registry that speaks OCI distribution or Docker v2: nothing is set up there. The kind ``registry``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sallyport.deliver.interface import Destination
from sallyport.deliver.model import Made, Settings
from sallyport.deliver.rename import names_there
from sallyport.engine import Http
from sallyport.registry import Login


@dataclass(frozen=True, slots=True)
class PlainRegistry:
    """The registry itself, and nothing around it."""

    settings: Settings

    @property
    def registry(self) -> str:
        return self.settings.registry

    def names(self, repositories: Sequence[str]) -> Mapping[str, str]:
        return names_there(repositories, self.settings.renames, self.settings.prefix)

    def prepare(self, repositories: Sequence[str], *, dry_run: bool) -> tuple[Made, ...]:  # noqa: ARG002
        """Such a registry makes a repository with the first push."""
        return ()

    def finish(self, pushed: Sequence[tuple[str, str]], *, now: datetime) -> tuple[Made, ...]:  # noqa: ARG002
        """Nothing follows."""
        return ()


def make(settings: Settings, http: Http, login: Login | None) -> PlainRegistry:  # noqa: ARG001
    """The entry point ``registry``."""
    return PlainRegistry(settings)


if TYPE_CHECKING:
    _fits: type[Destination] = PlainRegistry
