"""The registry's fixtures: upstream is a real registry on loopback."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

_spec = importlib.util.spec_from_file_location(
    "sallyport_tests_registry", Path(__file__).parents[1] / "registry" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
_registry: Any = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _registry
_spec.loader.exec_module(_registry)

http = _registry.http
site = _registry.site
here = _registry.here


class Upstream:
    """What publishers do."""

    def __init__(self, site: Any) -> None:
        self.site = site
        self.build = _registry.Builder(site.store.blobs)
        self.registry = site.serving.registry
        self.store = site.store

    def publish(self, name: str, descriptor: Any) -> None:
        """Let ``repository:tag`` name it, with everything below."""
        from sallyport.oci import walk

        repository, _, tag = name.partition(":")
        for current, document in walk(self.store.blobs, descriptor):
            subject = document.subject.digest if document.subject else None
            self.store.state.hold(repository, current, subject=subject)
        if tag:
            self.store.state.set_tag(repository, tag, descriptor)


@pytest.fixture
def upstream(site: Any) -> Upstream:
    return Upstream(site)


@pytest.fixture
def clients(site: Any) -> Callable[[str], Any]:
    return lambda registry: site.client


@pytest.fixture
def run(upstream: Any, clients: Any, here: Any) -> Callable[..., Any]:
    """Mirrors tags of ``team/app``."""
    from sallyport.mirror import make_selector, mirror

    def go(*tags: str, repository: str = "team/app", **options: Any) -> Any:
        return mirror(clients, [make_selector(f"{upstream.registry}/{repository}", tags, **options)], here)

    return go


@pytest.fixture
def lies(site: Any, lying: Any) -> dict[str, bytes]:
    """By digest, what the upstream sends instead."""
    told: dict[str, bytes] = {}
    site.counted.app = lying(site.counted.app, told)
    return told


@pytest.fixture(autouse=True)
def no_turns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked at on some days only is looked at on none, so that requests can be counted."""
    if "in_turns" not in request.node.name:
        monkeypatch.setattr("sallyport.mirror.copy._turn", lambda digest, days: False)
