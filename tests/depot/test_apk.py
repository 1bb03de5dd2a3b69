"""A repository of apk packages goes through by the signature over its index."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.depot.conftest import Depot, Upstream

from sallyport.depot import Repository
from sallyport.depot.apk_index import package_check, read_index, verify_index
from sallyport.errors import SallyportError

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NAME = "harbour@apk.example-1.rsa.pub"
INDEX = "/v1/main/x86_64/APKINDEX.tar.gz"
HELLO = "/v1/main/x86_64/hello-1.0-r0.apk"
Start = Callable[..., Depot]


def member(files: Mapping[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            packed.addfile(info, io.BytesIO(content))
        end = packed.offset
    # As abuild does it: without an end mark, so that the members in a row are one tar.
    return gzip.compress(raw.getvalue()[:end], mtime=0)


def sign(signed: bytes, key: rsa.RSAPrivateKey = KEY, kind: str = "RSA") -> bytes:
    algorithm = hashes.SHA1() if kind == "RSA" else hashes.SHA256()
    return member({f".SIGN.{kind}.{NAME}": key.sign(signed, padding.PKCS1v15(), algorithm)}) + signed


def package(name: str, content: bytes = b"x" * 5000) -> tuple[bytes, str]:
    """A package and its entry in the index."""
    data = member({f"usr/bin/{name}": content})
    control = member({".PKGINFO": f"pkgname = {name}\ndatahash = {hashlib.sha256(data).hexdigest()}\n".encode()})
    raw = sign(control) + data
    checksum = base64.b64encode(hashlib.sha1(control).digest()).decode()
    return raw, f"C:Q1{checksum}\nP:{name}\nV:1.0-r0\nA:x86_64\nS:{len(raw)}\n"


def listing(*entries: str) -> bytes:
    return member({"DESCRIPTION": b"test", "APKINDEX": "\n".join(entries).encode()})


HELLO_RAW, HELLO_ENTRY = package("hello")


@pytest.fixture
def served(depot: Start, upstream: Upstream, tmp_path: Path) -> Depot:
    other, entry = package("other-tool")
    upstream.pages |= {INDEX: sign(listing(HELLO_ENTRY, entry)), HELLO: HELLO_RAW}
    upstream.pages["/v1/main/x86_64/other-tool-1.0-r0.apk"] = other
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / NAME).write_bytes(
        KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return depot("apk", upstream=upstream.base, keyring="keys", allow=("hel*",))


def test_index_and_package_are_upstreams_own_bytes(served: Depot, upstream: Upstream) -> None:
    assert served.get(INDEX).body == upstream.pages[INDEX]
    assert served.get(HELLO).body == HELLO_RAW
    upstream.pages.clear()
    assert served.get(HELLO).body == HELLO_RAW


def test_a_signature_with_sha256_holds_too(served: Depot, upstream: Upstream) -> None:
    upstream.pages[INDEX] = sign(listing(HELLO_ENTRY), kind="RSA256")
    assert served.get(INDEX).status == 200


def test_an_index_that_the_keys_do_not_vouch_for_is_refused(served: Depot, upstream: Upstream) -> None:
    good = listing(HELLO_ENTRY)
    for bad in (good, sign(good, OTHER), sign(good) + member({"more": b""}), b"", b"<html>"):
        upstream.pages[INDEX] = bad
        assert [served.get(path).status for path in (INDEX, HELLO)] == [502, 502]


def test_what_is_not_on_the_list_is_refused(served: Depot) -> None:
    assert served.get("/v1/main/x86_64/other-tool-1.0-r0.apk").status == 403
    assert served.get("/v1/main/x86_64/hello-6.6-r6.apk").status == 404
    assert served.get("/v1/main/x86_64/hello.txt").status == 404


def test_a_package_with_other_data_or_control_is_never_handed_over(served: Depot, upstream: Upstream) -> None:
    swapped, _ = package("hello", b"y" * 5000)
    cut = HELLO_RAW[:-1]
    for bad in (swapped, cut, HELLO_RAW + b"x", cut + b"\1", b"not a package"):
        upstream.pages[HELLO] = bad
        assert served.get(HELLO).status == 502


def test_stale_while_upstream_is_down(served: Depot, upstream: Upstream) -> None:
    before = served.get(INDEX).body
    upstream.down = True
    served.later(days=1)
    assert served.get(INDEX).body == before


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(HELLO_RAW) - 1), st.integers(1, 255), st.integers(1, 4096))
def test_one_flipped_byte_that_the_index_speaks_of_is_refused(at: int, flip: int, step: int) -> None:
    repository = Repository("x", "apk", "http://apk.example", ("*",), timedelta(hours=1))
    named = read_index(HELLO_ENTRY.encode(), repository, what="index")["hello-1.0-r0.apk"]
    raw = bytearray(HELLO_RAW)
    assert b"".join(package_check(named, "x")(iter([bytes(raw)]))) == HELLO_RAW
    raw[at] ^= flip
    pieces = (bytes(raw[start : start + step]) for start in range(0, len(raw), step))
    # The package's own signature, which comes first, is apk's to verify.
    start = HELLO_RAW.index(b"\x1f\x8b", 1)
    if at >= start:
        with pytest.raises(SallyportError):
            list(package_check(named, "x")(pieces))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_damaged_index_is_refused(data: st.DataObject) -> None:
    raw = bytearray(sign(listing(HELLO_ENTRY)))
    keys = {NAME: KEY.public_key()}
    text = verify_index(bytes(raw), keys, what="index")
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    # Where gzip itself ignores a bit, in the head of the signature's member, the text stays the signed one.
    with suppress(SallyportError):
        assert verify_index(bytes(raw), keys, what="index") == text
