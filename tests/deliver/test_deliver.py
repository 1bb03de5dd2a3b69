"""Releases to other registries, from the command line, over real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from sallyport.engine import Http
from sallyport.oci import Descriptor, Digest, Manifest, build_manifest, load_manifest
from sallyport.registry import RegistryClient
from sallyport.sign import classic_tag
from sallyport.store import Held, Store, verify_store

REPOSITORY, TAG = "library/web", "12-20261124.1"


def states(deliveries: Any) -> list[str]:
    return [image["state"] for delivery in deliveries for image in delivery["images"]]


def test_a_release_goes_with_all_that_is_attached_and_only_once(scene: Any, serving: Any) -> None:
    _, there, store = serving()
    scene.configure({"name": "plain", "registry": there.registry, "prefix": "mirror"})
    plan = scene.deliver("--dry-run")
    assert states(plan) == ["to send"]
    assert plan[0]["images"][0]["bytes"] > 10_000
    assert store.state.repositories() == []
    assert scene.journal() == []

    done = scene.deliver("plain")
    assert states(done) == ["sent"]
    assert done[0]["images"][0]["reference"] == f"{there.registry}/mirror/library/web:{TAG}"
    # By its digest first, and under its tag once the signatures are there.
    assert done[0]["images"][0]["bytes"] == plan[0]["images"][0]["bytes"] + scene.index.size
    name = f"mirror/{REPOSITORY}"
    assert store.state.tag(name, TAG).descriptor.digest == scene.index.digest
    assert store.state.tag(name, classic_tag(scene.index.digest)).descriptor.digest == scene.signed.digest
    assert [held.descriptor.digest for held in store.state.referrers(name, scene.index.digest)] == [scene.bill.digest]
    assert verify_store(store) == ()
    (event,) = scene.journal()
    assert event.subject == f"{REPOSITORY}:{TAG}@{scene.index.digest}"
    assert event.detail["destination"] == "plain"

    with scene.store() as mine:  # as a kill leaves it between the last byte and the note that it was the last
        mine.state.put_fact("upload", f"{there.registry}/mirror/x@sha256:0", b"http://long.example/gone")
        mine.state.put_fact("upload", "other.example/x@sha256:0", b"http://other.example/on-its-way")
    again = scene.deliver()
    assert states(again) == ["there"]
    assert len(scene.journal()) == 1
    with scene.store() as mine:
        assert [key for key, _ in mine.state.facts("upload")] == ["other.example/x@sha256:0"]


def test_what_the_other_side_lost_is_sent_again(scene: Any, serving: Any) -> None:
    _, there, store = serving()
    scene.configure({"name": "plain", "registry": there.registry})
    scene.deliver()
    children = [held.descriptor.digest for held in store.state.manifests(REPOSITORY)]
    lost = next(d for d in children if d not in (scene.index.digest, scene.bill.digest, scene.signed.digest))
    store.state.unhold(REPOSITORY, lost)
    store.blobs.delete(lost)
    assert states(scene.deliver()) == ["sent"]
    assert store.state.held(REPOSITORY, lost) is not None
    assert states(scene.deliver()) == ["there"]


def test_signatures_of_others_under_the_same_tag_stay(scene: Any, serving: Any) -> None:
    _, there, _ = serving()
    tag = classic_tag(scene.index.digest)
    scene.configure({"name": "plain", "registry": there.registry})
    scene.deliver()
    with Http(proxies={}) as http, scene.store() as mine:
        client = RegistryClient(http, there.registry)
        ours = load_manifest(mine.blobs, scene.signed)
        assert isinstance(ours, Manifest)
        layer = ours.layers[0]
        theirs = build_manifest(ours.config, [replace(layer, annotations={"k": "theirs"})])
        client.push_manifest(REPOSITORY, tag, theirs)
        assert states(scene.deliver()) == ["sent"]
        both = client.manifest(REPOSITORY, tag)
        assert isinstance(both, Manifest)
        assert [dict(one.annotations) for one in both.layers] == [{"k": "theirs"}, dict(layer.annotations)]
        assert states(scene.deliver()) == ["there"]
        assert client.manifest(REPOSITORY, tag).digest == both.digest
        assert client.has_blob(REPOSITORY, both.config.digest)


def test_an_immutable_tag_that_names_another_image_is_the_conflict(scene: Any, serving: Any, tmp_path: Path) -> None:
    _, there, store = serving()
    scene.configure({"name": "plain", "registry": there.registry})
    other = Digest.of(b"other")
    store.blobs.put(other, 5, [b"other"])
    store.state.set_tag(REPOSITORY, TAG, Descriptor(scene.index.media_type, 5, other), immutable=True)
    done = scene.deliver(code=7)
    assert states(done) == ["failed"]
    assert "immutable" in done[0]["images"][0]["mend"]
    assert store.state.tag(REPOSITORY, TAG).descriptor.digest == other


def test_the_channel_goes_with_the_release_that_it_names(scene: Any, serving: Any) -> None:
    _, there, store = serving()
    scene.configure({"name": "plain", "registry": there.registry, "what": "channel"})
    assert states(scene.deliver()) == []
    with scene.store() as mine:
        mine.state.set_tag(REPOSITORY, "stable", scene.index)
    scene.deliver()
    assert {tag.name for tag in store.state.tags(REPOSITORY)} == {TAG, "stable", classic_tag(scene.index.digest)}


def test_everything_means_every_tag(scene: Any, serving: Any) -> None:
    _, there, store = serving()
    with scene.store() as mine:
        mine.state.set_tag("other/app", "edge", scene.index)
        mine.state.set_tag("other/app", f"sha256-{'0' * 64}.sig", scene.signed)
    scene.configure({"name": "plain", "registry": there.registry, "what": "everything"})
    assert sorted(states(scene.deliver())) == ["sent"] * 3
    assert set(store.state.repositories()) == {REPOSITORY, "other/app"}
    assert store.state.tag("other/app", f"sha256-{'0' * 64}.sig").descriptor.digest == scene.signed.digest


def test_names_that_would_meet_are_an_error_before_anything_is_sent(scene: Any, serving: Any) -> None:
    _, there, store = serving()
    with scene.store() as mine:
        mine.state.set_tag("other/web", "edge", scene.index)
    rule = [{"images": "*", "to": "apps/{name}"}]
    scene.configure({"name": "plain", "registry": there.registry, "what": "everything", "rename": rule})
    assert scene.deliver(code=2)["error"] == "ConfigError"
    assert store.state.repositories() == []


def test_words_about_what_is_not_there(scene: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert scene.deliver(code=2)["error"] == "ConfigError"
    scene.configure({"name": "plain", "registry": "127.0.0.1:1"}, {"name": "odd", "kind": "none", "registry": "a"})
    assert scene.deliver("nobody", code=2)["mend"] == "name one of: plain, odd"
    assert "harbor" in scene.deliver("odd", code=2)["mend"]


def test_a_registry_that_is_down_is_one_failure_and_no_other(scene: Any, serving: Any) -> None:
    _, there, store = serving()
    scene.configure({"name": "down", "registry": "127.0.0.1:1"}, {"name": "up", "registry": there.registry})
    assert states(scene.deliver(code=5)) == ["failed", "sent"]
    assert store.state.tag(REPOSITORY, TAG) is not None


# --- products ---------------------------------------------------------------------------------


def test_harbor_gets_a_project_a_rule_and_a_robot_once(scene: Any, serving: Any, products: Any) -> None:
    harbor, there, store = serving(products.HarborServer)
    scene.login(there.registry)
    scene.configure(
        {"name": "harbor", "kind": "harbor", "registry": there.registry, "prefix": "fleet", "robot": "puller"}
    )
    plan = scene.deliver("--dry-run")
    kinds = ["project", "immutability rule", "robot account"]
    assert [made["kind"] for made in plan[0]["made"]] == kinds
    assert (harbor.projects, harbor.robots, states(plan)) == ({}, [], ["to send"])
    done = scene.deliver()
    assert [made["kind"] for made in done[0]["made"]] == kinds
    assert done[0]["made"][2]["name"] == "robot$fleet+puller"
    assert done[0]["made"][2]["secret"] == "s3cret"
    (rule,) = harbor.rules["fleet"]
    assert rule["tag_selectors"][0]["pattern"] == "*-20[0-9][0-9][0-9][0-9][0-9][0-9].*"
    assert harbor.bodies[-1]["permissions"][0]["access"] == [
        {"action": "list", "resource": "repository"},
        {"action": "pull", "resource": "repository"},
    ]
    assert store.state.tag(f"fleet/{REPOSITORY}", TAG).descriptor.digest == scene.index.digest
    harbor.take()
    assert scene.deliver()[0]["made"] == []
    assert all(line.startswith("GET ") for line in harbor.take())
    with scene.store() as mine:
        assert "s3cret" not in "".join(str(event) for event in mine.state.events())


def test_a_harbor_that_lets_us_push_and_not_administer_gets_images_and_it_is_said(
    scene: Any, serving: Any, products: Any
) -> None:
    harbor, there, _ = serving(products.HarborServer)
    harbor.projects["fleet"] = 1
    harbor.administers = False
    scene.login(there.registry)
    scene.configure({"name": "harbor", "kind": "harbor", "registry": there.registry, "prefix": "fleet"})
    done = scene.deliver()
    assert states(done) == ["sent"]
    assert "403" in done[0]["made"][0]["problem"]
    harbor.status = 500
    assert scene.deliver(code=5)["error"] == "UnreachableError"
    harbor.status = 0
    scene.configure({"name": "harbor", "kind": "harbor", "registry": there.registry})
    with scene.store() as mine:
        from sallyport.bundle import Released
        from sallyport.ledger import Ledger

        mine.state.set_tag("web", TAG, scene.index, immutable=True)
        Ledger(mine.state).put_release(Released("web", TAG, scene.index, ""))
    assert "project" in scene.deliver(code=2)["message"]


def test_quay_gets_repositories_and_its_tags_an_end(scene: Any, serving: Any, products: Any) -> None:
    quay, there, _ = serving(products.QuayServer)
    (scene.folder / "token").write_text(f"{quay.token}\n")
    section = {"name": "quay", "kind": "quay", "registry": there.registry, "prefix": "fleet", "expire": "2w"}
    scene.configure({**section, "token-file": "token"})
    assert states(scene.deliver("--dry-run")) == ["to send"]
    assert quay.repositories == set()
    done = scene.deliver()
    name = f"fleet/{REPOSITORY}"
    assert quay.repositories == {name}
    assert [made["kind"] for made in done[0]["made"]] == ["repository", "tag expiry"]
    left = quay.expiry[f"{name}:{TAG}"] - datetime.now(UTC).timestamp()
    assert 13.9 < left / 86400 <= 14
    quay.take()
    assert scene.deliver()[0]["made"] == []
    assert quay.take() == [f"GET /api/v1/repository/{name}"]
    scene.configure(section)
    assert "no token-file" in scene.deliver()[0]["made"][0]["problem"]
    scene.configure({**section, "token-file": "missing"})
    assert "token" in scene.deliver(code=2)["message"]
    (scene.folder / "token").write_text("wrong")
    scene.configure({**section, "token-file": "token"})
    assert scene.deliver(code=5)["error"] == "DeniedError"


@pytest.mark.parametrize("layout", ["path", "port"])
def test_nexus_gets_a_hosted_repository(scene: Any, serving: Any, products: Any, layout: str) -> None:
    nexus, there, store = serving(products.NexusServer)
    nexus.layout = layout
    scene.login(there.registry)
    scene.configure(
        {"name": "nexus", "kind": "nexus", "registry": there.registry, "prefix": "docker-hosted", "layout": layout}
    )
    assert states(scene.deliver("--dry-run")) == ["to send"]
    done = scene.deliver()
    assert [made["name"] for made in done[0]["made"]] == ["docker-hosted"]
    docker = nexus.keys["docker-hosted"]["docker"]
    assert docker.get("pathEnabled" if layout == "path" else "httpPort")
    name = f"docker-hosted/{REPOSITORY}" if layout == "path" else REPOSITORY
    assert store.state.tag(name, TAG).descriptor.digest == scene.index.digest
    assert scene.deliver()[0]["made"] == []


def test_artifactory_gets_a_local_repository_and_no_remote_one(scene: Any, serving: Any, products: Any) -> None:
    artifactory, there, store = serving(products.ArtifactoryServer)
    scene.login(there.registry)
    section = {"name": "jfrog", "kind": "artifactory", "registry": there.registry, "prefix": "docker-local"}
    scene.configure(section)
    scene.deliver()
    assert artifactory.keys["docker-local"]["rclass"] == "local"
    assert store.state.tag(f"docker-local/{REPOSITORY}", TAG) is not None
    assert scene.deliver()[0]["made"] == []
    artifactory.keys["docker-remote"] = {"rclass": "remote", "packageType": "docker"}
    scene.configure({**section, "prefix": "docker-remote"})
    assert "remote repository" in scene.deliver(code=2)["message"]


def test_a_login_does_not_go_to_a_management_address_in_the_open(scene: Any) -> None:
    scene.configure(
        {"name": "h", "kind": "harbor", "registry": "harbor.example", "prefix": "x", "api": "http://harbor.example"}
    )
    assert "not https" in scene.deliver(code=2)["message"]


def test_the_words_on_the_terminal(scene: Any, serving: Any, products: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from sallyport.cli.main import run_app

    _, there, _ = serving(products.HarborServer)
    scene.login(there.registry)
    scene.configure({"name": "h", "kind": "harbor", "registry": there.registry, "prefix": "fleet", "robot": "puller"})
    assert run_app(["deliver", "--config", str(scene.folder)]) == 0
    said = capsys.readouterr().out
    assert "made robot account robot$fleet+puller; its secret, shown this once: s3cret" in said
    assert json.dumps(TAG)[1:-1] in said


@dataclass
class Deadly:
    """Kills a process at its third piece of a blob, and counts how many bytes of pieces came."""

    app: ASGIApp
    victim: int = 0
    pieces: int = 0
    came: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "PATCH":
            self.pieces += 1
            if self.victim and self.pieces == 3:
                os.kill(self.victim, signal.SIGKILL)
                return
            self.came += int(dict(scope["headers"])[b"content-length"])
        await self.app(scope, receive, send)


def test_a_killed_delivery_goes_on_in_the_middle_of_a_blob(
    scene: Any, serving: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly, there, store = serving(Deadly)
    scene.configure({"name": "plain", "registry": there.registry})
    chunk = 1000
    code = (
        "import sallyport.registry.upload as upload, sys\n"
        f"upload.CHUNK = {chunk}\n"
        "sys.stdin.readline()\n"
        "from sallyport.cli.main import run_app\n"
        f"run_app(['deliver', '--config', {str(scene.folder)!r}])\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadly.victim = child.pid
    child.communicate(b"go\n", timeout=60)
    assert child.returncode == -signal.SIGKILL
    assert store.state.tag(REPOSITORY, TAG) is None
    with scene.store() as mine:
        assert len([*mine.state.facts("upload")]) >= 1

    deadly.victim = 0
    monkeypatch.setattr("sallyport.registry.upload.CHUNK", chunk)
    assert states(scene.deliver()) == ["sent"]
    assert store.state.tag(REPOSITORY, TAG).descriptor.digest == scene.index.digest
    assert verify_store(store) == ()
    with scene.store() as mine:
        sizes = [blob.size for held in mine.state.manifests(REPOSITORY) for blob in blobs_of(mine, held)]
        assert [*mine.state.facts("upload")] == []
    # At most the piece that was under way when it died, for each of the uploads that were, went twice.
    assert max(sizes) > 3 * chunk
    assert deadly.came <= sum(size for size in sizes if size > chunk) + 4 * chunk


def blobs_of(store: Store, held: Held) -> tuple[Descriptor, ...]:
    manifest = load_manifest(store.blobs, held.descriptor)
    return manifest.blobs if isinstance(manifest, Manifest) else ()


def test_what_several_tags_share_is_asked_for_and_counted_once(scene: Any, serving: Any) -> None:
    counted, there, _ = serving(Counted)
    with scene.store() as mine:
        for number in range(20):
            mine.state.set_tag(REPOSITORY, f"edge{number}", scene.index)
    scene.configure({"name": "plain", "registry": there.registry, "what": "everything"})
    plan = scene.deliver("--dry-run")
    sizes = sorted(image["bytes"] for image in plan[0]["images"])
    assert sizes[-1] > 10_000
    assert sizes[-2] == scene.index.size, "the others bring only their tag"
    scene.deliver()
    counted.seen.clear()
    assert states(scene.deliver()) == ["there"] * 21
    asked = [line for line in counted.seen if "/blobs/" in line]
    assert len([line for line in asked if line.startswith("HEAD")]) == len(set(asked))


@dataclass
class Counted:
    """Notes every request."""

    app: ASGIApp
    seen: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self.seen.append(f"{scope['method']} {scope['path']}")
        await self.app(scope, receive, send)
