"""Everything that is said about an image crosses with it, whenever it was said."""

from __future__ import annotations

import io
import json
import random
import tarfile
from pathlib import Path
from typing import Any

import pytest

from sallyport.errors import DamagedError, RefusedError, UnsignedError, UsageError
from sallyport.mirror import make_selector, mirror
from sallyport.oci import (
    REF_NAME,
    Descriptor,
    Digest,
    LayoutReader,
    build_index,
    build_manifest,
    load_images,
    load_manifest,
    media_types,
    read_blob,
    write_layout,
)
from sallyport.store import Store, open_store, verify_store

BILL = "application/vnd.cyclonedx+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def everything(store: Store, repository: str) -> dict[Digest, bytes]:
    """All bytes that the repository can show."""
    from sallyport.oci import reachable

    digests = {
        item.digest: item
        for held in store.state.manifests(repository)
        for item in reachable(store.blobs, held.descriptor)
    }
    return {digest: b"".join(store.blobs.chunks(digest)) for digest in digests}


def test_a_signature_that_comes_after_its_image_is_fetched(upstream: Any, here: Store, run: Any, site: Any) -> None:
    image = upstream.build.image("app")
    upstream.publish("team/app:1.0", image)
    assert run("1.0")[0].changed
    about = upstream.build.about(image, BUNDLE, "signed later")
    upstream.publish("team/app", about)
    (done,) = run("1.0")
    assert not done.changed, "the image is the same"
    assert [held.descriptor.digest for held in here.state.referrers("team/app", image.digest)] == [about.digest]
    site.counted.take()
    run("1.0")
    assert len(site.counted.take()) == 2, "and then it is known"
    assert verify_store(here) == ()


def test_a_classic_signature_that_changes_is_fetched(upstream: Any, here: Store, run: Any) -> None:
    image = upstream.build.image("app")
    name = f"sha256-{image.digest.hex}.sig"
    upstream.publish("team/app:1.0", image)
    upstream.publish(f"team/app:{name}", upstream.build.image("signature by one"))
    run("1.0")
    both = upstream.build.image("signatures by two")
    upstream.publish(f"team/app:{name}", both)
    run("1.0")
    tag = here.state.tag("team/app", name)
    assert tag is not None
    assert tag.descriptor.digest == both.digest


def test_first_signatures_and_statements_about_children_are_noticed_in_turns(
    upstream: Any, here: Store, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = upstream.build.index("app")
    upstream.publish("team/app:1.0", index)
    run("1.0")
    name = f"sha256-{index.digest.hex}.sig"
    upstream.publish(f"team/app:{name}", upstream.build.image("signature"))
    child = load_manifest(upstream.store.blobs, index).manifests[0]  # type: ignore[union-attr]
    about = upstream.build.about(child, BILL, "{}")
    upstream.publish("team/app", about)
    seen: list[tuple[bool, bool]] = []
    for day in range(7):
        monkeypatch.setattr("sallyport.mirror.copy._today", lambda day=day: day)
        run("1.0")
        seen.append(
            (here.state.tag("team/app", name) is not None, here.state.held("team/app", about.digest) is not None)
        )
    assert seen[2][0], "within three days"
    assert seen[6] == (True, True), "within seven days"


def test_a_tag_that_upstream_never_moves_is_asked_for_once(upstream: Any, clients: Any, here: Store, site: Any) -> None:
    upstream.publish("team/app:1.0.3", upstream.build.image("app"))
    selector = make_selector(f"{upstream.registry}/team/app", ["1.0.3"], immutable=["1.*"])
    assert mirror(clients, [selector], here)[0].changed
    site.counted.take()
    (done,) = mirror(clients, [selector], here)
    assert (site.counted.take(), done.requests, done.changed) == ([], 0, False)


def test_images_by_digest_and_images_that_never_come(upstream: Any, clients: Any, here: Store) -> None:
    good, bad = upstream.build.image("good"), upstream.build.image("bad")
    upstream.publish("team/app:1.0", bad)
    upstream.publish("team/app", good)
    source = f"{upstream.registry}/team/app"
    (done,) = mirror(clients, [make_selector(source, [], digests=[str(good.digest)])], here)
    assert (done.descriptor.digest, done.tag) == (good.digest, f"digest-sha256-{good.digest.hex}")
    with pytest.raises(RefusedError, match="deny"):
        mirror(clients, [make_selector(source, ["1.0"], deny=[str(bad.digest)])], here)
    upstream.publish("team/app:1.0-rc1", good)
    (done,) = mirror(clients, [make_selector(source, ["1.*"], deny=["*-rc*"])], here)
    assert done.tag == "1.0"


def test_what_is_required_must_be_attached(upstream: Any, clients: Any, here: Store) -> None:
    image = upstream.build.image("app")
    upstream.publish("team/app:1.0", image)
    selector = make_selector(f"{upstream.registry}/team/app", ["1.0"], require=["signature", "bill"])
    with pytest.raises(UnsignedError, match="no signature and no bill"):
        mirror(clients, [selector], here)
    assert here.state.tag("team/app", "1.0") is None
    upstream.publish("team/app", upstream.build.about(image, BUNDLE, "signed"))
    with pytest.raises(UnsignedError, match="no bill"):
        mirror(clients, [selector], here)
    upstream.publish("team/app", upstream.build.about(image, BILL, "{}"))
    assert mirror(clients, [selector], here)[0].changed


def test_without_attachments_only_the_image_comes(upstream: Any, clients: Any, here: Store, site: Any) -> None:
    image = upstream.build.image("app")
    upstream.publish("team/app:1.0", image)
    upstream.publish("team/app", upstream.build.about(image, BILL, "{}"))
    selector = make_selector(f"{upstream.registry}/team/app", ["1.0"], attachments=False)
    mirror(clients, [selector], here)
    assert not any("referrers" in line for line in site.counted.take())
    assert here.state.referrers("team/app", image.digest) == []


# --- round trips ----------------------------------------------------------------------------------


class Odd:
    """A layout with all that a registry may hold, made anew from each seed."""

    def __init__(self, store: Store, seed: int) -> None:
        self.blobs = store.blobs
        self.draw = random.Random(seed)
        self.top: list[Descriptor] = []
        self.about: list[Descriptor] = []

    def blob(self, data: bytes, kind: str) -> Descriptor:
        descriptor = Descriptor(kind, len(data), Digest.of(data))
        self.blobs.put(descriptor.digest, descriptor.size, (data,))
        return descriptor

    def keep(self, document: Any) -> Descriptor:
        return self.blob(document.raw, document.media_type)

    def image(self, **more: Any) -> Descriptor:
        kinds = (
            media_types.OCI_LAYER_GZIP,
            media_types.OCI_LAYER_ZSTD,
            "application/x-odd.thing+json",
            media_types.OCI_LAYER,
        )
        layers = [
            self.blob(self.draw.randbytes(self.draw.randint(0, 3000)), self.draw.choice(kinds))
            for _ in range(self.draw.randint(0, 4))
        ]
        config = self.blob(b"{}", self.draw.choice([media_types.OCI_EMPTY, "application/vnd.example.config+json"]))
        return self.keep(build_manifest(config, layers, artifact_type="application/vnd.example.thing", **more))

    def index(self, depth: int) -> Descriptor:
        children = [
            self.index(depth - 1) if depth and self.draw.random() < 0.4 else self.image()
            for _ in range(self.draw.randint(0, 3))
        ]
        return self.keep(build_index(children, annotations={"n": str(self.draw.random())}))

    def say(self, subject: Descriptor) -> None:
        """A statement; perhaps an index of statements; perhaps somebody signs the statement."""
        if self.draw.random() < 0.3:
            made = self.keep(
                build_index(
                    [self.image(), self.image()], subject=subject, artifact_type="application/vnd.example.bills"
                )
            )
        else:
            made = self.image(subject=subject)
        self.about.append(made)
        if self.draw.random() < 0.3:
            self.about.append(self.image(subject=made))


@pytest.mark.parametrize("seed", range(12))
def test_a_layout_goes_round_and_comes_back_to_the_digest(
    seed: int, tmp_path: Path, upstream: Any, site: Any, clients: Any
) -> None:
    """Layout -> store -> served -> mirrored -> layout -> store: every byte, every name, every statement."""
    from sallyport.oci import Index, load_manifest, reachable

    with open_store(tmp_path / "made") as made:
        odd = Odd(made, seed)
        odd.top = [odd.index(3), odd.image(), odd.index(0)]
        for top in odd.top:
            for item in reachable(made.blobs, top):
                if item.media_type in media_types.MANIFESTS | media_types.INDEXES and odd.draw.random() < 0.5:
                    odd.say(item)
        names = {f"v{number}": top for number, top in enumerate(odd.top)}
        entries = [
            Descriptor(top.media_type, top.size, top.digest, annotations={REF_NAME: name})
            for name, top in names.items()
        ]
        write_layout(tmp_path / "layout", made.blobs, [*entries, *odd.about])
    wanted = {
        digest: b"".join(LayoutReader(tmp_path / "layout").chunks(digest))
        for digest in LayoutReader(tmp_path / "layout").digests()
    }

    source = f"oci:{tmp_path / 'layout'}"
    mirror(clients, [make_selector(source, ["*"], to="round/trip")], site.store)
    with open_store(tmp_path / "second") as second:
        mirror(clients, [make_selector(f"{upstream.registry}/round/trip", ["v*"])], second)
        assert verify_store(second) == ()
        assert {tag.name: tag.descriptor.digest for tag in second.state.tags("round/trip")} == {
            name: top.digest for name, top in names.items()
        }
        assert everything(second, "round/trip") == wanted
        back = [
            Descriptor(
                tag.descriptor.media_type, tag.descriptor.size, tag.descriptor.digest, annotations={REF_NAME: tag.name}
            )
            for tag in second.state.tags("round/trip")
        ]
        others = [held.descriptor for held in second.state.manifests("round/trip") if held.subject is not None]
        write_layout(tmp_path / "back", second.blobs, [*back, *others])
    assert {
        digest: read_blob(LayoutReader(tmp_path / "back"), digest, limit=10_000_000)
        for digest in LayoutReader(tmp_path / "back").digests()
    } == wanted
    with open_store(tmp_path / "third") as third:
        mirror(clients, [make_selector(f"oci:{tmp_path / 'back'}", ["*"], to="round/trip")], third)
        assert everything(third, "round/trip") == wanted
        assert isinstance(load_manifest(third.blobs, odd.top[0]), Index)


def test_files_need_a_name_to_go_by(tmp_path: Path, clients: Any, here: Store) -> None:
    with pytest.raises(UsageError, match="needs a path"):
        make_selector("oci:layout", ["*"])
    with pytest.raises(UsageError, match="there is no"):
        mirror(clients, [make_selector(f"oci:{tmp_path / 'nowhere'}", ["*"], to="a/b")], here)


def test_a_layout_in_a_tar_and_what_docker_save_wrote(tmp_path: Path, clients: Any, here: Store) -> None:
    with open_store(tmp_path / "made") as made:
        odd = Odd(made, 3)
        top = odd.index(2)
        write_layout(
            tmp_path / "layout",
            made.blobs,
            [Descriptor(top.media_type, top.size, top.digest, annotations={REF_NAME: "1.0"})],
        )
    with tarfile.open(tmp_path / "layout.tar", "w") as tar:
        tar.add(tmp_path / "layout", ".")
    (done,) = mirror(clients, [make_selector(f"oci-archive:{tmp_path / 'layout.tar'}", ["1.0"], to="from/tar")], here)
    assert done.descriptor.digest == top.digest

    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("hello"), io.BytesIO())
    diff_id = Digest.of(layer.getvalue())
    config = json.dumps(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [str(diff_id)] * 2}}
    )
    listed = [
        {
            "Config": "config.json",
            "RepoTags": ["team/app:2.0", "team/app:latest"],
            "Layers": ["a/layer.tar", "b/layer.tar"],
        }
    ]
    with tarfile.open(tmp_path / "saved.tar", "w") as tar:
        for name, data in (
            ("a/layer.tar", layer.getvalue()),
            ("config.json", config.encode()),
            ("manifest.json", json.dumps(listed).encode()),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("b/layer.tar")
        link.type, link.linkname = tarfile.SYMTYPE, "../a/layer.tar"
        tar.addfile(link)
    saved = make_selector(f"docker-archive:{tmp_path / 'saved.tar'}", ["*"], to="from/docker")
    done_first = mirror(clients, [saved], here)
    assert sorted(done.tag for done in done_first) == ["2.0", "latest"]
    (image,) = load_images(here.blobs, done_first[0].descriptor)
    assert [found for _, found in image.layers] == [diff_id, diff_id]
    with open_store(tmp_path / "again") as again:
        assert {done.descriptor.digest for done in mirror(clients, [saved], again)} == {done_first[0].descriptor.digest}
    assert verify_store(here) == ()
    assert [path.name for path in (here.root / "partial").iterdir()] == []


@pytest.mark.parametrize("scheme", ["oci-archive", "docker-archive"])
def test_a_broken_archive_is_named(tmp_path: Path, clients: Any, here: Store, scheme: str) -> None:
    broken = tmp_path / "broken.tar"
    for content in (b"", b"no tar at all" * 100, bytes(1024)):
        broken.write_bytes(content)
        with pytest.raises(DamagedError):
            mirror(clients, [make_selector(f"{scheme}:{broken}", ["*"], to="a/b")], here)
    assert here.state.repositories() == []
