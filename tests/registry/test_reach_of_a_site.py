"""How registries are reached, from the settings of a file to the socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sallyport.errors import ConfigError, DeniedError
from sallyport.registry import push_image
from sallyport.site import open_site


def write(folder: Path, **outside: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "sallyport.yaml").write_text(json.dumps({"side": "outside", "destination": "a", "outside": outside}))
    return folder


def test_settings_and_registries_conf_lead_to_a_mirror(site: Any, here: Any, build: Any, tmp_path: Path) -> None:
    image = build.image("app")
    push_image(site.client, "cache/app", ["1"], here.blobs, image)
    place = site.serving.registry
    folder = tmp_path / "outside"
    section = {"name": "registry.example", "mirrors": [{"address": f"{place}/cache"}], "connections": 2}
    conf = '[[registry]]\nlocation = "registry.example"\nblocked = true\n[[registry]]\nprefix = "other.example/team"\n'
    conf += f'location = "{place}/cache"\ninsecure = true\n[[registry]]\nlocation = "evil.example"\nblocked = true\n'
    folder.mkdir()
    (folder / "registries.conf").write_text(conf)
    write(folder, registries=[section], **{"registries-conf": "registries.conf"})
    with open_site(folder) as opened, opened.clients() as client_for:
        assert client_for("registry.example").manifest("app", "1").digest == image.digest
        assert client_for("other.example").manifest("team/app", "1").digest == image.digest
        with pytest.raises(DeniedError, match="blocked"):
            client_for("evil.example").head("app", "1")
        assert opened.reach().rule("registry.example", "app").mirrors[0].endpoint.location == f"{place}/cache"  # type: ignore[union-attr]


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    folder = write(tmp_path / "outside", registries=[{"name": "registry.example", "certificate": "a.pem"}])
    with open_site(folder) as opened, pytest.raises(ConfigError, match="without a key"):
        opened.reach()


def test_an_address_with_a_scheme_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "outside", registries=[{"name": "registry.example", "address": "https://10.0.0.1"}])
    with open_site(folder) as opened, pytest.raises(ConfigError, match="no host"):
        opened.reach()
