"""Small servers that speak the documented routes of Harbor, Quay, Nexus and Artifactory, with our registry behind.

They keep what they are told, refuse what the products refuse, and note every request to the management interface.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.types import ASGIApp, Receive, Scope, Send

Answer = tuple[int, Any]
BASIC = "Basic " + base64.b64encode(b"admin:secret").decode()


@dataclass
class Product:
    """Dispatches: ``/v2/`` goes to the registry where ``gate`` lets it, the rest to the product's own routes."""

    app: ASGIApp
    seen: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    status: int = 0  # answer so to everything, where it is not 0

    def gate(self, name: str) -> bool:
        """Whether a repository may be pushed to."""
        raise NotImplementedError

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, said: dict[str, str]) -> Answer:
        """One request to the management interface."""
        raise NotImplementedError

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        found = re.match(r"/v2/(.+)/(?:manifests|blobs|tags|referrers)/", path)
        if path.startswith("/v2/"):
            if found is None or self.gate(found[1]):
                await self.app(scope, receive, send)
            else:
                await _say(send, 403, {"errors": [{"code": "DENIED", "message": "no such project"}]})
            return
        raw = b""
        more = True
        while more:
            message = await receive()
            raw += message.get("body", b"")
            more = message.get("more_body", False)
        said = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        body = json.loads(raw) if raw else None
        self.seen.append(f"{scope['method']} {path}")
        if body is not None:
            self.bodies.append(body)
        query = parse_qs(scope["query_string"].decode())
        status, value = (self.status, {}) if self.status else self.answer(scope["method"], path, query, body, said)
        await _say(send, status, value)

    def take(self) -> list[str]:
        seen, self.seen = self.seen, []
        return seen


async def _say(send: Send, status: int, value: Any) -> None:
    raw = json.dumps(value).encode() if value is not None else b""
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": raw})


def _error(status: int, code: str, message: str) -> Answer:
    return status, {"errors": [{"code": code, "message": message}]}


@dataclass
class HarborServer(Product):
    projects: dict[str, int] = field(default_factory=dict)
    rules: dict[str, list[Any]] = field(default_factory=dict)
    robots: list[Any] = field(default_factory=list)
    administers: bool = True

    def gate(self, name: str) -> bool:
        return name.partition("/")[0] in self.projects

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, said: dict[str, str]) -> Answer:
        if said.get("authorization") != BASIC:
            return _error(401, "UNAUTHORIZED", "unauthorized")
        path = path.removeprefix("/api/v2.0")
        if path == "/projects" and method == "POST":
            if body["project_name"] in self.projects:
                return _error(409, "CONFLICT", "The project named so already exists")
            self.projects[body["project_name"]] = len(self.projects) + 1
            return 201, None
        if found := re.fullmatch(r"/projects/([^/]+)(/immutabletagrules)?", path):
            name = unquote(found[1])
            assert said.get("x-is-resource-name") == "true"
            if name not in self.projects:
                return _error(404, "NOT_FOUND", f"project {name} not found")
            if not found[2]:
                return 200, {"project_id": self.projects[name], "name": name}
            rules = self.rules.setdefault(name, [])
            if method == "GET":
                return 200, rules
            if not self.administers:
                return _error(403, "FORBIDDEN", "forbidden")
            assert body["template"] == "immutable_template"
            rules.append({"id": len(rules) + 1, **body})
            return 201, None
        if path == "/robots":
            if method == "GET":
                number = int(re.search(r"ProjectID=(\d+)", query["q"][0])[1])  # type: ignore[index]
                return 200, [robot for robot in self.robots if self.projects[robot["project"]] == number]
            if not self.administers:
                return _error(403, "FORBIDDEN", "forbidden")
            project = body["permissions"][0]["namespace"]
            name = f"robot${project}+{body['name']}"
            if any(robot["name"] == name for robot in self.robots):
                return _error(409, "CONFLICT", "robot account exists")
            self.robots.append({"name": name, "project": project})
            return 201, {"id": len(self.robots), "name": name, "secret": "s3cret", "expires_at": -1}
        return _error(404, "NOT_FOUND", path)


@dataclass
class QuayServer(Product):
    repositories: set[str] = field(default_factory=set)
    expiry: dict[str, int] = field(default_factory=dict)
    token: str = "token-of-an-application"

    def gate(self, name: str) -> bool:
        return name in self.repositories

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, said: dict[str, str]) -> Answer:
        if said.get("authorization") != f"Bearer {self.token}":
            return 401, {"error_message": "Session required"}
        path = path.removeprefix("/api/v1")
        if path == "/repository" and method == "POST":
            name = f"{body['namespace']}/{body['repository']}"
            if name in self.repositories:
                return 400, {"error_message": "Repository already exists"}
            self.repositories.add(name)
            return 201, {"namespace": body["namespace"], "name": body["repository"]}
        if found := re.fullmatch(r"/repository/(.+)/tag/([^/]+)", path):
            if found[1] not in self.repositories:
                return 404, {"error_message": "Not Found"}
            self.expiry[f"{found[1]}:{found[2]}"] = body["expiration"]
            return 201, None
        name = path.removeprefix("/repository/")
        return (200, {"name": name}) if name in self.repositories else (404, {"error_message": "Not Found"})


@dataclass
class NexusServer(Product):
    keys: dict[str, Any] = field(default_factory=dict)
    layout: str = "path"

    def gate(self, name: str) -> bool:
        return self.layout != "path" or name.partition("/")[0] in self.keys

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, said: dict[str, str]) -> Answer:
        if said.get("authorization") != BASIC:
            return 401, None
        path = path.removeprefix("/service/rest/v1/repositories/docker/hosted")
        if method == "POST" and not path:
            assert body["storage"]["blobStoreName"] == "default"
            if body["name"] in self.keys:
                return 400, [{"id": "name", "message": "Name is already used"}]
            self.keys[body["name"]] = body
            return 201, None
        key = path.removeprefix("/")
        return (200, self.keys[key]) if key in self.keys else (404, None)


@dataclass
class ArtifactoryServer(Product):
    keys: dict[str, Any] = field(default_factory=dict)

    def gate(self, name: str) -> bool:
        return name.partition("/")[0] in self.keys

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, said: dict[str, str]) -> Answer:
        if said.get("authorization") != BASIC:
            return 401, {"errors": [{"status": 401, "message": "Bad credentials"}]}
        key = path.removeprefix("/artifactory/api/repositories/")
        if method == "PUT":
            if key in self.keys:
                return 400, {"errors": [{"status": 400, "message": "Case insensitive repository key already exists"}]}
            self.keys[key] = body
            return 200, None
        if key in self.keys:
            return 200, self.keys[key]
        return 400, {"errors": [{"status": 400, "message": "Bad Request"}]}


Make = Callable[[ASGIApp], Product]
