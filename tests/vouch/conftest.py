from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.vouch.sigstore_kit import Sigstore

from sallyport.oci import (
    EMPTY_CONFIG,
    Descriptor,
    Digest,
    Manifest,
    Reference,
    build_manifest,
    media_types,
    render_json,
)
from sallyport.sign import BUNDLE, SIGN_PREDICATE, SIMPLE_SIGNING, Artifact, Attachment, Statement, classic_tag
from sallyport.store import Store, open_store
from sallyport.vouch import Rule, Vouched, make_check

NOW = datetime(2026, 7, 2, tzinfo=UTC)
REFERENCE = Reference.parse("registry.example/library/app:1.2")
DSSE = "application/vnd.dsse.envelope.v1+json"


def signing_statement(image: Descriptor, kind: str = SIGN_PREDICATE) -> bytes:
    return Statement(image.digest, "", kind, {"from": "a test"}).render(version="https://in-toto.io/Statement/v1")


def simple_payload(image: Descriptor, name: str = "registry.example/library/app") -> bytes:
    return render_json(
        {
            "critical": {
                "identity": {"docker-reference": name},
                "image": {"docker-manifest-digest": str(image.digest)},
                "type": "cosign container image signature",
            },
            "optional": None,
        }
    )


@dataclass
class Upstream:
    """An image of others in our store, and what is attached to it."""

    store: Store
    image: Descriptor
    attachments: list[Attachment] = field(default_factory=list)

    def check(self, *rules: Rule, now: datetime = NOW) -> Vouched:
        check = make_check(rules, self.store.blobs, now=now)
        return check(REFERENCE, self.image, tuple(self.attachments))

    def attach(self, artifact: Artifact, tag: str = "") -> None:
        for descriptor, data in (*artifact.blobs, (artifact.manifest.descriptor, artifact.manifest.raw)):
            self.put(data)
            assert descriptor.digest == Digest.of(data)
        self.attachments.append(Attachment(artifact.manifest.descriptor, self.image.digest, tag or artifact.tag))

    def put(self, data: bytes) -> None:
        self.store.blobs.put(Digest.of(data), len(data), [data])

    def referrer(
        self,
        blob: bytes,
        media_type: str = BUNDLE,
        *,
        artifact_type: str = BUNDLE,
        annotations: dict[str, str] | None = None,
    ) -> Manifest:
        layer = Descriptor(media_type, len(blob), Digest.of(blob))
        manifest = build_manifest(
            EMPTY_CONFIG, [layer], subject=self.image, artifact_type=artifact_type, annotations=annotations or {}
        )
        self.attach(Artifact(manifest, ((EMPTY_CONFIG, b"{}"), (layer, blob))))
        return manifest

    def classic(self, *layers: tuple[bytes, dict[str, str]], kind: str = "sig") -> None:
        """Layers under one of cosign's tags."""
        media = SIMPLE_SIGNING if kind == "sig" else DSSE
        described = [
            (Descriptor(media, len(data), Digest.of(data), annotations=annotations), data)
            for data, annotations in layers
        ]
        config = Descriptor(media_types.OCI_CONFIG, 2, Digest.of(b"{}"))
        manifest = build_manifest(config, [descriptor for descriptor, _ in described])
        blobs = {descriptor.digest: (descriptor, data) for descriptor, data in described}
        self.attach(Artifact(manifest, ((config, b"{}"), *blobs.values())), classic_tag(self.image.digest, kind))


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Upstream]:
    with open_store(tmp_path / "store") as store:
        yield Upstream(store, Descriptor(media_types.OCI_MANIFEST, 7, Digest.of(b'{"a":1}')))


@pytest.fixture(scope="session")
def sigstore() -> Sigstore:
    return Sigstore()
