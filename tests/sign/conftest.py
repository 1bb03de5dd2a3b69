from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sallyport.oci import Descriptor, Digest, Manifest, build_manifest, media_types
from sallyport.sign import FileSigner, KeyFolder, Purpose, TrustedKeys
from sallyport.store import Store, open_store

REFERENCE = "registry.example/team/app:1.2-20260711.1"


@dataclass(frozen=True)
class Keys:
    release: FileSigner
    scan: FileSigner
    bill: FileSigner
    admission: FileSigner
    stranger: FileSigner

    @property
    def trusted(self) -> TrustedKeys:
        return TrustedKeys.of(
            {
                Purpose.RELEASE: [self.release.public],
                Purpose.SCAN: [self.scan.public],
                Purpose.BILL: [self.bill.public],
                Purpose.ADMISSION: [self.admission.public],
            }
        )


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = KeyFolder(tmp_path_factory.mktemp("keys"))
    purposes = (Purpose.RELEASE, Purpose.SCAN, Purpose.BILL, Purpose.ADMISSION, Purpose.RECEIPT)
    folder.create(purposes)
    return Keys(*(folder.signer(purpose) for purpose in purposes))


def image_manifest(content: bytes) -> tuple[Manifest, tuple[tuple[Descriptor, bytes], ...]]:
    config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["%b"]}}' % (
        str(Digest.of(content)).encode()
    )
    blobs = (
        (Descriptor(media_types.OCI_CONFIG, len(config), Digest.of(config)), config),
        (Descriptor(media_types.OCI_LAYER, len(content), Digest.of(content)), content),
    )
    return build_manifest(blobs[0][0], [blobs[1][0]]), blobs


@pytest.fixture(scope="session")
def image() -> Descriptor:
    return image_manifest(b"an application")[0].descriptor


@pytest.fixture(scope="session")
def other_image() -> Descriptor:
    return image_manifest(b"another application")[0].descriptor


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened
