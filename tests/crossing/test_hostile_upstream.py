"""An upstream that is broken or hostile: the error names the thing and the mend, the store stays whole, others go on.

A manifest over the limit is not among them, because our own registry does not even serve one: see tests/registry.
"""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest

from sallyport.cli.main import run_app
from sallyport.ledger import Ledger
from sallyport.oci import (
    Descriptor,
    Digest,
    Manifest,
    build_index,
    build_manifest,
    load_image,
    media_types,
    parse_manifest,
    render_json,
)


@pytest.fixture
def outdated(scene: Any) -> Any:
    """Two images; the upstream will turn on ``web``."""
    scene.publish("web", openssl="3.0.11-1", curl="7.88-1")
    scene.publish("api", openssl="3.0.11-1")
    scene.fix("openssl", "3.0.15-1", closes=["CVE-2026-1111"])
    scene.configure()
    scene.edit("outside", "max-age: 14d", "max-age: 500w")
    return scene


def index_of(scene: Any) -> Descriptor:
    tag = scene.upstream.state.tag("web", "12")
    assert tag is not None
    descriptor: Descriptor = tag.descriptor
    return descriptor


def put(scene: Any, raw: bytes, media_type: str) -> Descriptor:
    """Bytes under their true digest: what no hash can object to."""
    descriptor = Descriptor(media_type, len(raw), Digest.of(raw))
    scene.upstream.blobs.put(descriptor.digest, len(raw), [raw])
    scene.upstream.state.hold("web", descriptor)
    return descriptor


def publish(scene: Any, raw: bytes, media_type: str = media_types.OCI_MANIFEST) -> None:
    scene.upstream.state.set_tag("web", "12", put(scene, raw, media_type))


def first_layer(scene: Any) -> Descriptor:
    index = parse_manifest(b"".join(scene.upstream.blobs.chunks(index_of(scene).digest)))
    assert not isinstance(index, Manifest)
    return load_image(scene.upstream.blobs, index.manifests[0]).manifest.layers[0]


def with_layer(scene: Any, plain: bytes, packed: bytes | None = None) -> None:
    """An image of one layer whose digests all hold."""
    packed = gzip.compress(plain) if packed is None else packed
    layer = put(scene, packed, media_types.OCI_LAYER_GZIP)
    config = {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(plain))]}}
    manifest = build_manifest(put(scene, render_json(config), media_types.OCI_CONFIG), [layer])
    publish(scene, manifest.raw)


def tar_with(member: tarfile.TarInfo, data: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def wrong_digest(scene: Any) -> None:
    digest = first_layer(scene).digest
    data = bytearray(b"".join(scene.upstream.blobs.chunks(digest)))
    data[len(data) // 2] ^= 1
    scene.lies[str(digest)] = bytes(data)


def truncated(scene: Any) -> None:
    digest = first_layer(scene).digest
    scene.lies[str(digest)] = b"".join(scene.upstream.blobs.chunks(digest))[:-10]


def unknown_media_type(scene: Any) -> None:
    raw = render_json({"schemaVersion": 2, "mediaType": "application/vnd.evil.v1+json", "config": {}, "layers": []})
    publish(scene, raw, "application/vnd.evil.v1+json")


def malformed(scene: Any) -> None:
    publish(scene, b'{"schemaVersion": 2, "config": ')


def twice_the_same_key(scene: Any) -> None:
    raw = b"".join(scene.upstream.blobs.chunks(index_of(scene).digest))
    publish(scene, raw.replace(b'{"manifests"', b'{"manifests":[],"manifests"', 1), media_types.OCI_INDEX)


def nested_without_end(scene: Any) -> None:
    descriptor = index_of(scene)
    for _ in range(12):
        descriptor = put(scene, build_index([descriptor]).raw, media_types.OCI_INDEX)
    scene.upstream.state.set_tag("web", "12", descriptor)


def traversal(scene: Any) -> None:
    with_layer(scene, tar_with(tarfile.TarInfo("../../etc/cron.d/evil"), b"x"))


def absolute_hard_link(scene: Any) -> None:
    member = tarfile.TarInfo("shadow")
    member.type, member.linkname = tarfile.LNKTYPE, "/etc/shadow"
    with_layer(scene, tar_with(member))


def bomb(scene: Any) -> None:
    huge = tarfile.TarInfo("var/lib/dpkg/status")
    huge.size = 600 * 1024 * 1024
    plain = huge.tobuf(tarfile.USTAR_FORMAT) + bytes(huge.size) + bytes(1024)
    with_layer(scene, plain, gzip.compress(plain, 1))


def another_diff_id(scene: Any) -> None:
    with_layer(scene, tar_with(tarfile.TarInfo("a"), b"x"), gzip.compress(tar_with(tarfile.TarInfo("b"), b"y")))


@pytest.mark.parametrize(
    ("turn", "codes"),
    [
        (wrong_digest, {3}),
        (truncated, {3, 5}),
        (unknown_media_type, {3, 5}),
        (malformed, {3}),
        (twice_the_same_key, {3}),
        (nested_without_end, {3}),
    ],
)
def test_what_cannot_be_mirrored_is_named_and_holds_up_nobody(
    outdated: Any, capfd: pytest.CaptureFixture[str], turn: Callable[[Any], None], codes: set[int]
) -> None:
    turn(outdated)
    outside = str(outdated.root / "outside")
    assert run_app(["mirror", "-c", outside]) in codes
    shown = capfd.readouterr().err
    assert shown.startswith("error: upstream.example/web: ")
    assert "\nmend: " in shown
    assert "Traceback" not in shown
    the_other_crosses(outdated, outside)


@pytest.mark.parametrize("turn", [traversal, absolute_hard_link, bomb, another_diff_id])
def test_what_cannot_be_catalogued_is_named_and_never_crosses(
    outdated: Any, capfd: pytest.CaptureFixture[str], turn: Callable[[Any], None]
) -> None:
    turn(outdated)
    outside = str(outdated.root / "outside")
    assert run_app(["mirror", "-c", outside]) == 0  # bytes are bytes; nobody has looked into them
    capfd.readouterr()
    assert run_app(["scan", "-c", outside]) == 3
    shown = capfd.readouterr().err
    assert shown.startswith("error: library/web:12: ")
    assert "\nmend: " in shown
    the_other_crosses(outdated, outside)


def the_other_crosses(scene: Any, outside: str) -> None:
    assert run_app(["run", "-c", outside]) == 1
    assert run_app(["verify", "--store", "-c", outside]) == 0
    with scene.site("outside") as site:
        assert {released.repository for released in Ledger(site.store.state).releases()} == {"library/api"}


def test_an_image_with_too_much_hung_on_it_is_not_signed_and_holds_up_nobody(outdated: Any) -> None:
    outside = str(outdated.root / "outside")
    outdated.suites["bookworm-security"].clear()
    outdated.package("unrelated", "1", suite="bookworm-security")
    outdated.archive.publish("bookworm", outdated.suites["bookworm"].values(), date=outdated.now)
    outdated.archive.publish("bookworm-security", outdated.suites["bookworm-security"].values(), date=outdated.now)
    subject = index_of(outdated)
    config = put(outdated, b"{}", media_types.OCI_EMPTY)
    for number in range(60):
        layer = put(outdated, f"statement {number}".encode(), "application/vnd.example.statement")
        manifest = build_manifest(config, [layer], subject=subject, artifact_type="application/vnd.example.statement")
        outdated.upstream.blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
        outdated.upstream.state.hold("web", manifest.descriptor, subject=subject.digest)
    the_other_crosses(outdated, outside)


def test_what_nobody_vouches_for_any_more_goes_no_further(outdated: Any) -> None:
    """It was mirrored before the rules asked for a signature; now it is neither scanned nor released."""
    path = outdated.root / "outside" / "sallyport.yaml"
    before = path.read_text()
    outside = str(outdated.root / "outside")
    assert run_app(["mirror", "-c", outside]) == 0
    rule = "  trust:\n    - images: upstream.example/web\n      require: cosign\n      keys: [keys/release.pub]\n    - images: upstream.example/*\n      require: nothing\n"
    path.write_text(before.replace("outside:\n", f"outside:\n{rule}", 1))
    assert run_app(["mirror", "-c", outside]) == 4
    with outdated.site("outside") as site:
        ledger = Ledger(site.store.state)
        assert "library/web:12" not in {upstream.name for upstream in ledger.upstreams()}
        assert len(ledger.upstreams()) == len(outdated.images) - 1
        assert "dropped" in {event.verb for event in site.store.state.events()}
