"""What sallyport does itself instead of scripts: certificates, the loader's cache; and what becomes of conffiles."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import MalformedError
from sallyport.oci import Entry, Kind
from sallyport.patch.certificates import Certificate, bundle_of, enabled, hash_links, link_name, subject_hash
from sallyport.patch.conffiles import Fate, decide_conffile
from sallyport.patch.loader import cached_libraries, unknown_to_loader


def certificate(name: str, organisation: str = "Test  Authority") -> bytes:
    """A self-signed certificate, PEM."""
    from datetime import UTC, datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, name),
        ]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("name", ["Plain CA", "  Spaced   OUT\tCA ", "Ünïcödé Főtanúsítvány", "a" * 64])
def test_the_hash_of_a_subject_is_openssls(name: str) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    pem = certificate(name)
    ran = subprocess.run([openssl, "x509", "-noout", "-hash"], input=pem, capture_output=True, check=True, timeout=10)
    assert subject_hash(pem) == ran.stdout.decode().strip()


def test_a_file_with_none_or_two_certificates_has_no_hash() -> None:
    pem = certificate("A")
    assert subject_hash(pem + pem) is None
    assert subject_hash(b"nothing") is None


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=80))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    import base64

    pem = b"-----BEGIN CERTIFICATE-----\n" + base64.b64encode(raw) + b"\n-----END CERTIFICATE-----\n"
    try:
        found = subject_hash(pem)
    except MalformedError:
        return
    assert found is None or len(found) == 8


def test_a_broken_certificate_is_an_error() -> None:
    with pytest.raises(MalformedError, match="cannot be read"):
        subject_hash(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")


def test_without_a_configuration_every_certificate_is_enabled() -> None:
    assert enabled(None, ["m/b.crt", "m/a.crt"]) == (("m/a.crt", "m/b.crt"), None)


def test_what_is_disabled_stays_so_what_is_gone_is_disabled_and_what_is_new_is_trusted() -> None:
    config = "# told\n\nm/c.crt\n!m/b.crt\nm/gone.crt\n"
    chosen, written = enabled(config, ["m/a.crt", "m/b.crt", "m/c.crt"])
    assert chosen == ("m/c.crt", "m/a.crt")
    assert written == "# told\n\nm/c.crt\n!m/b.crt\n!m/gone.crt\nm/a.crt\n"
    assert enabled(written, ["m/a.crt", "m/b.crt", "m/c.crt"]) == (chosen, written)


def test_the_bundle_ends_each_certificate_with_a_line_end() -> None:
    assert bundle_of([Certificate("a.crt", b"A"), Certificate("b.crt", b"B\n")]) == b"A\nB\n"


def test_links_are_named_as_the_script_names_them() -> None:
    assert link_name("usr/share/ca-certificates/m/A B (C), D.crt") == "A_B_=C=__D.pem"


def test_certificates_with_the_same_hash_are_numbered_and_one_is_linked_once() -> None:
    one, two = certificate("Same"), certificate("Same")
    key = subject_hash(one)
    items = [Certificate("x/two.crt", two), Certificate("x/one.crt", one), Certificate("x/copy.crt", one)]
    links = hash_links(items, {f"{key}.0": "theirs.pem"})
    assert links == {f"{key}.0": "theirs.pem", f"{key}.1": "copy.pem", f"{key}.2": "two.pem"}


def test_an_images_bundle_and_links_follow_the_package(yard: Any) -> None:
    a, b, c = (certificate(name) for name in "ABC")
    folder = "usr/share/ca-certificates/mozilla"
    yard.old("ca-certificates", files={f"{folder}/A.crt": a, f"{folder}/B.crt": b})
    yard.new("ca-certificates", files={f"{folder}/A.crt": a, f"{folder}/C.crt": c})
    made = yard.image()
    local = certificate("Local")
    hashes = {name: f"{subject_hash(pem)}.0" for name, pem in (("A", a), ("B", b), ("C", c), ("Local", local))}
    links = {
        "A.pem": f"/{folder}/A.crt",
        "B.pem": f"/{folder}/B.crt",
        hashes["A"]: "A.pem",
        hashes["B"]: "B.pem",
        "snakeoil.pem": "/etc/ssl/snakeoil.pem",
    }
    image = yard.over(
        made,
        (Entry("etc/ca-certificates.conf", Kind.FILE), b"mozilla/A.crt\nmozilla/B.crt\n"),
        (Entry("etc/ssl/certs/ca-certificates.crt", Kind.FILE), a + b),
        (Entry("usr/local/share/ca-certificates/Local.crt", Kind.FILE), local.rstrip(b"\n")),
        *((Entry(f"etc/ssl/certs/{name}", Kind.SYMLINK, 0o777, link=link), b"") for name, link in links.items()),
    )

    patched = yard.patch(image)

    root = yard.root(patched)
    assert root.read("etc/ssl/certs/ca-certificates.crt") == a + c + local
    assert root.read("etc/ca-certificates.conf") == b"mozilla/A.crt\n!mozilla/B.crt\nmozilla/C.crt\n"
    there = {path.rpartition("/")[2]: root.nodes[path].entry.link for path in root.children("etc/ssl/certs")}
    assert there == {
        "ca-certificates.crt": "",
        "A.pem": f"/{folder}/A.crt",
        "C.pem": f"/{folder}/C.crt",
        "Local.pem": "/usr/local/share/ca-certificates/Local.crt",
        hashes["A"]: "A.pem",
        hashes["C"]: "C.pem",
        hashes["Local"]: "Local.pem",
        "snakeoil.pem": "/etc/ssl/snakeoil.pem",
    }


def test_an_image_with_only_a_bundle_gets_only_a_bundle(yard: Any) -> None:
    a, c = certificate("A"), certificate("C")
    folder = "usr/share/ca-certificates/mozilla"
    yard.old("ca-certificates", files={f"{folder}/A.crt": a})
    yard.new("ca-certificates", files={f"{folder}/C.crt": c})
    image = yard.over(yard.image(), (Entry("etc/ssl/certs/ca-certificates.crt", Kind.FILE), a))

    root = yard.root(yard.patch(image))

    assert root.read("etc/ssl/certs/ca-certificates.crt") == c
    assert root.children("etc/ssl/certs") == ["etc/ssl/certs/ca-certificates.crt"]
    assert root.get("etc/ca-certificates.conf") is None


# --- the loader's cache --------------------------------------------------------------------------


def cache_of(*paths: str) -> bytes:
    """A cache as ``ldconfig`` writes it, without its strings' hashes."""
    head = b"glibc-ld.so.cache1.1" + struct.pack("<II", len(paths), 0) + bytes(20)
    at = len(head) + 24 * len(paths)
    entries, strings = b"", b""
    for path in paths:
        entries += struct.pack("<iIIIQ", 0x303, at + len(strings), at + len(strings), 0, 0)
        strings += path.encode() + b"\0"
    return head + entries + strings


def test_the_cache_is_read() -> None:
    cache = cache_of("/lib/x86_64-linux-gnu/libc.so.6", "/opt/x/libx.so.1")
    both = frozenset({"lib/x86_64-linux-gnu/libc.so.6", "opt/x/libx.so.1"})
    assert cached_libraries(cache) == both
    # Older caches have a part of an older format in front.
    assert cached_libraries(b"ld.so-1.7.0" + bytes(37) + cache) == both
    assert cached_libraries(b"something else") is None
    assert cached_libraries(cache[:60]) is None


def test_the_machines_own_cache_is_read() -> None:
    cache = Path("/etc/ld.so.cache")
    if not cache.is_file():
        pytest.skip("this machine has no cache of its loader")
    found = cached_libraries(cache.read_bytes())
    assert found
    assert any(path.rpartition("/")[2].startswith("libc.so") for path in found)


def test_only_a_new_library_outside_of_the_default_folders_needs_the_cache() -> None:
    cache = cache_of("/lib/x86_64-linux-gnu/libc.so.6", "/opt/x/libx.so.1")
    new = [
        "usr/lib/x86_64-linux-gnu/libnew.so.2",
        "usr/lib/x86_64-linux-gnu/engines-3/libe.so",
        "opt/x/libx.so.1",
        "opt/x/libx.so.2",
        "opt/x/readme",
    ]
    assert unknown_to_loader(cache, new) == ("opt/x/libx.so.2",)
    assert unknown_to_loader(b"unknown", new) == ()


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=100))
def test_no_cache_breaks_the_reader(raw: bytes) -> None:
    cached_libraries(b"glibc-ld.so.cache1.1" + raw)


# --- configuration files ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recorded", "current", "new", "fate"),
    [
        (None, None, "n", Fate.INSTALL),  # a new one
        (None, "x", "n", Fate.SHOW),  # a new one where somebody has a file
        ("o", "o", "n", Fate.INSTALL),  # unchanged in the image
        ("o", "x", "n", Fate.SHOW),  # changed on both sides
        ("n", "x", "n", Fate.KEEP),  # changed in the image only
        ("o", "n", "n", Fate.SAME),  # changed to what the package has now
        ("n", "n", "n", Fate.SAME),
        ("o", None, "n", Fate.KEEP),  # removed from the image
        ("o", "", "n", Fate.SHOW),  # a link stands in its place
    ],
)
def test_configuration_files(recorded: str | None, current: str | None, new: str, fate: Fate) -> None:
    assert decide_conffile(recorded, current, new) is fate
