from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import DigestMismatchError, MalformedError, MissingBlobError, UsageError
from sallyport.oci import EMPTY_CONFIG, Descriptor, Digest, Manifest, build_index, build_manifest, media_types
from sallyport.sign import (
    BILL,
    REFERRERS,
    VULNERABILITIES,
    Artifact,
    Form,
    Purpose,
    attach,
    attached,
    attest,
    classic_tag,
    fallback_index,
    read_artifact,
    sign_image,
    verify_release,
)
from sallyport.store import Store, collect_garbage, verify_store

REPOSITORY = "team/app"
REFERENCE = "registry.example/team/app:1.2-20260711.1"
Keys = Any


def put_image(store: Store, content: bytes, *, tag: str = "1.2-20260711.1") -> Descriptor:
    config = b'{"rootfs":{"type":"layers","diff_ids":[]}}'
    blobs = [
        (Descriptor(media_types.OCI_CONFIG, len(config), Digest.of(config)), config),
        (Descriptor(media_types.OCI_LAYER, len(content), Digest.of(content)), content),
    ]
    manifest = build_manifest(blobs[0][0], [blobs[1][0]])
    for descriptor, data in [*blobs, (manifest.descriptor, manifest.raw)]:
        store.blobs.put(descriptor.digest, descriptor.size, [data])
    store.state.hold(REPOSITORY, manifest.descriptor)
    store.state.set_tag(REPOSITORY, tag, manifest.descriptor, immutable=True)
    return manifest.descriptor


def artifacts_of(store: Store, image: Descriptor) -> list[Artifact]:
    return [
        read_artifact(store.blobs, found.descriptor, tag=found.tag)
        for found in attached(store, REPOSITORY, image.digest)
    ]


def test_what_is_attached_is_found_read_and_holds(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    for artifact in sign_image(image, reference=REFERENCE, signer=keys.release):
        attach(store, REPOSITORY, artifact)
    attach(store, REPOSITORY, attest(image, predicate_type=VULNERABILITIES, predicate={}, signer=keys.scan))

    verified = verify_release(artifacts_of(store, image), image, keys.trusted, reference=REFERENCE)

    assert verified.forms == {Form.CLASSIC, Form.BUNDLE}
    assert {(found.tag, found.predicate_type) for found in attached(store, REPOSITORY, image.digest)} == {
        (classic_tag(image.digest), ""),
        ("", "https://sigstore.dev/cosign/sign/v1"),
        ("", VULNERABILITIES),
    }
    collect_garbage(store)
    assert len(artifacts_of(store, image)) == 3
    assert verify_store(store) == ()


def test_attaching_again_changes_nothing(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    both = sign_image(image, reference=REFERENCE, signer=keys.release)
    first = [attach(store, REPOSITORY, artifact) for artifact in both]
    before = sorted(store.blobs.digests())

    assert [attach(store, REPOSITORY, artifact) for artifact in both] == first
    assert sorted(store.blobs.digests()) == before
    assert len(attached(store, REPOSITORY, image.digest)) == 2


def test_a_rescan_replaces_the_older_scan_and_nothing_else(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    for artifact in sign_image(image, reference=REFERENCE, signer=keys.release):
        attach(store, REPOSITORY, artifact)
    attach(store, REPOSITORY, attest(image, predicate_type=BILL, predicate={}, signer=keys.bill))
    for day in range(5):
        scan = attest(image, predicate_type=VULNERABILITIES, predicate={"day": day}, signer=keys.scan)
        last = attach(store, REPOSITORY, scan)

    found = attached(store, REPOSITORY, image.digest)
    scans = [one.descriptor.digest for one in found if one.predicate_type == VULNERABILITIES]
    assert scans == [last.digest]
    assert len(found) == 4


def test_a_rescan_replaces_one_that_was_held_without_its_annotations(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    for day in range(3):
        scan = attest(image, predicate_type=VULNERABILITIES, predicate={"day": day}, signer=keys.scan)
        attach(store, REPOSITORY, scan)
        store.state.hold(REPOSITORY, scan.manifest.descriptor, subject=image.digest)

    (found,) = attached(store, REPOSITORY, image.digest)
    assert (found.descriptor.digest, found.predicate_type) == (scan.manifest.digest, VULNERABILITIES)


def test_a_strangers_statement_of_the_same_type_stays(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    for signer in (keys.stranger, keys.scan, keys.scan):
        attach(store, REPOSITORY, attest(image, predicate_type=VULNERABILITIES, predicate={}, signer=signer))

    assert len(attached(store, REPOSITORY, image.digest)) == 2


def test_two_names_and_two_keys_share_the_classic_tag(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    other = "registry.example/team/app:1.2.3-20260711.1"
    for reference, signer in ((REFERENCE, keys.release), (other, keys.release), (REFERENCE, keys.admission)):
        for artifact in sign_image(image, reference=reference, signer=signer):
            attach(store, REPOSITORY, artifact)

    artifacts = artifacts_of(store, image)
    for reference in (REFERENCE, other):
        assert verify_release(artifacts, image, keys.trusted, reference=reference).forms == set(Form)
    inside = verify_release(artifacts, image, keys.trusted, reference=REFERENCE, purpose=Purpose.ADMISSION)
    assert inside.forms == set(Form)
    (classic,) = [artifact for artifact in artifacts if artifact.tag]
    assert len(classic.manifest.layers) == 3
    assert verify_store(store) == ()


def test_an_image_gets_no_more_referrers_than_clients_read(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    for number in range(REFERRERS):
        attach(store, REPOSITORY, attest(image, predicate_type=f"urn:{number}", predicate={}, signer=keys.scan))

    with pytest.raises(UsageError, match=f"no more than {REFERRERS}"):
        attach(store, REPOSITORY, attest(image, predicate_type="urn:last", predicate={}, signer=keys.scan))
    attach(store, REPOSITORY, attest(image, predicate_type="urn:7", predicate={"newer": 1}, signer=keys.scan))
    assert len(attached(store, REPOSITORY, image.digest)) == REFERRERS


def test_what_is_about_nothing_is_refused(store: Store) -> None:
    with pytest.raises(UsageError, match="about no image"):
        attach(store, REPOSITORY, Artifact(build_manifest(EMPTY_CONFIG, []), ((EMPTY_CONFIG, b"{}"),)))


def test_a_broken_artifact_leaves_the_store_as_it_was(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    artifact = attest(image, predicate_type=BILL, predicate={}, signer=keys.bill)
    (empty, layer) = artifact.blobs
    before = attached(store, REPOSITORY, image.digest)

    with pytest.raises(DigestMismatchError):
        attach(store, REPOSITORY, replace(artifact, blobs=(empty, (layer[0], b"x" * layer[0].size))))
    with pytest.raises(MissingBlobError):
        attach(store, REPOSITORY, replace(artifact, blobs=(empty,)))
    assert attached(store, REPOSITORY, image.digest) == before == ()


def test_a_flipped_byte_in_the_store_is_noticed_when_it_is_read(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    descriptor = attach(store, REPOSITORY, sign_image(image, reference=REFERENCE, signer=keys.release)[1])
    for digest in (descriptor.digest, read_artifact(store.blobs, descriptor).manifest.layers[0].digest):
        path = store.blobs.path(digest)
        assert path is not None
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        with pytest.raises(DigestMismatchError):
            read_artifact(store.blobs, descriptor)
        path.write_bytes(whole)


def test_what_is_too_large_or_an_index_is_not_read_as_a_statement(store: Store) -> None:
    index = build_index([])
    store.blobs.put(index.digest, len(index.raw), [index.raw])
    with pytest.raises(MalformedError, match="is an index"):
        read_artifact(store.blobs, index.descriptor)

    huge = Descriptor("application/octet-stream", 1 << 40, Digest.of(b""))
    manifest = build_manifest(EMPTY_CONFIG, [huge])
    store.blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
    with pytest.raises(UsageError, match="too large"):
        read_artifact(store.blobs, manifest.descriptor)
    with pytest.raises(UsageError, match="too large"):
        read_artifact(store.blobs, replace(manifest.descriptor, size=1 << 30))


def test_the_classic_form_is_listed_under_its_tag_only(store: Store, keys: Keys) -> None:
    image = put_image(store, b"app")
    attach(store, REPOSITORY, sign_image(image, reference=REFERENCE, signer=keys.release)[0])

    assert store.state.referrers(REPOSITORY, image.digest) == []
    assert [found.tag for found in attached(store, REPOSITORY, image.digest)] == [classic_tag(image.digest)]


descriptors = st.builds(
    lambda data, note: Descriptor(
        media_types.OCI_MANIFEST, len(data), Digest.of(data), artifact_type="a/b", annotations={"note": note}
    ),
    st.binary(max_size=2),
    st.sampled_from(["", "x"]),
)


@given(some=st.lists(descriptors, max_size=8))
@settings(max_examples=100, deadline=None)
def test_a_fallback_index_holds_each_manifest_once_as_last_described(some: list[Descriptor]) -> None:
    index = None
    for descriptor in some:
        index = fallback_index(index, descriptor)
        assert fallback_index(index, descriptor) is index
    last = {descriptor.digest: descriptor for descriptor in some}

    assert {one.digest: one for one in (index.manifests if index else ())} == last
    assert len(index.manifests if index else ()) == len(last)


def test_a_fallback_index_keeps_what_it_had(image: Descriptor) -> None:
    foreign = build_index([image], artifact_type="x/y", annotations={"kept": "yes"})
    other: Manifest = build_manifest(EMPTY_CONFIG, [])

    index = fallback_index(foreign, other.descriptor)
    assert index.manifests == (image, other.descriptor)
    assert (index.artifact_type, index.annotations) == ("x/y", {"kept": "yes"})
