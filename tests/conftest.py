"""Fixtures that more than one room's tests ask for."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def _load(name: str, path: Path) -> ModuleType:
    """A module beside the tests, which are no package."""
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Real peers run only where they are asked for: a machine without them must pass, too."""
    if os.environ.get("SALLYPORT_CLIENT_TESTS") == "1":
        return
    off = pytest.mark.skip(reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1")
    for item in items:
        if item.get_closest_marker("client") is not None:
            item.add_marker(off)


class Lying:
    """A registry that sends other bytes than it was given, by digest. Ours would not."""

    def __init__(self, app: Any, lies: dict[str, bytes]) -> None:
        self.app, self.lies = app, lies

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        lie = self.lies.get(scope.get("path", "").rpartition("/")[2])
        if lie is None or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        headers = [(b"content-length", str(len(lie)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": lie})


@pytest.fixture(scope="session")
def lying() -> type[Lying]:
    """Wraps a registry's application."""
    return Lying


@pytest.fixture
def archive_builder(tmp_path: Path) -> Iterator[Any]:
    """An ``ArchiveBuilder`` of tests/archives/builder.py, whose first lines say how to use it."""
    builder = _load("sallyport_archive_builder", Path(__file__).parent / "archives" / "builder.py")
    made = builder.ArchiveBuilder(tmp_path / "archive")
    yield made
    made.close()


@pytest.fixture(scope="session")
def deb_maker() -> Any:
    """The module tests/archives/builder.py itself: ``build_deb``, ``ar``, ``tar``, ``pack``."""
    return _load("sallyport_archive_builder", Path(__file__).parent / "archives" / "builder.py")


@pytest.fixture(scope="session")
def authorities() -> Any:
    """The module tests/engine/authority.py: ``Authority``, ``tunnel`` (TLS) and ``forward_proxy``."""
    return _load("sallyport_authority", Path(__file__).parent / "engine" / "authority.py")


@pytest.fixture(scope="session")
def real_archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Opens suites of the host's real mirror: ``real_archive("bookworm", "bookworm-security")``.

    For tests marked ``archive``. One cache serves the session, so that nothing is fetched twice.
    """
    from sallyport.archives import Archive, Suite, apt_proxies, find_mirrors, load_keyring
    from sallyport.engine import Http
    from sallyport.errors import NoMirrorError, UnreachableError
    from sallyport.store import DirectoryStore

    try:
        mirrors = find_mirrors(environ=os.environ)
    except NoMirrorError as error:
        pytest.skip(f"{error}: {error.mend}")
    cache = DirectoryStore(tmp_path_factory.mktemp("archive-cache"), durable=False)
    named = any(os.environ.get(name) for name in ("http_proxy", "https_proxy", "HTTPS_PROXY"))
    with Http(proxies=None if named else dict(apt_proxies()), retries=1, timeout_s=20) as http:

        def open_suites(*names: str) -> Archive:
            suites = [Suite(mirrors.security if name.endswith("-security") else mirrors.main, name) for name in names]
            try:
                keyring = load_keyring(http=http, cache=cache, mirror=mirrors.main)
                return Archive.open(suites, keyring, http, cache, now=datetime.now(UTC))
            except UnreachableError as error:
                pytest.skip(f"the mirror of this host cannot be reached: {error}")

        yield open_suites
