"""Real package managers rebuild from what the depot serves: apt-get, pip and npm, over loopback only."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from tests.clients.conftest import Shell
from tests.depot.conftest import Upstream

from sallyport.config.gateway import PackagesSection
from sallyport.depot import depot_routes
from sallyport.engine import Http
from sallyport.registry import serve
from sallyport.store import DirectoryStore

pytestmark = pytest.mark.client
Start = Callable[[PackagesSection], str]


@contextmanager
def refused(saying: str) -> Iterator[None]:
    """The program fails, and what the depot said, or at least its status, stands in its output."""
    with pytest.raises(AssertionError) as caught:
        yield
    assert saying in str(caught.value)


@pytest.fixture
def start(tmp_path: Path, http: Http) -> Iterator[Start]:
    """Serves a section and says where."""
    with ExitStack() as stack:
        cache = DirectoryStore(tmp_path / "depot-cache", durable=False)

        def run(section: PackagesSection) -> str:
            routes = depot_routes([section], http, cache, lambda: datetime.now(UTC), folder=tmp_path)
            serving = stack.enter_context(serve(Starlette(routes=list(routes))))
            return f"{serving.url}/packages/{section.name}"

        yield run


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


# --- apt ----------------------------------------------------------------------------------


@pytest.fixture
def apt(run: Shell, tmp_path: Path, archive_builder: Any) -> Callable[..., str]:
    """``apt(url)(…)``: apt-get with sources, keyring and state of its own."""
    root = tmp_path / "apt"
    for folder in ("etc/apt.conf.d", "etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
        (root / folder).mkdir(parents=True)
    (root / "state" / "status").write_text("")
    for key in archive_builder.keyring.certificates:
        (root / "archive.gpg").write_bytes(key)
        (tmp_path / "archive.gpg").write_bytes(key)

    def call(url: str, *arguments: str) -> str:
        (root / "etc" / "sources.list").write_text(
            f"deb [arch=amd64 signed-by={root}/archive.gpg] {url} bookworm main\n"
        )
        settings = {
            "Dir::Etc": root / "etc",
            "Dir::Etc::sourceparts": "-",
            "Dir::Etc::trustedparts": "-",
            "Dir::State": root / "state",
            "Dir::State::status": root / "state" / "status",
            "Dir::Cache": root / "cache",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::http::Proxy": "DIRECT",
            "Acquire::Retries": "0",
        }
        return run("apt-get", *(f"-o{name}={value}" for name, value in settings.items()), "-q", *arguments)

    return call


def test_apt_updates_and_downloads(start: Start, apt: Callable[..., str], archive_builder: Any, run: Shell) -> None:
    debs = {name: archive_builder.deb(name, "1.0-1", files={f"usr/bin/{name}": b"x"}) for name in ("hello", "other")}
    archive_builder.publish("bookworm", debs.values())
    section = PackagesSection(
        name="debian", kind="apt", upstream=archive_builder.mirror, keyring="archive.gpg", allow=("hello",)
    )
    url = start(section)

    assert "Err:" not in apt(url, "update", "--error-on=any")
    apt(url, "download", "hello")
    (file,) = run.folder.glob("hello_*.deb")
    assert file.read_bytes() == debs["hello"].raw

    with refused("403"):
        apt(url, "download", "other")
    asked = len(archive_builder.requests)
    assert "Hit:1" in apt(url, "update", "--error-on=any")
    assert len(archive_builder.requests) == asked


def test_apt_gets_nothing_of_a_package_that_was_changed(
    start: Start, apt: Callable[..., str], archive_builder: Any, run: Shell
) -> None:
    deb = archive_builder.deb("hello", "1.0-1", files={"usr/bin/hello": b"x"})
    archive_builder.publish("bookworm", [deb])
    url = start(
        PackagesSection(name="debian", kind="apt", upstream=archive_builder.mirror, keyring="archive.gpg", allow=("*",))
    )
    apt(url, "update", "--error-on=any")
    (archive_builder.www / "debian" / deb.filename).write_bytes(deb.raw[::-1])
    with refused("502"):
        apt(url, "download", "hello")
    assert not list(run.folder.glob("*.deb"))


# --- pip ----------------------------------------------------------------------------------


def wheel(name: str, version: str) -> bytes:
    stem = f"{name}-{version}.dist-info"
    members = {
        f"{name}.py": b"ANSWER = 42\n",
        f"{stem}/METADATA": metadata(name, version),
        f"{stem}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    members[f"{stem}/RECORD"] = "".join(f"{path},,\n" for path in (*members, f"{stem}/RECORD")).encode()
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as packed:
        for path, content in members.items():
            packed.writestr(zipfile.ZipInfo(path), content)  # of 1980: made again, it is the same
    return raw.getvalue()


def metadata(name: str, version: str) -> bytes:
    return f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode()


@pytest.fixture
def index(upstream: Upstream) -> Upstream:
    for name in ("nice_thing", "other_thing"):
        raw, file = wheel(name, "1.0"), f"{name}-1.0-py3-none-any.whl"
        said = hashlib.sha256(metadata(name, "1.0")).hexdigest()
        upstream.pages[f"/files/{file}"] = raw
        upstream.pages[f"/files/{file}.metadata"] = metadata(name, "1.0")
        upstream.pages[f"/simple/{name.replace('_', '-')}/"] = (
            "text/html",
            f'<a href="/files/{file}#sha256={hashlib.sha256(raw).hexdigest()}" '
            f'data-core-metadata="sha256={said}">{file}</a>'.encode(),
        )
    return upstream


def pip(run: Shell, url: str, *wanted: str) -> str:
    environ = {"HOME": str(run.folder), "PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": "/dev/null"}
    command = [sys.executable, "-m", "pip", "--isolated", "--no-cache-dir", "--disable-pip-version-check"]
    arguments = ["download", "--index-url", f"{url}/simple/", "--retries", "0", "--dest", str(run.folder), *wanted]
    ran = subprocess.run(
        [*command, *arguments], env=environ, capture_output=True, text=True, timeout=120, check=False, cwd=run.folder
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_pip_downloads_what_is_allowed_and_nothing_else(start: Start, index: Upstream, run: Shell) -> None:
    url = start(PackagesSection(name="python", kind="pypi", upstream=f"{index.base}/simple", allow=("nice-thing",)))
    pip(run, url, "Nice.Thing==1.0")
    assert (run.folder / "nice_thing-1.0-py3-none-any.whl").read_bytes() == wheel("nice_thing", "1.0")
    with refused("No matching distribution found for other-thing"):
        pip(run, url, "other-thing")
    assert "/simple/other-thing/" not in index.asked


def test_pip_gets_nothing_of_a_wheel_that_was_swapped(start: Start, index: Upstream, run: Shell) -> None:
    url = start(PackagesSection(name="python", kind="pypi", upstream=f"{index.base}/simple", allow=("nice-thing",)))
    index.pages["/files/nice_thing-1.0-py3-none-any.whl"] = wheel("nice_thing", "6.6")
    with refused("502"):
        pip(run, url, "nice-thing")
    assert not list(run.folder.glob("*.whl"))


# --- npm ----------------------------------------------------------------------------------


def tarball(name: str, version: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as packed:
        content = json.dumps({"name": name, "version": version, "main": "index.js"}).encode()
        member = tarfile.TarInfo("package/package.json")
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    return raw.getvalue()


@pytest.fixture
def npm_upstream(upstream: Upstream) -> Upstream:
    for name in ("left-pad", "@dock/crane", "other"):
        raw, path = tarball(name, "1.0.0"), f"/{name}/-/{name.rpartition('/')[2]}-1.0.0.tgz"
        integrity = "sha512-" + base64.b64encode(hashlib.sha512(raw).digest()).decode()
        entry = {"name": name, "version": "1.0.0", "dist": {"tarball": upstream.base + path, "integrity": integrity}}
        document = {"name": name, "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": entry}}
        upstream.pages[path] = raw
        upstream.pages["/" + name.replace("/", "%2F")] = ("application/json", json.dumps(document).encode())
    return upstream


def npm(run: Shell, url: str, *arguments: str) -> str:
    settings = {"registry": f"{url}/", "cache": str(run.folder / "npm-cache"), "fetch-retries": "0"}
    return run("npm", *arguments, *(f"--{name}={value}" for name, value in settings.items()), "--no-update-notifier")


@pytest.mark.parametrize(
    ("name", "file"), [("left-pad", "left-pad-1.0.0.tgz"), ("@dock/crane", "dock-crane-1.0.0.tgz")]
)
def test_npm_views_packs_and_installs(start: Start, npm_upstream: Upstream, run: Shell, name: str, file: str) -> None:
    url = start(PackagesSection(name="node", kind="npm", upstream=npm_upstream.base, allow=("left-pad", "@dock/*")))
    dist = json.loads(npm(run, url, "view", name, "dist", "--json"))
    assert dist["tarball"].startswith(f"{url}/{name}/-/")
    npm(run, url, "pack", name)
    kept = npm_upstream.pages[f"/{name}/-/{name.rpartition('/')[2]}-1.0.0.tgz"]
    assert (run.folder / file).read_bytes() == kept
    (run.folder / "package.json").write_text('{"name": "app", "version": "1.0.0"}')
    npm(run, url, "install", name, "--no-audit", "--no-fund")
    lock = json.loads((run.folder / "package-lock.json").read_text())
    assert lock["packages"][f"node_modules/{name}"]["integrity"] == dist["integrity"]


def test_npm_gets_nothing_that_is_not_allowed_or_was_swapped(start: Start, npm_upstream: Upstream, run: Shell) -> None:
    url = start(PackagesSection(name="node", kind="npm", upstream=npm_upstream.base, allow=("left-pad",)))
    with refused("E403"):
        npm(run, url, "view", "other")
    npm_upstream.pages["/left-pad/-/left-pad-1.0.0.tgz"] = tarball("left-pad", "6.6.6")
    with refused("502"):
        npm(run, url, "pack", "left-pad")
