from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.exceptions import UnverifiedSignatureError
from tuf.api.metadata import Metadata, Snapshot  # type: ignore[attr-defined]
from tuf.api.serialization.json import JSONSerializer

from sallyport.errors import (
    ConflictError,
    MalformedError,
    UntrustedError,
    UsageError,
    WrongSignatureError,
)
from sallyport.sign import FileSigner, KeyFolder, PublicKey, Purpose, tuf_key, tuf_signer


def openssl(*argv: str) -> bytes:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return subprocess.run(["openssl", *argv], check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> FileSigner:
    return FileSigner.generate(tmp_path_factory.mktemp("keys") / "one.key")


@pytest.mark.parametrize("passphrase", [None, "ein langer Satz, den niemand rät"])
def test_a_key_is_made_read_again_and_signs_the_same(tmp_path: Path, passphrase: str | None) -> None:
    path = tmp_path / "release.key"
    made = FileSigner.generate(path, passphrase)
    read = FileSigner.load(path, passphrase)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert PublicKey((tmp_path / "release.pub").read_text()) == made.public == read.public
    assert read.sign(b"an image") == made.sign(b"an image")
    made.public.verify(read.sign(b"an image"), b"an image")
    assert (b"ENCRYPTED" in path.read_bytes()) == bool(passphrase)


def test_signing_twice_gives_the_same_bytes_so_a_second_run_carries_nothing(signer: FileSigner) -> None:
    assert signer.sign(b"x" * 1000) == signer.sign(b"x" * 1000)


def test_openssl_reads_our_encrypted_key_and_sees_scrypt(tmp_path: Path) -> None:
    made = FileSigner.generate(tmp_path / "k.key", "open sesame")

    pem = openssl("pkey", "-in", str(tmp_path / "k.key"), "-passin", "pass:open sesame", "-pubout")

    assert PublicKey(pem.decode()) == made.public
    assert b":scrypt" in openssl("asn1parse", "-in", str(tmp_path / "k.key"))


def test_a_key_made_by_openssl_is_read(tmp_path: Path) -> None:
    path = tmp_path / "k.key"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(path))
    path.chmod(0o600)

    assert FileSigner.load(path).public == PublicKey(openssl("pkey", "-in", str(path), "-pubout").decode())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_private_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "release.key"
    FileSigner.generate(path)
    path.chmod(mode)

    with pytest.raises(UntrustedError, match=f"{mode:04o}") as caught:
        FileSigner.load(path)
    assert "chmod 600" in caught.value.mend


def test_a_private_key_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "release.key"
    FileSigner.generate(path)
    if path.stat().st_uid == 0:
        if os.geteuid() != 0:
            pytest.skip("only root gives a file away")
        os.chown(path, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)

    with pytest.raises(UntrustedError, match="belongs to user"):
        FileSigner.load(path)


@pytest.mark.parametrize("passphrase", [None, "", "wrong"])
def test_a_wrong_or_missing_passphrase_is_named(tmp_path: Path, passphrase: str | None) -> None:
    FileSigner.generate(tmp_path / "k.key", "right")

    with pytest.raises(UsageError, match="passphrase"):
        FileSigner.load(tmp_path / "k.key", passphrase)


@pytest.mark.parametrize(
    "argv",
    [
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"),
        ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"),
        ("-algorithm", "ED25519"),
        ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    ],
    ids=["P-384", "secp256k1", "Ed25519", "RSA"],
)
def test_other_kinds_of_keys_are_refused(tmp_path: Path, argv: tuple[str, ...]) -> None:
    path = tmp_path / "k.key"
    openssl("genpkey", *argv, "-out", str(path))
    path.chmod(0o600)

    with pytest.raises(MalformedError, match="P-256"):
        FileSigner.load(path)
    with pytest.raises(MalformedError, match="P-256"):
        PublicKey(openssl("pkey", "-in", str(path), "-pubout").decode())


@pytest.mark.parametrize("content", [b"", b"hello", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k.key"
    path.write_bytes(content)
    path.chmod(0o600)

    with pytest.raises(MalformedError, match=r"k\.key"):
        FileSigner.load(path)


def test_what_is_no_file_is_named_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "k.key", 0o600)

    with pytest.raises(MalformedError, match="regular file"):
        FileSigner.load(tmp_path / "k.key")
    with pytest.raises(UsageError, match="there is no private key"):
        FileSigner.load(tmp_path / "missing.key")


def test_a_public_key_file_with_two_keys_is_refused(signer: FileSigner, tmp_path: Path) -> None:
    other = FileSigner.generate(tmp_path / "other.key")

    with pytest.raises(MalformedError, match="more than one"):
        PublicKey(signer.public.pem + other.public.pem)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    FileSigner.generate(tmp_path / "k.key")
    before = (tmp_path / "k.key").read_bytes()

    with pytest.raises(ConflictError):
        FileSigner.generate(tmp_path / "k.key")
    assert (tmp_path / "k.key").read_bytes() == before


def test_a_folder_makes_one_key_for_each_purpose_once(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path / "keys")

    assert folder.create(Purpose) == tuple(Purpose)
    assert folder.create(Purpose) == ()
    assert len({folder.signer(purpose).public.id for purpose in Purpose}) == len(Purpose)
    assert all(folder.signer(purpose).public == folder.public(purpose) for purpose in Purpose)
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700


def test_a_replaced_public_key_is_noticed(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.create([Purpose.RELEASE, Purpose.SCAN])
    shutil.copy(tmp_path / "scan.pub", tmp_path / "release.pub")

    with pytest.raises(UntrustedError, match="not the public half"):
        folder.signer(Purpose.RELEASE)


def test_the_inside_needs_only_the_public_half(tmp_path: Path) -> None:
    folder = KeyFolder(tmp_path)
    folder.create([Purpose.RELEASE])
    folder.path(Purpose.RELEASE).unlink()

    assert folder.public(Purpose.RELEASE).pem.startswith("-----BEGIN PUBLIC KEY-----")
    with pytest.raises(UsageError, match="no private key"):
        folder.signer(Purpose.RELEASE)
    with pytest.raises(UsageError, match="no public key"):
        folder.public(Purpose.SCAN)


@settings(max_examples=100, deadline=None)
@given(
    data=st.binary(min_size=1, max_size=200),
    place=st.integers(0),
    flip=st.integers(1, 255),
    part=st.sampled_from(["data", "signature"]),
)
def test_one_changed_byte_in_data_or_signature_is_refused(
    signer: FileSigner, data: bytes, place: int, flip: int, part: str
) -> None:
    signature = signer.sign(data)
    changed = {"data": bytearray(data), "signature": bytearray(signature)}
    changed[part][place % len(changed[part])] ^= flip

    with pytest.raises(WrongSignatureError):
        signer.public.verify(bytes(changed["signature"]), bytes(changed["data"]))


def test_tuf_metadata_is_signed_by_the_same_file_and_verified_by_python_tuf(tmp_path: Path) -> None:
    signer = FileSigner.generate(tmp_path / "snapshot.key")
    other = FileSigner.generate(tmp_path / "other.key")
    metadata = Metadata(Snapshot())
    metadata.sign(tuf_signer(signer))

    key = tuf_key(signer.public)
    signature = metadata.signatures[key.keyid]
    key.verify_signature(signature, metadata.signed_bytes)
    assert (key.keytype, key.scheme) == ("ecdsa", "ecdsa-sha2-nistp256")
    assert key.keyval["public"].strip() == signer.public.pem.strip()
    with pytest.raises(UnverifiedSignatureError):
        tuf_key(other.public).verify_signature(signature, metadata.signed_bytes)

    again = Metadata(Snapshot(expires=metadata.signed.expires))
    again.sign(tuf_signer(FileSigner.load(tmp_path / "snapshot.key")))
    assert again.to_bytes(JSONSerializer()) == metadata.to_bytes(JSONSerializer())
