from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pysequoia
import pytest

from sallyport.archives import Archive, render_stanza
from sallyport.engine import Threads
from sallyport.errors import (
    DeniedError,
    DigestMismatchError,
    ExpiredError,
    MalformedError,
    NotFoundError,
    OversizeError,
    UnreachableError,
    UntrustedError,
    UsageError,
    WrongSignatureError,
)

RELEASED = datetime(2026, 7, 11, 10, 0, tzinfo=UTC)


def test_the_newest_of_two_suites_wins(archive_builder: Any) -> None:
    old = archive_builder.deb("openssl", "3.0.11-1~deb12u2", files={"usr/bin/openssl": b"old"})
    new = archive_builder.deb("openssl", "3.0.15-1~deb12u1", files={"usr/bin/openssl": b"new"})
    archive_builder.publish("bookworm", [old, archive_builder.deb("base-files", "12.4", essential="yes")])
    archive_builder.publish("bookworm-security", [new])

    archive = archive_builder.open("bookworm", "bookworm-security")

    index = archive.packages("amd64")
    assert [package.version for package in index.versions("openssl")] == ["3.0.15-1~deb12u1", "3.0.11-1~deb12u2"]
    assert [package.suite.name for package in index.versions("openssl")] == ["bookworm-security", "bookworm"]
    assert [package.name for package in index.essential()] == ["base-files"]
    assert index.newest("nothing") is None
    assert [release.codename for release in archive.releases] == ["bookworm", "bookworm-security"]
    assert archive.releases[0].signed_by == (archive_builder.key.extract_certificate().fingerprint.upper(),)


def test_a_second_run_asks_for_the_inrelease_only(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [archive_builder.deb("bash", "5.2-1", files={"bin/bash": b"#"})])
    first = archive_builder.open("bookworm")
    first.fetch(first.packages("amd64").newest("bash"))
    assert len(archive_builder.requests) == 3
    archive_builder.requests.clear()

    second = archive_builder.open("bookworm")
    deb = second.fetch(second.packages("amd64").newest("bash"))

    assert deb.control["Version"] == "5.2-1"
    assert archive_builder.requests == ["/debian/dists/bookworm/InRelease"]


def test_a_mirror_without_etags_costs_the_inrelease_again_and_no_more(archive_builder: Any) -> None:
    archive_builder.etags = False
    archive_builder.publish("bookworm", [archive_builder.deb("bash")])
    archive_builder.open("bookworm").packages("amd64")
    archive_builder.requests.clear()
    archive_builder.open("bookworm").packages("amd64")
    assert archive_builder.requests == ["/debian/dists/bookworm/InRelease"]


def test_the_index_is_asked_for_by_its_digest_and_by_name_where_a_mirror_lacks_that(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [archive_builder.deb("bash")])
    archive_builder.open("bookworm").packages("arm64")
    assert "/by-hash/SHA256/" in archive_builder.requests[-1]

    archive_builder.publish("trixie", [archive_builder.deb("bash")], by_hash=False)
    archive = archive_builder.open("trixie")
    archive.packages("arm64")
    assert archive_builder.requests[-1].endswith("/main/binary-arm64/Packages.xz") or archive.packages("arm64")


def test_another_key_is_refused(archive_builder: Any) -> None:
    other = pysequoia.Tsk.generate(user_id="Somebody <else@debian.example>")
    archive_builder.publish("bookworm", [], signer=other)
    with pytest.raises(WrongSignatureError):
        archive_builder.open("bookworm")


def test_another_suite_is_refused_although_its_signature_holds(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [])
    wrong = archive_builder.www / "debian/dists/trixie/InRelease"
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes((archive_builder.www / "debian/dists/bookworm/InRelease").read_bytes())
    with pytest.raises(UntrustedError, match="asked for trixie"):
        archive_builder.open("trixie")


def test_a_stopped_mirror_is_noticed_by_the_callers_clock(archive_builder: Any) -> None:
    archive_builder.publish("bookworm-security", [], valid_until=RELEASED + timedelta(days=7))
    archive_builder.open("bookworm-security", now=RELEASED + timedelta(days=6))
    with pytest.raises(ExpiredError, match="was valid until"):
        archive_builder.open("bookworm-security", now=RELEASED + timedelta(days=8))
    archive_builder.open("bookworm-security", now=RELEASED + timedelta(days=8), check_valid_until=False)


def test_a_release_from_the_future_is_refused(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [])
    with pytest.raises(ExpiredError, match="future"):
        archive_builder.open("bookworm", now=RELEASED - timedelta(days=3))


def test_an_older_release_does_not_replace_a_newer_one(archive_builder: Any) -> None:
    archive_builder.publish("bookworm-security", [archive_builder.deb("curl", "1-2")], date=RELEASED)
    archive_builder.open("bookworm-security").packages("amd64")
    archive_builder.publish(
        "bookworm-security", [archive_builder.deb("curl", "1-1")], date=RELEASED - timedelta(days=30)
    )

    replayed = archive_builder.open("bookworm-security")

    newest = replayed.packages("amd64").newest("curl")
    assert newest.version == "1-2"
    assert replayed.releases[0].date == RELEASED


Fault = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (lambda raw: bytes(len(raw)), DigestMismatchError),
        (lambda raw: raw[:-9], UnreachableError),
    ],
    ids=["other bytes", "cut short"],
)
def test_a_mirror_that_sends_a_wrong_package_is_named(
    archive_builder: Any, fault: Fault, error: type[Exception]
) -> None:
    archive_builder.publish("bookworm", [archive_builder.deb("bash", files={"bin/bash": bytes(5000)})])
    archive = archive_builder.open("bookworm")
    package = archive.packages("amd64").newest("bash")
    archive_builder.faults[f"/debian/{package.filename}"] = [fault] * 6

    with pytest.raises(error):
        archive.fetch(package)

    assert not archive_builder.cache().has(package.digest)
    archive_builder.faults.clear()
    assert archive.fetch(package).control["Package"] == "bash"


def test_a_broken_copy_is_gone_on_with(archive_builder: Any) -> None:
    deb = archive_builder.deb("big", files={"usr/share/big": bytes(range(256)) * 4000}, compression="")
    archive_builder.publish("bookworm", [deb])
    archive = archive_builder.open("bookworm")
    package = archive.packages("amd64").newest("big")
    path = f"/debian/{package.filename}"
    archive_builder.faults[path] = [lambda raw: raw[:400_000]]
    archive_builder.requests.clear()

    assert archive.fetch(package).control["Package"] == "big"

    assert archive_builder.requests == [path, path]


def test_a_wrong_index_is_refused(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [archive_builder.deb("bash")])
    archive = archive_builder.open("bookworm")
    for path in (archive_builder.www / "debian/dists/bookworm").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(OversizeError):
        archive.packages("amd64")


def test_a_damaged_cache_heals(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [archive_builder.deb("bash")])
    archive_builder.open("bookworm").packages("amd64")
    for path in (archive_builder.root / "cache/blobs/sha256").iterdir():
        if path.read_bytes().startswith(b"Package:"):
            path.write_bytes(path.read_bytes().replace(b"bash", b"dash"))
    index = archive_builder.open("bookworm").packages("amd64")
    assert index.newest("bash") is not None
    assert index.newest("dash") is None


def test_an_unknown_architecture_and_a_missing_suite_say_so(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [])
    archive: Archive = archive_builder.open("bookworm")
    with pytest.raises(UsageError, match="s390x"):
        archive.packages("s390x")
    with pytest.raises(NotFoundError):
        archive_builder.open("sarge")


def test_many_packages_are_fetched_at_once_and_come_in_order(archive_builder: Any) -> None:
    names = [f"package{number}" for number in range(12)]
    archive_builder.publish(
        "bookworm", [archive_builder.deb(name, files={f"usr/{name}": name.encode()}) for name in names]
    )
    archive = archive_builder.open("bookworm")
    index = archive.packages("amd64")
    debs = archive.fetch_all([index.newest(name) for name in names], executor=Threads(3))
    assert [deb.control["Package"] for deb in debs] == names


def test_a_package_that_vanished_from_the_mirror_is_named(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [archive_builder.deb("bash", "1-1")])
    archive = archive_builder.open("bookworm")
    package = archive.packages("amd64").newest("bash")
    (archive_builder.www / "debian" / package.filename).unlink()
    with pytest.raises(NotFoundError, match="bash 1-1"):
        archive.fetch(package)


def test_a_cut_index_is_fetched_again(archive_builder: Any) -> None:
    archive_builder.publish("bookworm", [archive_builder.deb(f"p{number}") for number in range(50)])
    archive = archive_builder.open("bookworm")
    path = next(iter((archive_builder.www / "debian/dists/bookworm/main/binary-amd64/by-hash/SHA256").iterdir()))
    archive_builder.faults["/" + str(path.relative_to(archive_builder.www))] = [lambda raw: raw[:300]]
    assert len(archive.packages("amd64")) == 50


@pytest.mark.parametrize(("status", "error"), [(403, DeniedError), (404, NotFoundError), (500, UnreachableError)])
def test_a_mirror_that_refuses_is_told_from_one_that_lacks(
    archive_builder: Any, status: int, error: type[Exception]
) -> None:
    archive_builder.publish("bookworm", [])
    archive_builder.statuses["/debian/dists/bookworm/InRelease"] = status
    with pytest.raises(error):
        archive_builder.open("bookworm")


def test_packages_for_every_architecture_may_have_an_index_of_their_own(archive_builder: Any) -> None:
    debs = [archive_builder.deb("common"), archive_builder.deb("native", architecture="amd64")]
    archive_builder.publish("bookworm", debs, architectures=("all", "amd64"))
    index = archive_builder.open("bookworm").packages("amd64")
    assert [package.name for name in ("common", "native") for package in index.versions(name)] == ["common", "native"]
    assert sum("binary-all" in path for path in archive_builder.requests) == 1


@pytest.mark.parametrize(
    "extra",
    [
        {"Date": "yesterday"},
        {"Valid-Until": "never"},
        {"SHA256": "\n aa 1 main/binary-amd64/Packages"},
        {"SHA256": f"\n {'a' * 64} 1 ../Packages"},
        {"SHA256": f"\n {'a' * 64} 1 x/../../Packages"},
        {"SHA256": f"\n {'a' * 64} 1 x\n {'b' * 64} 1 x"},
        {"SHA256": ""},
    ],
)
def test_a_signed_release_that_cannot_be_is_refused(archive_builder: Any, extra: dict[str, str]) -> None:
    fields = {"Codename": "bookworm", "Date": "Sat, 11 Jul 2026 10:00:00 UTC", "SHA256": f"\n {'a' * 64} 1 x"} | extra
    path = archive_builder.www / "debian/dists/bookworm/InRelease"
    path.parent.mkdir(parents=True)
    path.write_bytes(archive_builder.sign(render_stanza(fields).encode()))
    with pytest.raises(MalformedError):
        archive_builder.open("bookworm")


def test_a_release_without_a_date_is_refused(archive_builder: Any) -> None:
    path = archive_builder.www / "debian/dists/bookworm/InRelease"
    path.parent.mkdir(parents=True)
    path.write_bytes(archive_builder.sign(b"Codename: bookworm\nSHA256:\n " + b"a" * 64 + b" 1 x\n"))
    with pytest.raises(MalformedError, match="Date"):
        archive_builder.open("bookworm")
