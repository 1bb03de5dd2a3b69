"""People's own tools log in, are refused, push and pull, by password, robot account and token."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bcrypt
import pytest
from tests.clients.conftest import Makes, Shell, program

from sallyport.access import create_robot
from sallyport.engine import SystemClock
from sallyport.oci import build_index
from sallyport.registry import make_app
from sallyport.registry import serve as start
from sallyport.serving import serve
from sallyport.site import Site, open_site
from sallyport.store import Store

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]

CONFIG = """side: inside
destination: lab
store: store
listen: 127.0.0.1:0
access:
  htpasswd: htpasswd
  robots: robots.json
  rules:
    - {who: anonymous, images: "public/*", may: [pull]}
    - {who: "*", images: "team/*", may: [pull]}
    - {who: "user:alice", images: "*", may: [pull, push, delete]}
"""


@dataclass(frozen=True)
class Guarded:
    """A site with people, served."""

    site: Site
    registry: str
    robot: str  # its secret
    run: Shell

    def tool(self, name: str, *arguments: str, who: str = "nobody") -> subprocess.CompletedProcess[str]:
        """Run with the logins of ``who`` alone; nobody may look into another's."""
        home = self.run.folder / who
        home.mkdir(exist_ok=True)
        logins = home / "auth.json"
        if not logins.exists():
            logins.write_text("{}")  # buildah wants a file where one is named
        environ = {
            "PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(home),
            "REGISTRY_AUTH_FILE": str(logins), "DOCKER_CONFIG": str(home),
        }  # fmt: skip
        return subprocess.run(
            [program(name), *arguments],
            capture_output=True,
            text=True,
            timeout=120,
            env=environ,
            cwd=self.run.folder,
            check=False,
        )

    def works(self, name: str, *arguments: str, who: str = "nobody") -> str:
        ran = self.tool(name, *arguments, who=who)
        assert ran.returncode == 0, f"{name} {' '.join(arguments)} as {who}\n{ran.stdout}\n{ran.stderr}"
        return ran.stdout

    def denied(self, name: str, *arguments: str, who: str = "nobody") -> None:
        ran = self.tool(name, *arguments, who=who)
        said = (ran.stdout + ran.stderr).lower()
        assert ran.returncode != 0, f"{name} {' '.join(arguments)} as {who} was let in"
        assert any(
            word in said
            for word in ("unauthorized", "denied", "401", "403", "authentication required", "invalid username")
        ), said


@pytest.fixture
def guarded(tmp_path: Path, run: Shell) -> Iterator[Guarded]:
    folder = tmp_path / "site"
    folder.mkdir()
    users = {"alice": b"one", "bob": b"two"}
    (folder / "htpasswd").write_text(
        "".join(f"{name}:{bcrypt.hashpw(word, bcrypt.gensalt(6)).decode()}\n" for name, word in users.items())
    )
    _, secret = create_robot(
        folder / "robots.json", "ci", images=["team/*"], may=["pull", "push"], now=SystemClock().now(), expires=None
    )
    (folder / "sallyport.yaml").write_text(CONFIG)
    with open_site(folder) as site, serve(site) as url:
        yield Guarded(site, url.partition("://")[2], secret, run)


@pytest.fixture
def source(here: Store, made: Makes) -> Iterator[str]:
    """An image that anybody may pull from another registry."""
    images = [made.image(here.blobs, platform) for platform in made.platforms]
    raw = build_index(images)
    index = made.blob(here.blobs, raw.raw, raw.media_type)
    for descriptor in (*images, index):
        here.state.hold("app", descriptor, subject=None)
    here.state.set_tag("app", "1", index)
    with start(make_app(here)) as serving:
        yield f"{serving.registry}/app:1"


LOGINS = {
    "crane": ("auth", "login", "{registry}", "-u", "{user}", "-p", "{password}"),
    "skopeo": ("login", "--tls-verify=false", "-u", "{user}", "-p", "{password}", "{registry}"),
    "oras": ("login", "--plain-http", "-u", "{user}", "-p", "{password}", "{registry}"),
    "buildah": ("login", "--tls-verify=false", "-u", "{user}", "-p", "{password}", "{registry}"),
    "regctl": ("registry", "login", "{registry}", "-u", "{user}", "-p", "{password}"),
}
COPIES = {
    "crane": ("copy", "--insecure", "{source}", "{target}"),
    "skopeo": (
        "copy",
        "--all",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        "docker://{source}",
        "docker://{target}",
    ),
    "oras": ("cp", "--from-plain-http", "--to-plain-http", "{source}", "{target}"),
    "regctl": ("image", "copy", "{source}", "{target}"),
}
LOOKS = {
    "crane": ("digest", "--insecure", "{target}"),
    "skopeo": ("inspect", "--raw", "--tls-verify=false", "docker://{target}"),
    "oras": ("manifest", "fetch", "--plain-http", "{target}"),
    "regctl": ("manifest", "get", "{target}"),
}


def words(pattern: tuple[str, ...], **values: str) -> list[str]:
    return [word.format(**values) for word in pattern]


@pytest.mark.parametrize("tool", sorted(COPIES))
def test_a_tool_logs_in_pushes_pulls_and_is_refused(guarded: Guarded, source: str, tool: str) -> None:
    def copy(target: str) -> list[str]:
        return words(COPIES[tool], source=source, target=f"{guarded.registry}/{target}:1")

    def look(target: str) -> list[str]:
        return words(LOOKS[tool], target=f"{guarded.registry}/{target}:1")

    def login(user: str, password: str) -> list[str]:
        return words(LOGINS[tool], registry=guarded.registry, user=user, password=password)

    for who in ("alice", "bob", "ci", "nobody", "wrong") if tool == "regctl" else ():
        for registry in (guarded.registry, source.partition("/")[0]):
            guarded.works("regctl", "registry", "set", registry, "--tls", "disabled", who=who)
    if tool != "crane":  # which keeps what it is given without asking
        guarded.denied(tool, *login("alice", "wrong"), who="wrong")
    guarded.works(tool, *login("alice", "one"), who="alice")
    guarded.works(tool, *login("bob", "two"), who="bob")
    guarded.works(tool, *login("robot+ci", guarded.robot), who="ci")

    guarded.works(tool, *copy("public/app"), who="alice")
    guarded.works(tool, *copy("team/app"), who="ci")
    guarded.works(tool, *copy("secret/app"), who="alice")
    for who, target in (("bob", "team/new"), ("nobody", "team/new"), ("ci", "public/new"), ("nobody", "public/new")):
        guarded.denied(tool, *copy(target), who=who)
    for who, target in (
        ("nobody", "public/app"), ("bob", "public/app"), ("ci", "public/app"),
        ("bob", "team/app"), ("ci", "team/app"), ("alice", "secret/app"),
    ):  # fmt: skip
        guarded.works(tool, *look(target), who=who)
    for who, target in (("nobody", "team/app"), ("nobody", "secret/app"), ("bob", "secret/app"), ("ci", "secret/app")):
        guarded.denied(tool, *look(target), who=who)

    state = guarded.site.store.state
    assert state.repositories() == ["public/app", "secret/app", "team/app"]
    by = {(line.detail["by"], line.subject.partition(":")[0]) for line in state.events() if line.verb == "tagged"}
    assert by == {("user:alice", "public/app"), ("robot:ci", "team/app"), ("user:alice", "secret/app")}


def test_buildah_and_podman_log_in_push_and_pull(guarded: Guarded, source: str) -> None:
    login = words(LOGINS["buildah"], registry=guarded.registry, user="alice", password="one")
    wrong = words(LOGINS["buildah"], registry=guarded.registry, user="alice", password="two")
    for tool in ("buildah", "podman"):
        guarded.denied(tool, *wrong, who=tool)
        guarded.works(tool, *login, who=tool)
    copied = words(COPIES["skopeo"], source=source, target=f"{guarded.registry}/secret/app:1")
    guarded.works("skopeo", *copied, who="buildah")
    pull = ("--storage-driver", "vfs", "pull", "--tls-verify=false", f"{guarded.registry}/secret/app:1")
    roots = ("--root", str(guarded.run.folder / "root"), "--runroot", str(guarded.run.folder / "runroot"))
    guarded.denied("buildah", *roots, *pull, who="nobody")
    guarded.works("buildah", *roots, *pull, who="buildah")
    target = f"docker://{guarded.registry}/secret/again:1"
    push = ("--storage-driver", "vfs", "push", "--tls-verify=false", f"{guarded.registry}/secret/app:1", target)
    guarded.denied("buildah", *roots, *push, who="nobody")
    guarded.works("buildah", *roots, *push, who="buildah")
    assert guarded.site.store.state.tag("secret/again", "1") is not None


def test_a_revoked_robot_is_out_at_once(guarded: Guarded, source: str) -> None:
    from sallyport.access import revoke_robot

    login = words(LOGINS["skopeo"], registry=guarded.registry, user="robot+ci", password=guarded.robot)
    copy = words(COPIES["skopeo"], source=source, target=f"{guarded.registry}/team/app:1")
    guarded.works("skopeo", *login, who="ci")
    guarded.works("skopeo", *copy, who="ci")
    revoke_robot(guarded.site.root / "robots.json", "ci")
    guarded.denied("skopeo", *copy[:-1], copy[-1].replace("team/app", "team/new"), who="ci")
