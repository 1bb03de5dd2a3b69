"""A signed archive goes through unchanged, and nothing else does."""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pysequoia
import pytest
from tests.depot.conftest import Depot

RELEASE = "/dists/bookworm/InRelease"
PACKAGES = "/dists/bookworm/main/binary-amd64/Packages.xz"
Start = Callable[..., Depot]


@pytest.fixture
def archive(archive_builder: Any, tmp_path: Path) -> Any:
    (tmp_path / "archive.gpg").write_bytes(b"".join(archive_builder.keyring.certificates))
    archive_builder.debs = {
        name: archive_builder.deb(name, "1.0-1", files={f"usr/bin/{name}": b"x" * 1000}) for name in ("hello", "other")
    }
    archive_builder.publish("bookworm", archive_builder.debs.values())
    return archive_builder


@pytest.fixture
def served(depot: Start, archive: Any) -> Depot:
    return depot("apt", upstream=archive.mirror, keyring="archive.gpg", allow=("hello*",))


def file(archive: Any, path: str) -> Path:
    return Path(archive.www) / "debian" / path.lstrip("/")


def updated(served: Depot) -> None:
    assert [served.get(path).status for path in (RELEASE, PACKAGES)] == [200, 200]


def test_release_index_and_package_are_the_archives_own_bytes(served: Depot, archive: Any) -> None:
    updated(served)
    deb = archive.debs["hello"]
    assert served.get(RELEASE).body == file(archive, RELEASE).read_bytes()
    assert served.get(PACKAGES).body == file(archive, PACKAGES).read_bytes()
    assert served.get(f"/{deb.filename}").body == deb.raw


def test_the_second_client_costs_upstream_nothing(served: Depot, archive: Any) -> None:
    updated(served)
    path = f"/{archive.debs['hello'].filename}"
    served.get(path)
    asked = len(archive.requests)
    updated(served)
    assert served.get(path).status == 200
    assert len(archive.requests) == asked


def test_an_index_is_found_by_its_hash(served: Depot, archive: Any) -> None:
    digest = hashlib.sha256(file(archive, PACKAGES).read_bytes()).hexdigest()
    folder = PACKAGES.rpartition("/")[0]
    assert served.get(f"{folder}/by-hash/SHA256/{digest}").body == file(archive, PACKAGES).read_bytes()
    assert served.get(f"{folder}/by-hash/SHA256/{digest[::-1]}").status == 404


def test_a_package_that_is_not_on_the_list_is_refused_by_name(served: Depot, archive: Any) -> None:
    updated(served)
    answer = served.get(f"/{archive.debs['other'].filename}")
    assert (answer.status, answer.text.count("\n")) == (403, 1)
    assert "other is not on the list" in answer.text


def test_an_empty_list_allows_nothing(depot: Start, archive: Any) -> None:
    served = depot("apt", upstream=archive.mirror, keyring="archive.gpg")
    updated(served)
    assert served.get(f"/{archive.debs['hello'].filename}").status == 403


def test_a_file_that_no_index_names_is_not_fetched(served: Depot, archive: Any) -> None:
    updated(served)
    file(archive, "/pool/main/h/hello/hello_6.6_all.deb").write_bytes(b"slipped in")
    assert served.get("/pool/main/h/hello/hello_6.6_all.deb").status == 404
    assert not any("6.6" in path for path in archive.requests)


def test_a_tampered_package_is_never_handed_over(served: Depot, archive: Any) -> None:
    updated(served)
    deb = archive.debs["hello"]
    file(archive, deb.filename).write_bytes(deb.raw[:-1] + b"!")
    answer = served.get(f"/{deb.filename}")
    assert answer.status == 502
    assert deb.raw[:64] not in answer.body
    file(archive, deb.filename).write_bytes(deb.raw)
    assert served.get(f"/{deb.filename}").body == deb.raw


def test_a_tampered_index_is_never_handed_over(served: Depot, archive: Any) -> None:
    file(archive, PACKAGES).write_bytes(lzma.compress(b"Package: hello\n"))
    for path in file(archive, PACKAGES).parent.glob("by-hash/SHA256/*"):
        path.write_bytes(lzma.compress(b"Package: hello\n"))
    assert served.get(RELEASE).status == 200
    assert served.get(PACKAGES).status == 502


def test_an_index_that_the_release_does_not_list_is_not_there(served: Depot, archive: Any) -> None:
    path = "/dists/bookworm/main/binary-riscv64/Packages.xz"
    file(archive, path).parent.mkdir(parents=True)
    file(archive, path).write_bytes(b"unsigned")
    assert served.get(path).status == 404
    assert path not in "".join(archive.requests)


@pytest.mark.parametrize("wrong", ["unsigned", "another key"])
def test_a_release_that_the_keyring_does_not_vouch_for_is_refused(served: Depot, archive: Any, wrong: str) -> None:
    if wrong == "unsigned":
        file(archive, RELEASE).write_bytes(b"Origin: Test\nSuite: bookworm\n")
    else:
        archive.publish("bookworm", [], signer=pysequoia.Tsk.generate(user_id="Else <else@debian.example>"))
    assert served.get(RELEASE).status == 502
    assert served.get(PACKAGES).status == 502


def test_release_and_its_signature_serve_where_there_is_no_inrelease(served: Depot, archive: Any) -> None:
    text = pysequoia.verify(file(archive, RELEASE).read_bytes(), lambda _: [archive.key.extract_certificate()]).bytes
    assert text is not None
    file(archive, RELEASE).unlink()
    signature = pysequoia.sign(archive.key.signer(), text, mode=pysequoia.SignatureMode.DETACHED)
    file(archive, "/dists/bookworm/Release").write_bytes(text)
    file(archive, "/dists/bookworm/Release.gpg").write_bytes(signature)
    assert served.get(RELEASE).status == 404
    assert served.get("/dists/bookworm/Release").body == text
    assert served.get("/dists/bookworm/Release.gpg").body == signature
    assert served.get(PACKAGES).status == 200
    assert served.get(f"/{archive.debs['hello'].filename}").status == 200


def test_a_pair_that_does_not_belong_together_is_refused(served: Depot, archive: Any) -> None:
    file(archive, RELEASE).unlink()
    signature = pysequoia.sign(archive.key.signer(), b"Suite: else\n", mode=pysequoia.SignatureMode.DETACHED)
    file(archive, "/dists/bookworm/Release").write_bytes(b"Suite: bookworm\n")
    file(archive, "/dists/bookworm/Release.gpg").write_bytes(signature)
    assert served.get("/dists/bookworm/Release").status == 502


def test_stale_indexes_are_served_while_upstream_is_down_and_taken_up_again(served: Depot, archive: Any) -> None:
    updated(served)
    before = served.get(RELEASE).body
    archive.statuses["/debian" + RELEASE] = 503
    served.later(hours=5)
    assert served.get(RELEASE).body == before
    assert served.get(PACKAGES).status == 200
    archive.statuses.clear()
    archive.publish("bookworm", archive.debs.values(), date=datetime(2026, 7, 19, tzinfo=UTC))
    served.later(hours=5)
    assert served.get(RELEASE).body == file(archive, RELEASE).read_bytes() != before


def test_an_older_release_is_not_taken(served: Depot, archive: Any) -> None:
    before = served.get(RELEASE).body
    archive.publish("bookworm", archive.debs.values(), date=datetime(2026, 1, 1, tzinfo=UTC))
    served.later(hours=5)
    assert served.get(RELEASE).body == before


def test_who_read_the_release_before_the_new_one_still_gets_its_packages(served: Depot, archive: Any) -> None:
    updated(served)
    deb = archive.debs["hello"]
    newer = archive.deb("hello", "2.0-1")
    archive.publish("bookworm", [newer], date=datetime(2026, 7, 19, tzinfo=UTC))
    served.later(hours=5)
    updated(served)
    assert served.get(f"/{deb.filename}").body == deb.raw
    assert served.get(f"/{newer.filename}").body == newer.raw


def test_a_new_start_knows_what_was_verified(served: Depot, archive: Any, depot: Start) -> None:
    updated(served)
    again = depot("apt", upstream=archive.mirror, keyring="archive.gpg", allow=("hello*",))
    assert again.get(f"/{archive.debs['hello'].filename}").status == 200


def test_clients_that_have_it_are_told_so(served: Depot) -> None:
    answer = served.get(RELEASE)
    assert served.get(RELEASE, If_None_Match=answer.headers["etag"]).status == 304
    assert served.get(RELEASE, If_Modified_Since=answer.headers["last-modified"]).status == 304
    served.later(hours=5)
    assert served.get(RELEASE, If_Modified_Since=answer.headers["last-modified"]).status == 304
    assert served.get(RELEASE, If_None_Match='"else"').status == 200


def test_a_source_package_goes_by_the_name_of_its_source(served: Depot, archive: Any) -> None:
    parts = {"hello_1.0.dsc": b"Format: 3.0\n", "hello_1.0.orig.tar.xz": b"tar"}
    listing = "Package: hello\nDirectory: pool/main/h/hello\nChecksums-Sha256:\n" + "".join(
        f" {hashlib.sha256(raw).hexdigest()} {len(raw)} {name}\n" for name, raw in parts.items()
    )
    packed = lzma.compress(listing.encode())
    path = "main/source/Sources.xz"
    for name, raw in {f"pool/main/h/hello/{name}": raw for name, raw in parts.items()}.items():
        file(archive, name).write_bytes(raw)
    file(archive, f"dists/bookworm/{path}").parent.mkdir(parents=True)
    file(archive, f"dists/bookworm/{path}").write_bytes(packed)
    signed = f"Suite: stable\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:00:00 UTC\nSHA256:\n {hashlib.sha256(packed).hexdigest()} {len(packed)} {path}"
    file(archive, RELEASE).write_bytes(archive.sign(signed.encode()))
    assert served.get(f"/dists/bookworm/{path}").status == 200
    assert served.get("/pool/main/h/hello/hello_1.0.dsc").body == parts["hello_1.0.dsc"]
    file(archive, "pool/main/h/hello/hello_1.0.orig.tar.xz").write_bytes(b"bad")
    assert served.get("/pool/main/h/hello/hello_1.0.orig.tar.xz").status == 502


@pytest.mark.parametrize("path", ["/dists/bookworm/Packages.diff/Index", "/dists/bookworm", "/dists", "/", "/pool/"])
def test_what_is_no_file_of_the_archive_is_not_there(served: Depot, path: str) -> None:
    assert served.get(path).status == 404


def test_a_client_whose_lists_are_older_than_the_cache_gets_its_package(served: Depot, archive: Any) -> None:
    assert served.get(RELEASE).status == 200
    assert served.get(f"/{archive.debs['hello'].filename}").body == archive.debs["hello"].raw
    assert served.get(f"/{archive.debs['other'].filename}").status == 403


def test_two_generations_of_an_index_are_kept_and_no_more(served: Depot, archive: Any) -> None:
    for day in range(12, 18):
        archive.publish("bookworm", [], date=datetime(2026, 7, day, tzinfo=UTC))
        served.later(hours=5)
        assert served.get(RELEASE).status == 200
    assert len(list(served.cache.digests())) == 2


def test_many_clients_at_once_cost_upstream_one_request(served: Depot, archive: Any) -> None:
    updated(served)
    deb = archive.debs["hello"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: served.get(f"/{deb.filename}").body, range(16)))
    assert answers == [deb.raw] * 16
    assert [path for path in archive.requests if path.endswith(".deb")] == [f"/debian/{deb.filename}"]


def test_a_part_of_a_package_can_be_asked_for(served: Depot, archive: Any) -> None:
    updated(served)
    deb = archive.debs["hello"]
    answer = served.get(f"/{deb.filename}", Range="bytes=100-")
    assert (answer.status, answer.body) == (206, deb.raw[100:])


def test_a_download_that_broke_off_is_gone_on_with(served: Depot, archive: Any) -> None:
    updated(served)
    deb = archive.debs["hello"]
    archive.faults[f"/debian/{deb.filename}"] = [lambda content: content[:100]]
    answer = served.get(f"/{deb.filename}")
    assert (answer.status, answer.text.count("\n")) == (502, 1)
    assert served.get(f"/{deb.filename}").body == deb.raw
