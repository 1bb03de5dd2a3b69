"""gc --retention leaves what a release, a candidate, a receipt, the mirror or a held channel refers to."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from sallyport.bundle import Position, Receipt, Released
from sallyport.cli.main import run_app
from sallyport.ledger import Candidate, Ledger, Upstream
from sallyport.oci import Descriptor, Digest, media_types, render_json
from sallyport.site import open_site
from sallyport.store import Store

CONFIG = """
side: inside
destination: ship-7
store: store
retention:
  - images: "*"
    keep-newest: 1
"""
REPOSITORY = "team/app"


def image(store: Store, name: str) -> Descriptor:
    raw = render_json({"name": name})
    digest = Digest.of(raw)
    store.blobs.put(digest, len(raw), [raw])
    descriptor = Descriptor(media_types.OCI_EMPTY, len(raw), digest)
    store.state.set_tag(REPOSITORY, name, descriptor)
    return descriptor


@pytest.fixture
def site(tmp_path: Path) -> Path:
    file = tmp_path / "sallyport.yaml"
    file.write_text(CONFIG)
    return file


def test_what_somebody_refers_to_stays(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_site(site) as opened:
        store, ledger = opened.store, Ledger(opened.store.state)
        names = ("a-candidate", "a-channel", "a-held", "a-imported", "a-mirrored", "a-released", "b-old", "z-newest")
        made = {name: image(store, name) for name in names}
        upstream = Upstream(REPOSITORY, "a-mirrored", "registry.example/team/app", made["a-mirrored"])
        ledger.put_upstream(upstream)
        ledger.put_candidate(Candidate(upstream, made["a-candidate"], ()))
        ledger.put_release(Released(REPOSITORY, "a-released", made["a-released"], "registry.example/team/app"))
        ledger.put_held(REPOSITORY, "a-channel", "a-held")
        imported = f"{REPOSITORY}:a-imported@{made['a-imported'].digest}"
        at = datetime(2026, 7, 11, tzinfo=UTC)
        ledger.put_receipt(Receipt(1, "ship-7", Position(1, 1), at, (), (imported,), ()))

    assert run_app(["gc", "--retention", "--dry-run", "--config", str(site)]) == 0
    assert "1 tags and 0 manifests would go" in capsys.readouterr().out
    assert run_app(["gc", "--retention", "--config", str(site)]) == 0
    assert f"{REPOSITORY}:b-old" in capsys.readouterr().out

    with open_site(site) as opened:
        left = [tag.name for tag in opened.store.state.tags(REPOSITORY)]
        (event,) = opened.store.state.events()
    assert left == [name for name in names if name != "b-old"]
    assert event.verb == "expired"
    assert event.detail["rule"] == "1: *"


def test_retention_without_rules_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sallyport.yaml"
    file.write_text("side: inside\ndestination: ship-7\nstore: store\n")
    assert run_app(["gc", "--retention", "--config", str(file)]) == 2
    assert "no retention" in capsys.readouterr().err
