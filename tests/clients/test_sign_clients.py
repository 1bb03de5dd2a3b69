"""What the real cosign says about our signatures, and what we say about its own.

``cosign`` is cosign 3; ``cosign2`` is cosign 2, which sites still run. The registry is our own, on loopback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sallyport.errors import WrongSignatureError
from sallyport.oci import Descriptor, Digest, build_index, build_manifest, media_types, render_json
from sallyport.registry import Serving, make_app, serve
from sallyport.sign import (
    BILL,
    VULNERABILITIES,
    Artifact,
    Component,
    Form,
    KeyFolder,
    PublicKey,
    Purpose,
    TrustedKeys,
    attach,
    attached,
    attest,
    bill_predicate,
    read_artifact,
    scan_predicate,
    sign_image,
    verify_release,
)
from sallyport.store import Store, open_store

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]

REPOSITORY = "team/app"
TAG = "1.2-20260711.1"
NOW = datetime(2026, 7, 11, tzinfo=UTC)
# cosign 2.6 asks for a trusted root as soon as an image has a bundle, although it needs nothing from it for a key.
EMPTY_ROOT = {"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}


@dataclass(frozen=True)
class Cosign:
    program: str
    home: Path

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "COSIGN_PASSWORD": "",
            "COSIGN_YES": "true",
            "TUF_ROOT": str(self.home / "tuf"),
        }
        return subprocess.run(
            [self.program, *argv], check=False, capture_output=True, text=True, env=env, cwd=self.home, timeout=60
        )

    def verify(self, key: Path, image: str, *more: str) -> subprocess.CompletedProcess[str]:
        return self.run("verify", *self._flags(key), *more, image)

    def verify_attestation(self, key: Path, kind: str, image: str) -> subprocess.CompletedProcess[str]:
        return self.run("verify-attestation", *self._flags(key), "--type", kind, image)

    def _flags(self, key: Path) -> list[str]:
        flags = ["--key", str(key), "--insecure-ignore-tlog=true"]
        if self.program == "cosign2":
            root = self.home / "root.json"
            root.write_text(json.dumps(EMPTY_ROOT))
            flags += ["--trusted-root", str(root)]
        return flags


@pytest.fixture(params=["cosign", "cosign2"])
def cosign(request: pytest.FixtureRequest, tmp_path: Path) -> Cosign:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    home = tmp_path / "home"
    home.mkdir()
    return Cosign(request.param, home)


@dataclass(frozen=True)
class Site:
    store: Store
    keys: KeyFolder
    serving: Serving

    @property
    def image(self) -> str:
        return f"{self.serving.registry}/{REPOSITORY}:{TAG}"

    def pub(self, purpose: Purpose) -> Path:
        return self.keys.path(purpose).with_suffix(".pub")

    def publish(self, content: bytes = b"app", *, tag: str = TAG) -> Descriptor:
        config = render_json(
            {
                "os": "linux",
                "architecture": "amd64",
                "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(content))]},
            }
        )
        blobs = [
            (Descriptor(media_types.OCI_CONFIG, len(config), Digest.of(config)), config),
            (Descriptor(media_types.OCI_LAYER, len(content), Digest.of(content)), content),
        ]
        manifest = build_manifest(blobs[0][0], [blobs[1][0]])
        for descriptor, data in [*blobs, (manifest.descriptor, manifest.raw)]:
            self.store.blobs.put(descriptor.digest, descriptor.size, [data])
        self.store.state.hold(REPOSITORY, manifest.descriptor)
        self.store.state.set_tag(REPOSITORY, tag, manifest.descriptor)
        return manifest.descriptor

    def sign(self, image: Descriptor, purpose: Purpose = Purpose.RELEASE) -> tuple[Artifact, Artifact]:
        return sign_image(
            image, reference=self.image, signer=self.keys.signer(purpose), annotations={"team": "payments"}
        )

    def scan(self, image: Descriptor) -> Artifact:
        return attest(
            image,
            predicate_type=VULNERABILITIES,
            predicate=scan_predicate({"findings": []}, sources=[("changelog", NOW)], started=NOW, finished=NOW),
            signer=self.keys.signer(Purpose.SCAN),
        )

    def attach(self, *artifacts: Artifact) -> None:
        for artifact in artifacts:
            attach(self.store, REPOSITORY, artifact)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    keys = KeyFolder(tmp_path / "keys")
    keys.create([Purpose.RELEASE, Purpose.SCAN, Purpose.BILL])
    with open_store(tmp_path / "store") as store, serve(make_app(store)) as serving:
        yield Site(store, keys, serving)


def test_cosign_accepts_a_released_image_with_everything_attached(site: Site, cosign: Cosign) -> None:
    image = site.publish()
    site.attach(*site.sign(image), site.scan(image))

    said = cosign.verify(site.pub(Purpose.RELEASE), site.image)

    assert said.returncode == 0, said.stderr
    assert str(image.digest) in said.stdout


@pytest.mark.parametrize("form", list(Form))
def test_cosign_accepts_either_form_alone_with_its_annotations(site: Site, cosign: Cosign, form: Form) -> None:
    image = site.publish()
    classic, bundle = site.sign(image)
    site.attach(classic if form is Form.CLASSIC else bundle)

    said = cosign.verify(site.pub(Purpose.RELEASE), site.image, "-a", "team=payments")
    assert said.returncode == 0, said.stderr
    if form is Form.CLASSIC:
        assert json.loads(said.stdout)[0]["critical"]["identity"]["docker-reference"] == site.image
    if form is Form.CLASSIC or cosign.program == "cosign":  # cosign 2 does not look at annotations in bundles
        assert cosign.verify(site.pub(Purpose.RELEASE), site.image, "-a", "team=other").returncode != 0


def test_an_index_and_the_image_in_it_are_accepted_each_by_its_digest(site: Site, cosign: Cosign) -> None:
    image = site.publish(tag="latest")
    index = build_index([image])
    site.store.blobs.put(index.digest, len(index.raw), [index.raw])
    site.store.state.hold(REPOSITORY, index.descriptor)
    site.store.state.set_tag(REPOSITORY, TAG, index.descriptor)
    site.attach(*site.sign(image), *site.sign(index.descriptor))

    for digest in (image.digest, index.digest):
        said = cosign.verify(site.pub(Purpose.RELEASE), f"{site.serving.registry}/{REPOSITORY}@{digest}")
        assert said.returncode == 0, said.stderr


def test_a_scanned_image_is_not_a_released_one_for_cosign_either(site: Site, cosign: Cosign) -> None:
    image = site.publish()
    site.attach(site.scan(image))

    said = cosign.verify(site.pub(Purpose.RELEASE), site.image)
    assert said.returncode != 0
    # This is why the keys are separate: by the scan key alone cosign takes the attestation for a signature.
    assert cosign.verify(site.pub(Purpose.SCAN), site.image).returncode == 0


def test_cosign_reads_the_scan_and_the_bill_by_their_own_keys_only(site: Site, cosign: Cosign) -> None:
    image = site.publish()
    bill = bill_predicate([Component("libc6", "2.36-9", "pkg:deb/debian/libc6@2.36-9")], name="app", version=TAG)
    site.attach(
        *site.sign(image),
        site.scan(image),
        attest(image, predicate_type=BILL, predicate=bill, signer=site.keys.signer(Purpose.BILL)),
    )

    for purpose, kind in ((Purpose.SCAN, "vuln"), (Purpose.BILL, "cyclonedx")):
        said = cosign.verify_attestation(site.pub(purpose), kind, site.image)
        assert said.returncode == 0, said.stderr
        assert cosign.verify_attestation(site.pub(Purpose.RELEASE), kind, site.image).returncode != 0


def test_cosign_refuses_what_was_tampered_with(site: Site, cosign: Cosign) -> None:
    image, other = site.publish(), site.publish(b"another", tag="other")
    classic, bundle = site.sign(image)
    # The signatures of one image, put beside another.
    moved = build_manifest(
        bundle.manifest.config,
        bundle.manifest.layers,
        subject=other,
        artifact_type=bundle.manifest.artifact_type,
        annotations=bundle.manifest.annotations,
    )
    site.attach(Artifact(classic.manifest, classic.blobs, f"sha256-{other.digest.hex}.sig"))
    reference = f"{site.serving.registry}/{REPOSITORY}@{other.digest}"

    assert cosign.verify(site.pub(Purpose.RELEASE), reference).returncode != 0
    site.attach(Artifact(moved, bundle.blobs))
    assert cosign.verify(site.pub(Purpose.RELEASE), reference).returncode != 0


def test_what_cosign_signs_holds_here_and_only_for_its_key(site: Site, cosign: Cosign) -> None:
    image = site.publish()
    assert cosign.run("generate-key-pair").returncode == 0
    flags = ["--use-signing-config=false"] if cosign.program == "cosign" else []
    reference = f"{site.serving.registry}/{REPOSITORY}@{image.digest}"
    said = cosign.run("sign", "--key", "cosign.key", "--tlog-upload=false", *flags, reference)
    assert said.returncode == 0, said.stderr

    theirs = TrustedKeys.of({Purpose.RELEASE: [PublicKey((cosign.home / "cosign.pub").read_text())]})
    ours = TrustedKeys.of({Purpose.RELEASE: [site.keys.public(Purpose.RELEASE)]})
    artifacts = [
        read_artifact(site.store.blobs, found.descriptor, tag=found.tag)
        for found in attached(site.store, REPOSITORY, image.digest)
    ]
    verified = verify_release(artifacts, image, theirs, reference=None)
    assert verified.forms == {Form.BUNDLE if cosign.program == "cosign" else Form.CLASSIC}
    with pytest.raises(WrongSignatureError):
        verify_release(artifacts, image, ours, reference=None)


def test_our_signature_beside_theirs_leaves_both_valid(site: Site, cosign: Cosign) -> None:
    image = site.publish()
    assert cosign.run("generate-key-pair").returncode == 0
    flags = ["--use-signing-config=false"] if cosign.program == "cosign" else []
    reference = f"{site.serving.registry}/{REPOSITORY}@{image.digest}"
    assert cosign.run("sign", "--key", "cosign.key", "--tlog-upload=false", *flags, reference).returncode == 0
    site.attach(*site.sign(image))

    if cosign.program == "cosign":  # for cosign 2 our bundle hides its own classic signature
        assert cosign.verify(cosign.home / "cosign.pub", reference).returncode == 0
    said = cosign.verify(site.pub(Purpose.RELEASE), reference)
    assert said.returncode == 0, said.stderr
