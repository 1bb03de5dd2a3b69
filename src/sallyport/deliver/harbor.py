"""Harbor, by its API v2.0: projects, rules for immutable tags, robot accounts that may pull.

Source: Harbor's OpenAPI description, ``/api/v2.0``: projects, immutabletagrules, robots.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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

RELEASES = "*-20[0-9][0-9][0-9][0-9][0-9][0-9].*"
"""Harbor's pattern for the tags of releases, ``12-slim-20261124.1``: no other tag is made immutable."""
_BY_NAME = {"X-Is-Resource-Name": "true"}  # a project called 7 is meant by its name


@dataclass(frozen=True, slots=True)
class Harbor:
    """One Harbor."""

    settings: Settings
    api: Api

    @property
    def registry(self) -> str:
        return self.settings.registry

    def names(self, repositories: Sequence[str]) -> Mapping[str, str]:
        return owned_names(repositories, self.settings, product="Harbor", owner="a project")

    def prepare(self, repositories: Sequence[str], *, dry_run: bool) -> tuple[Made, ...]:
        if not self.settings.create:
            return ()
        made: list[Made] = []
        for project in dict.fromkeys(name.partition("/")[0] for name in repositories):
            found = self._project(project)
            if found is None:
                inside = tuple(name for name in repositories if name.startswith(f"{project}/"))
                made.append(Made("project", project, repositories=inside))
                if not dry_run:
                    self._create("project", "/projects", {"project_name": project, "metadata": {"public": "false"}})
                    found = self._project(project)
            made += self._tried("immutability rule", project, lambda: self._rule(project, dry_run=dry_run))  # noqa: B023
            if self.settings.robot:
                made += self._tried(
                    "robot account",
                    f"{project}+{self.settings.robot}",
                    lambda: self._robot(project, found, dry_run=dry_run),  # noqa: B023
                )
        return tuple(made)

    def finish(self, pushed: Sequence[tuple[str, str]], *, now: datetime) -> tuple[Made, ...]:  # noqa: ARG002
        """Nothing follows."""
        return ()

    def _tried(self, kind: str, name: str, work: Callable[[], tuple[Made, ...]]) -> tuple[Made, ...]:
        # A login that may push need not be one that may administer: images go all the same, and it is said.
        try:
            return work()
        except DeniedError as error:
            return (Made(kind, name, problem=error.message),)

    def _project(self, name: str) -> Mapping[str, JSON] | None:
        status, value = self.api.ask("GET", f"/projects/{part(name)}", headers=_BY_NAME)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK or not isinstance(value, dict):
            raise self.api.refusal(f"a look at the project {name}", status, value)
        return value

    def _rule(self, project: str, *, dry_run: bool) -> tuple[Made, ...]:
        path = f"/projects/{part(project)}/immutabletagrules"
        status, value = self.api.ask("GET", f"{path}?page_size=100", headers=_BY_NAME)
        rules = value if status == HTTPStatus.OK and isinstance(value, list) else []
        if any(_is_ours(rule) for rule in rules):
            return ()
        if not dry_run:
            whole: JSON = [{"kind": "doublestar", "decoration": "repoMatches", "pattern": "**"}]
            tags: JSON = [{"kind": "doublestar", "decoration": "matches", "pattern": RELEASES}]
            body: JSON = {
                "disabled": False,
                "action": "immutable",
                "template": "immutable_template",
                "scope_selectors": {"repository": whole},
                "tag_selectors": tags,
            }
            self._create("immutability rule", path, body)
        return (Made("immutability rule", f"{project}: {RELEASES}"),)

    def _robot(self, project: str, found: Mapping[str, JSON] | None, *, dry_run: bool) -> tuple[Made, ...]:
        name = self.settings.robot
        if found is not None:
            query = part(f"Level=project,ProjectID={found.get('project_id')}")
            status, value = self.api.ask("GET", f"/robots?q={query}&page_size=100")
            known = value if status == HTTPStatus.OK and isinstance(value, list) else []
            if any(isinstance(robot, dict) and str(robot.get("name", "")).endswith(f"+{name}") for robot in known):
                return ()
        if dry_run:
            return (Made("robot account", f"{project}+{name}"),)
        access: JSON = [{"resource": "repository", "action": action} for action in ("list", "pull")]
        body: JSON = {
            "name": name,
            "level": "project",
            "duration": -1,
            "disable": False,
            "description": "pulls what sallyport delivers",
            "permissions": [{"kind": "project", "namespace": project, "access": access}],
        }
        value = self._create("robot account", "/robots", body)
        if not isinstance(value, dict):
            return ()  # somebody made it meanwhile
        return (Made("robot account", str(value.get("name", name)), secret=str(value.get("secret", ""))),)

    def _create(self, what: str, path: str, body: JSON) -> JSON:
        status, value = self.api.ask("POST", path, body, headers=_BY_NAME)
        if status == HTTPStatus.CONFLICT:
            return None  # it is there: somebody was faster
        if status != HTTPStatus.CREATED:
            raise self.api.refusal(f"the {what}", status, value)
        return value


def _is_ours(rule: JSON) -> bool:
    if not isinstance(rule, dict) or rule.get("disabled"):
        return False
    selectors = rule.get("tag_selectors")
    return any(
        isinstance(item, dict) and (item.get("pattern"), item.get("decoration")) == (RELEASES, "matches")
        for item in (selectors if isinstance(selectors, list) else ())
    )


def make(settings: Settings, http: Http, login: Login | None) -> Harbor:
    """The entry point ``harbor``."""
    base = settings.api or f"{'http' if settings.plain_http else 'https'}://{settings.registry}"
    return Harbor(settings, Api(http, f"{base.rstrip('/')}/api/v2.0", token=settings.token, login=login))


if TYPE_CHECKING:
    _fits: type[Destination] = Harbor
