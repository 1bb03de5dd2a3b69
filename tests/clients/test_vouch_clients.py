"""Who vouches for images of others: what real signers sign holds here, and what holds here holds for them.

``cosign`` is cosign 3, ``cosign2`` is cosign 2, ``notation-peer`` is the program in ``notation/`` around notation's library.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.clients.conftest import Served
from tests.vouch.conftest import DSSE, signing_statement, simple_payload
from tests.vouch.notation_kit import COSE, JWS, NOTATION, envelope, make_signing, payload_of
from tests.vouch.sigstore_kit import IDENTITY, ISSUER, Sigstore

from sallyport.errors import SallyportError, UnsignedError, WrongSignatureError
from sallyport.oci import EMPTY_CONFIG, Descriptor, Digest, Reference, build_manifest, media_types, render_json
from sallyport.sign import BUNDLE, SIMPLE_SIGNING, Artifact, attach, attached, classic_tag
from sallyport.vouch import Need, Rule, UpstreamKey, Vouched, make_check

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]

REPOSITORY = "team/app"
SLSA = "https://slsa.dev/provenance/v1"


@dataclass(frozen=True)
class Peer:
    """A real program, in a folder of its own."""

    name: str
    home: Path

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "COSIGN_PASSWORD": "",
            "COSIGN_YES": "true",
            "TUF_ROOT": str(self.home / "tuf"),
        }
        return subprocess.run(
            [self.name, *argv], check=False, capture_output=True, text=True, env=env, cwd=self.home, timeout=60
        )

    def must(self, *argv: str) -> str:
        said = self(*argv)
        assert said.returncode == 0, f"{self.name} {' '.join(argv)}\n{said.stdout}\n{said.stderr}"
        return said.stdout


def peer(name: str, folder: Path) -> Peer:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    home = folder / "home"
    home.mkdir()
    return Peer(name, home)


@pytest.fixture(params=["cosign", "cosign2"])
def cosign(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return peer(request.param, tmp_path)


@pytest.fixture
def notation(tmp_path: Path) -> Peer:
    return peer("notation-peer", tmp_path)


@pytest.fixture(scope="module")
def sigstore() -> Sigstore:
    return Sigstore()


def publish(served: Served, content: bytes = b"app") -> Descriptor:
    config = render_json(
        {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [str(Digest.of(content))]}}
    )
    blobs = [
        (Descriptor(media_types.OCI_CONFIG, len(config), Digest.of(config)), config),
        (Descriptor(media_types.OCI_LAYER, len(content), Digest.of(content)), content),
    ]
    manifest = build_manifest(blobs[0][0], [blobs[1][0]])
    for descriptor, data in [*blobs, (manifest.descriptor, manifest.raw)]:
        served.store.blobs.put(descriptor.digest, descriptor.size, [data])
    served.store.state.hold(REPOSITORY, manifest.descriptor)
    return manifest.descriptor


def name(served: Served, image: Descriptor) -> str:
    return f"{served.registry}/{REPOSITORY}@{image.digest}"


def check(served: Served, image: Descriptor, rule: Rule, now: datetime | None = None) -> Vouched:
    found = attached(served.store, REPOSITORY, image.digest)
    ask = make_check([rule], served.store.blobs, now=now or datetime.now(UTC))
    return ask(Reference.parse("registry.example/team/app:1"), image, found)


def refer(served: Served, image: Descriptor, blob: bytes, media_type: str, kind: str, **annotations: str) -> None:
    layer = Descriptor(media_type, len(blob), Digest.of(blob))
    manifest = build_manifest(EMPTY_CONFIG, [layer], subject=image, artifact_type=kind, annotations=annotations)
    attach(served.store, REPOSITORY, Artifact(manifest, ((EMPTY_CONFIG, b"{}"), (layer, blob))))


# --- keys ------------------------------------------------------------------------------------

KEYS: dict[str, Any] = {
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}


def rule_for(key: Path, **changed: Any) -> Rule:
    return replace(Rule("registry.example/team/*", Need.KEY, (UpstreamKey(key.read_text()),)), **changed)


@pytest.mark.parametrize("kind", KEYS)
def test_what_cosign_signs_with_any_key_holds_here_for_this_key_only(served: Served, cosign: Peer, kind: str) -> None:
    image = publish(served)
    pem = KEYS[kind]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (cosign.home / "plain.pem").write_bytes(pem)
    said = cosign("import-key-pair", "--key", "plain.pem", "--output-key-prefix", "theirs")
    assert said.returncode == 0, said.stderr
    flags = ["--use-signing-config=false"] if cosign.name == "cosign" else []
    cosign.must("sign", "--key", "theirs.key", "--tlog-upload=false", *flags, name(served, image))
    cosign.must("generate-key-pair", "--output-key-prefix", "other")

    (signer,) = check(served, image, rule_for(cosign.home / "theirs.pub")).signers
    assert signer.startswith("key ")
    with pytest.raises(WrongSignatureError):
        check(served, image, rule_for(cosign.home / "other.pub"))


def test_what_cosign_attests_beside_its_signature_is_found(served: Served, cosign: Peer) -> None:
    image = publish(served)
    cosign.must("generate-key-pair")
    (cosign.home / "predicate.json").write_text('{"buildDefinition":{},"runDetails":{}}')
    flags = ["--use-signing-config=false"] if cosign.name == "cosign" else []
    sign = ("--key", "cosign.key", "--tlog-upload=false", *flags)
    rule = rule_for(cosign.home / "cosign.pub", attestations=(SLSA,))
    cosign.must("sign", *sign, name(served, image))
    with pytest.raises(UnsignedError, match="attests no"):
        check(served, image, rule)
    cosign.must("attest", *sign, "--type", "slsaprovenance1", "--predicate", "predicate.json", name(served, image))
    assert check(served, image, rule).signers


# --- identities ------------------------------------------------------------------------------


def identity_rule(sigstore: Sigstore, identity: str = IDENTITY) -> Rule:
    return Rule(
        "registry.example/team/*",
        Need.IDENTITY,
        trusted_root=sigstore.trusted_root(),
        issuer=ISSUER,
        identity=identity,
    )


def put_signed(served: Served, sigstore: Sigstore, image: Descriptor, form: str, about: Descriptor) -> None:
    if form == "bundle":
        kind = {
            "dev.sigstore.bundle.content": "dsse-envelope",
            "dev.sigstore.bundle.predicateType": "https://sigstore.dev/cosign/sign/v1",
        }
        refer(served, image, sigstore.bundle(signing_statement(about)), BUNDLE, BUNDLE, **kind)
        return
    payload = simple_payload(about)
    layer = Descriptor(SIMPLE_SIGNING, len(payload), Digest.of(payload), annotations=sigstore.classic(payload))
    config = Descriptor(media_types.OCI_CONFIG, 2, Digest.of(b"{}"))
    manifest = build_manifest(config, [layer])
    attach(
        served.store,
        REPOSITORY,
        Artifact(manifest, ((config, b"{}"), (layer, payload)), classic_tag(image.digest)),
    )


def verify(
    cosign: Peer,
    sigstore: Sigstore,
    form: str,
    image: str,
    identity: str = IDENTITY,
    *,
    verb: str = "verify",
    more: tuple[str, ...] = (),
) -> bool:
    (cosign.home / "root.json").write_bytes(sigstore.trusted_root())
    form_flag = f"--new-bundle-format={'true' if form == 'bundle' else 'false'}"
    flags = ["--trusted-root", "root.json", "--certificate-oidc-issuer", ISSUER, "--offline", form_flag]
    said = cosign(verb, *flags, *more, "--certificate-identity", identity, image)
    return said.returncode == 0


@pytest.mark.parametrize("form", ["bundle", "classic"])
def test_cosign_and_we_agree_about_identities(served: Served, cosign: Peer, sigstore: Sigstore, form: str) -> None:
    image, other = publish(served), publish(served, b"other")
    put_signed(served, sigstore, image, form, image)
    put_signed(served, sigstore, other, form, image)

    assert verify(cosign, sigstore, form, name(served, image))
    assert check(served, image, identity_rule(sigstore)).signers == (f"{IDENTITY} ({ISSUER})",)
    # Another identity, another sigstore, another image.
    assert not verify(cosign, sigstore, form, name(served, image), "https://forge.example/x")
    assert not verify(cosign, Sigstore(), form, name(served, image))
    assert not verify(cosign, sigstore, form, name(served, other))
    for about, rule in (
        (image, identity_rule(sigstore, "https://forge.example/x")),
        (image, identity_rule(Sigstore())),
        (other, identity_rule(sigstore)),
    ):
        with pytest.raises(WrongSignatureError):
            check(served, about, rule)


@pytest.mark.parametrize("form", ["bundle", "classic"])
def test_cosign_and_we_agree_about_an_identitys_attestations(
    served: Served, cosign: Peer, sigstore: Sigstore, form: str
) -> None:
    image = publish(served)
    put_signed(served, sigstore, image, form, image)
    rule = replace(identity_rule(sigstore), attestations=(SLSA,))
    statement = signing_statement(image, SLSA)
    with pytest.raises(UnsignedError, match="attests no"):
        check(served, image, rule)

    if form == "bundle":
        kind = {"dev.sigstore.bundle.content": "dsse-envelope", "dev.sigstore.bundle.predicateType": SLSA}
        refer(served, image, sigstore.bundle(statement), BUNDLE, BUNDLE, **kind)
    else:
        sealed, annotations = sigstore.attested(statement)
        annotations["predicateType"] = SLSA
        layer = Descriptor(DSSE, len(sealed), Digest.of(sealed), annotations=annotations)
        config = Descriptor(media_types.OCI_CONFIG, 2, Digest.of(b"{}"))
        manifest = build_manifest(config, [layer])
        blobs = ((config, b"{}"), (layer, sealed))
        attach(served.store, REPOSITORY, Artifact(manifest, blobs, classic_tag(image.digest, "att")))

    if form == "bundle" or cosign.name == "cosign":  # cosign 2 takes a trusted root for attestations in bundles only
        flags = ("--type", "slsaprovenance1")
        assert verify(cosign, sigstore, form, name(served, image), verb="verify-attestation", more=flags)
        assert not verify(cosign, Sigstore(), form, name(served, image), verb="verify-attestation", more=flags)
    assert check(served, image, rule).signers == (f"{IDENTITY} ({ISSUER})",)


# --- certificates ----------------------------------------------------------------------------


def certificate_rule(root: str, *subjects: str) -> Rule:
    return Rule("registry.example/team/*", Need.CERTIFICATE, certificates=(root,), subjects=subjects)


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "PS256", "PS384"])
@pytest.mark.parametrize("form", ["jws", "cose"])
def test_what_notation_signs_holds_here(served: Served, notation: Peer, form: str, algorithm: str) -> None:
    image, now = publish(served), datetime.now(UTC)
    signing = make_signing(algorithm, start=now - timedelta(days=1))
    (notation.home / "key.pem").write_text(signing.key_pem)
    (notation.home / "chain.pem").write_text(signing.chain_pem)
    flags = ("--key", "key.pem", "--chain", "chain.pem", "--envelope", form, "--expiry", "24h")
    notation.must("sign", name(served, image), *flags)

    rule = certificate_rule(signing.root_pem, "CN=signer,O=Team")
    assert check(served, image, rule).signers == ("CN=signer,O=Team,ST=Somewhere,C=XX",)
    with pytest.raises(SallyportError, match="it expired on"):
        check(served, image, rule, now + timedelta(days=2))
    with pytest.raises(WrongSignatureError, match="no certificate of the rule"):
        check(served, image, certificate_rule(make_signing(start=now - timedelta(days=1)).root_pem))


@pytest.mark.parametrize("media", [JWS, COSE])
def test_notation_and_we_agree_about_what_others_made(served: Served, notation: Peer, media: str) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    good, bad = publish(served), publish(served, b"other")
    signing = make_signing(start=now - timedelta(days=1))
    thumbs = {"io.cncf.notary.x509chain.thumbprint#S256": "[]"}
    raw = envelope(media, signing, payload_of(good), signingTime=now)
    refer(served, good, raw, media, NOTATION, **thumbs)
    refer(served, bad, raw, media, NOTATION, **thumbs)
    (notation.home / "root.pem").write_text(signing.root_pem)
    rule = certificate_rule(signing.root_pem)

    notation.must("verify", name(served, good), "--root", "root.pem")
    notation.must("verify", name(served, good), "--root", "root.pem", "--subject", "C=XX,ST=Somewhere,O=Team")
    assert check(served, good, rule).signers
    assert notation("verify", name(served, bad), "--root", "root.pem").returncode != 0
    with pytest.raises(WrongSignatureError, match="for another image"):
        check(served, bad, rule)


@pytest.mark.parametrize("media", [JWS, COSE])
@pytest.mark.parametrize("place", [0.1, 0.5, 0.97])
def test_both_refuse_what_was_changed(served: Served, notation: Peer, media: str, place: float) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    image = publish(served)
    signing = make_signing(start=now - timedelta(days=1))
    raw = bytearray(envelope(media, signing, payload_of(image), signingTime=now))
    raw[int(len(raw) * place)] ^= 1
    refer(served, image, bytes(raw), media, NOTATION, **{"io.cncf.notary.x509chain.thumbprint#S256": "[]"})
    (notation.home / "root.pem").write_text(signing.root_pem)

    assert notation("verify", name(served, image), "--root", "root.pem").returncode != 0
    with pytest.raises(WrongSignatureError, match="none holds: notation signature"):
        check(served, image, certificate_rule(signing.root_pem))
