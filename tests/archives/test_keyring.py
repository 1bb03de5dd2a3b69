from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pysequoia
import pytest

from sallyport.archives import PUBLISHED, host_keyring, load_keyring, published_keyring, read_keyring
from sallyport.errors import MalformedError, UntrustedError, UsageError


def _certificate(name: str) -> pysequoia.Cert:
    return pysequoia.Tsk.generate(user_id=f"{name} <{name}@debian.example>").extract_certificate()


def test_named_files_are_trusted_armored_or_not(tmp_path: Path) -> None:
    one, two = _certificate("one"), _certificate("two")
    (tmp_path / "one.gpg").write_bytes(bytes(one))
    (tmp_path / "two.asc").write_text(str(two))
    ring = read_keyring([tmp_path / "one.gpg", tmp_path / "two.asc"])
    assert ring.fingerprints == tuple(sorted([one.fingerprint.upper(), two.fingerprint.upper()]))


def test_a_file_that_is_none_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_keyring([tmp_path / "missing"])
    (tmp_path / "text").write_text("no key")
    with pytest.raises(MalformedError):
        read_keyring([tmp_path / "text"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that root owns")
def test_the_hosts_keyring_is_taken_only_where_nobody_else_may_change_it(tmp_path: Path) -> None:
    path = tmp_path / "ring.gpg"
    path.write_bytes(bytes(_certificate("host")))
    path.chmod(0o666)
    assert host_keyring([tmp_path / "missing", path]) is None
    path.chmod(0o644)
    assert host_keyring([path]) is not None
    os.chown(path, 1000, 1000)
    assert host_keyring([path]) is None


def test_of_a_keyring_from_the_network_only_published_keys_are_taken() -> None:
    good, evil = _certificate("good"), _certificate("evil")
    published = {good.fingerprint.upper(): "Good"}
    ring = published_keyring(bytes(evil) + bytes(good), origin="the test", published=published)
    assert ring.fingerprints == (good.fingerprint.upper(),)
    with pytest.raises(UntrustedError):
        published_keyring(bytes(evil), origin="the test", published=published)
    with pytest.raises(UntrustedError):
        published_keyring(bytes(good), origin="the test")


def test_published_fingerprints_are_whole() -> None:
    assert len(PUBLISHED) == 9
    assert all(len(fingerprint) == 40 and fingerprint.isupper() for fingerprint in PUBLISHED)


def test_without_a_host_keyring_the_archives_package_is_judged_by_its_fingerprints(archive_builder: Any) -> None:
    certificate = archive_builder.key.extract_certificate()
    evil = _certificate("evil")
    path = "usr/share/keyrings/debian-archive-keyring.gpg"
    package = archive_builder.deb("debian-archive-keyring", "2025.1", files={path: bytes(evil) + bytes(certificate)})
    archive_builder.publish("bookworm", [package])
    options: dict[str, Any] = {
        "http": archive_builder.http(),
        "cache": archive_builder.cache(),
        "mirror": archive_builder.mirror,
        "host": (),
    }

    ring = load_keyring(**options, published={certificate.fingerprint.upper(): "Test"})

    assert ring.fingerprints == (certificate.fingerprint.upper(),)
    with pytest.raises(UntrustedError):
        load_keyring(**options)


def test_the_hosts_and_the_named_come_before_the_network(archive_builder: Any, tmp_path: Path) -> None:
    path = tmp_path / "named.gpg"
    path.write_bytes(bytes(_certificate("named")))
    ring = load_keyring(
        [path], http=archive_builder.http(), cache=archive_builder.cache(), mirror=archive_builder.mirror
    )
    assert ring.origin == str(path)
    assert archive_builder.requests == []
