"""An image is asked about before its layers come."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.errors import UnsignedError
from sallyport.mirror import make_selector, mirror
from sallyport.oci import Descriptor, Manifest, Platform, Reference, load_manifest
from sallyport.sign import Attachment
from sallyport.store import Store, verify_store
from sallyport.vouch import Vouched

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class Asked:
    """Lets in what is signed; keeps what it was asked."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.images: list[Descriptor] = []

    def __call__(self, reference: Reference, image: Descriptor, attachments: tuple[Attachment, ...]) -> Vouched:
        self.images.append(image)
        if not attachments:
            raise UnsignedError(f"{reference} is not signed", "sign it")
        for attachment in attachments:
            manifest = load_manifest(self.store.blobs, attachment.descriptor)
            assert isinstance(manifest, Manifest)
            assert all(self.store.blobs.has(blob.digest) for blob in manifest.blobs), "its blobs are here already"
            assert attachment.subject == image.digest
        return Vouched("all", tuple(attachment.tag or "referrer" for attachment in attachments))


def test_layers_come_only_when_somebody_vouches(upstream: Any, clients: Any, here: Store) -> None:
    good, bad = upstream.build.image("good"), upstream.build.image("bad")
    upstream.publish("team/app:good", good)
    upstream.publish("team/app:bad", bad)
    upstream.publish("team/app", upstream.build.about(good, BUNDLE, "signed"))
    upstream.publish(f"team/app:sha256-{good.digest.hex}.sig", upstream.build.image("signed the old way"))
    asked = Asked(here)
    selector = make_selector(f"{upstream.registry}/team/app", ["good", "bad"])
    with pytest.raises(UnsignedError, match="bad is not signed"):
        mirror(clients, [selector], here, check=asked)
    assert here.state.tag("team/app", "good") is not None, "the other one came"
    assert here.state.tag("team/app", "bad") is None
    document = load_manifest(upstream.store.blobs, bad)
    assert isinstance(document, Manifest)
    assert not any(here.blobs.has(layer.digest) for layer in document.layers)
    assert verify_store(here) == ()
    (done,) = mirror(clients, [make_selector(f"{upstream.registry}/team/app", ["good"])], here, check=asked)
    assert done.vouched == Vouched("all", ("referrer", f"sha256-{good.digest.hex}.sig"))
    assert not done.changed


def test_what_is_here_already_is_asked_about_again(upstream: Any, clients: Any, here: Store, site: Any) -> None:
    image = upstream.build.image("app")
    upstream.publish("team/app:1.0", image)
    selector = make_selector(f"{upstream.registry}/team/app", ["1.0"], immutable=["1.0"])
    assert mirror(clients, [selector], here)[0].vouched is None
    site.counted.take()
    with pytest.raises(UnsignedError):
        mirror(clients, [selector], here, check=Asked(here))
    assert site.counted.take() == []


def test_a_thinner_index_is_vouched_for_as_upstream_has_it(upstream: Any, clients: Any, here: Store) -> None:
    index = upstream.build.index("app")
    upstream.publish("team/app:1.0", index)
    upstream.publish("team/app", upstream.build.about(index, BUNDLE, "signed"))
    asked = Asked(here)
    source = f"{upstream.registry}/team/app"
    selector = make_selector(source, ["1.0"], platforms=[Platform("linux", "amd64")])
    for _ in range(2):
        (done,) = mirror(clients, [selector], here, check=asked)
    assert done.descriptor.digest != index.digest
    assert [image.digest for image in asked.images] == [index.digest] * 2
