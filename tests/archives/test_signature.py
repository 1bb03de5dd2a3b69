from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pysequoia
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.archives import Keyring, verify_detached, verify_inrelease
from sallyport.errors import ExpiredError, SallyportError, UnsignedError, UntrustedError, WrongSignatureError

TEXT = b"Origin: Test\nSuite: stable\nDate: Sat, 11 Jul 2026 10:00:00 UTC"
NOW = datetime.now(UTC) + timedelta(days=1)
KEY = pysequoia.Tsk.generate(user_id="Archive <archive@debian.example>")
OTHER = pysequoia.Tsk.generate(user_id="Somebody <else@debian.example>")
RING = Keyring((bytes(KEY.extract_certificate()),), "the test's key")


def signed(text: bytes = TEXT, key: pysequoia.Tsk = KEY) -> bytes:
    return pysequoia.sign(key.signer(), text, mode=pysequoia.SignatureMode.CLEAR)


def refused(raw: bytes, kind: type[SallyportError] = UntrustedError) -> None:
    with pytest.raises(kind):
        verify_inrelease(raw, RING, now=NOW)


def test_the_signed_text_and_its_signer_come_back() -> None:
    result = verify_inrelease(signed(), RING, now=NOW)
    assert result.text.encode() == TEXT
    assert result.signed_by == (KEY.extract_certificate().fingerprint.upper(),)


def test_another_key_is_refused() -> None:
    refused(signed(key=OTHER), WrongSignatureError)


def test_one_trusted_signature_of_two_is_enough() -> None:
    """Debian's releases carry the old and the new key's; a host may know only one of them."""
    both = _merge(signed(), signed(key=OTHER))
    assert verify_inrelease(both, RING, now=NOW).text.encode() == TEXT
    other = Keyring((bytes(OTHER.extract_certificate()),), "the other key")
    assert verify_inrelease(both, other, now=NOW).signed_by == (OTHER.extract_certificate().fingerprint.upper(),)


def _merge(one: bytes, other: bytes) -> bytes:
    """One message with the signatures of both."""
    head, _, armor = one.partition(b"-----BEGIN PGP SIGNATURE-----")
    packets = [
        bytes(packet)
        for raw in (armor, other.partition(b"-----BEGIN PGP SIGNATURE-----")[2])
        for packet in pysequoia.packet.PacketPile.from_bytes(b"-----BEGIN PGP SIGNATURE-----" + raw)
    ]
    return head + pysequoia.armor(b"".join(packets), pysequoia.ArmorKind.Signature).encode()


def test_no_signature_at_all_is_its_own_error() -> None:
    refused(TEXT, UnsignedError)
    refused(b"", UnsignedError)
    refused(b"<html>not found</html>\n", UnsignedError)


@pytest.mark.parametrize(
    "trick",
    [
        pytest.param(lambda raw: b"Origin: Evil\n" + raw, id="text before"),
        pytest.param(lambda raw: raw + b"Origin: Evil\n", id="text after"),
        pytest.param(lambda raw: b"\n" + raw, id="an empty line before"),
        pytest.param(lambda raw: raw + raw, id="two blocks"),
        pytest.param(lambda raw: raw.replace(b"\n\nOrigin", b"\nComment: x\n\nOrigin", 1), id="a header more"),
        pytest.param(lambda raw: raw.replace(b"\n\nOrigin", b"\nOrigin: Evil\n\nOrigin", 1), id="a field as header"),
        pytest.param(
            lambda raw: raw.replace(b"Hash: SHA512\n", b"Hash: SHA512\nOrigin: Evil\n", 1), id="a field after Hash"
        ),
        pytest.param(lambda raw: raw.replace(b"Suite: ", b"- Suite: ", 1), id="an escaped dash"),
        pytest.param(lambda raw: raw.replace(b"Suite: stable", b"Suite: stable  ", 1), id="blanks at a line's end"),
        pytest.param(lambda raw: raw.replace(b"\n", b"\r\n"), id="other line ends"),
        pytest.param(lambda raw: raw.replace(b"Suite: stable\n", b"Suite: stable\x0b\n", 1), id="a control character"),
        pytest.param(lambda raw: raw.replace(b"Suite: stable", b"Suite: testin", 1), id="another text"),
        pytest.param(lambda raw: raw[: raw.index(b"-----BEGIN PGP SIGNATURE")], id="no signature"),
        pytest.param(lambda raw: raw.replace(b"-----END PGP SIGNATURE-----", b""), id="no end"),
        pytest.param(
            lambda raw: raw.replace(b"-----BEGIN PGP SIGNATURE", b"-----BEGIN PGP MESSAGE"), id="another armor"
        ),
        pytest.param(
            lambda raw: raw.replace(b"Suite: stable\n", b"Suite: stable\n\n-----BEGIN PGP SIGNATURE-----\n"),
            id="an early signature",
        ),
        pytest.param(lambda raw: raw.replace(b"-----\n\n", b"-----\nEvil: x\n\n"), id="an unknown armor header"),
    ],
)
def test_a_message_that_two_readers_read_differently_is_refused(trick: Any) -> None:
    raw = trick(signed())
    assert raw != signed()
    refused(raw)


def test_a_text_with_escaped_dashes_is_refused_although_it_is_signed() -> None:
    refused(signed(b"Origin: Test\n- Suite: stable"))


def test_a_key_that_is_in_the_armor_instead_of_a_signature_is_refused() -> None:
    armor = pysequoia.armor(bytes(KEY.extract_certificate()), pysequoia.ArmorKind.Signature).encode()
    refused(signed().partition(b"-----BEGIN PGP SIGNATURE-----")[0] + armor)


def test_a_key_expired_by_the_callers_clock_is_refused() -> None:
    key = pysequoia.Tsk.generate(user_id="Short <short@debian.example>", validity_seconds=86_400)
    ring = Keyring((bytes(key.extract_certificate()),), "a key of one day")
    verify_inrelease(signed(key=key), ring, now=datetime.now(UTC))
    with pytest.raises(ExpiredError, match="expired on"):
        verify_inrelease(signed(key=key), ring, now=datetime.now(UTC) + timedelta(days=2))


def test_a_revoked_key_is_refused() -> None:
    certificate = KEY.extract_certificate()
    revocation = certificate.revoke(KEY.certifier())
    ring = Keyring((bytes(certificate) + bytes(revocation),), "a revoked key")
    with pytest.raises(WrongSignatureError):
        verify_inrelease(signed(), ring, now=NOW)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10_000), st.integers(0, 7))
def test_one_flipped_bit_never_changes_what_is_read(position: int, bit: int) -> None:
    raw = bytearray(signed())
    raw[position % len(raw)] ^= 1 << bit
    try:
        result = verify_inrelease(bytes(raw), RING, now=NOW)
    except SallyportError:
        return
    assert result.text.encode() == TEXT  # a bit of the armor that says nothing, such as its checksum


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_refused_with_an_error_of_ours(noise: bytes) -> None:
    with pytest.raises(SallyportError):
        verify_inrelease(noise, RING, now=NOW)
    with pytest.raises(SallyportError):
        verify_inrelease(b"-----BEGIN PGP SIGNED MESSAGE-----\n\n" + noise, RING, now=NOW)


# --- Release and Release.gpg --------------------------------------------------------------


def beside(*keys: pysequoia.Tsk, text: bytes = TEXT) -> bytes:
    mode = pysequoia.SignatureMode.DETACHED
    return b"".join(pysequoia.sign(key.signer(), text, mode=mode, armor=False) for key in keys)


def test_a_detached_signature_holds_also_where_it_is_the_second() -> None:
    armored = pysequoia.sign(KEY.signer(), TEXT, mode=pysequoia.SignatureMode.DETACHED)
    for signature in (armored, beside(KEY), beside(OTHER, KEY)):
        result = verify_detached(TEXT, signature, RING, now=NOW)
        assert (result.text.encode(), result.signed_by) == (TEXT, (KEY.extract_certificate().fingerprint.upper(),))


@pytest.mark.parametrize("signature", [beside(OTHER), beside(KEY, text=TEXT + b"."), b"", b"<html>"])
def test_a_detached_signature_of_something_else_is_refused(signature: bytes) -> None:
    with pytest.raises(WrongSignatureError):
        verify_detached(TEXT, signature, RING, now=NOW)
