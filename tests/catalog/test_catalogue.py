"""Whole images to bills: layers, links, whiteouts, and who brought what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from sallyport.catalog import Bill, Cataloguer, Package, catalogue, load_cataloguers
from sallyport.errors import DigestMismatchError, MalformedError, MissingBlobError, UsageError
from sallyport.oci import Digest, Image, Listing, Rootfs

if TYPE_CHECKING:
    from tests.catalog.conftest import Content, Workshop

OS_RELEASE = b'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
SYSTEM: dict[str, Content] = {"etc/os-release": "-> ../usr/lib/os-release", "usr/lib/os-release": OS_RELEASE}


def status(*packages: str) -> bytes:
    """``name=version`` for each."""
    return b"\n".join(
        f"Package: {name}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {version}\n".encode()
        for name, _, version in (package.partition("=") for package in packages)
    )


def single(name: str, version: str) -> bytes:
    return f"Package: {name}\nArchitecture: amd64\nVersion: {version}\n".encode()


def layer(image: Image, number: int) -> Digest:
    return image.layers[number][0].digest


def by_name(bill: Bill) -> dict[str, Package]:
    return {package.name: package for package in bill.packages}


def test_a_status_image_gives_a_sorted_bill_with_its_distribution(workshop: Workshop) -> None:
    image = workshop.image({**SYSTEM, "var/lib/dpkg/status": status("zlib1g=1", "libc6=2")})
    bill = catalogue(image, workshop.blobs)
    assert bill.image == image.descriptor.digest
    assert str(bill.platform) == "linux/amd64"
    assert bill.distribution is not None
    assert bill.distribution.ecosystem == "Debian:12"
    assert [(p.name, p.version) for p in bill.packages] == [("libc6", "2"), ("zlib1g", "1")]


def test_each_package_knows_the_layer_that_brought_it(workshop: Workshop) -> None:
    image = workshop.image(
        {**SYSTEM, "var/lib/dpkg/status": status("libc6=2", "gone=1", "openssl=3.0.20-1")},
        {"srv/app": b"app"},
        {"var/lib/dpkg/status": status("libc6=2", "openssl=3.0.22-1", "nginx=1")},
    )
    bill = catalogue(image, workshop.blobs)
    assert {name: package.layer for name, package in by_name(bill).items()} == {
        "libc6": layer(image, 0),
        "nginx": layer(image, 2),
        "openssl": layer(image, 2),
    }


def test_a_package_that_went_and_came_back_belongs_to_the_layer_that_brought_it_back(workshop: Workshop) -> None:
    image = workshop.image(
        {"var/lib/dpkg/status": status("a=1", "b=1")},
        {"var/lib/dpkg/status": status("b=1")},
        {"var/lib/dpkg/status": status("a=1", "b=1")},
    )
    found = by_name(catalogue(image, workshop.blobs))
    assert (found["a"].layer, found["b"].layer) == (layer(image, 2), layer(image, 0))


def test_distroless_packages_belong_to_the_layer_where_their_file_stands(workshop: Workshop) -> None:
    image = workshop.image(
        {
            **SYSTEM,
            "var/lib/dpkg/status.d/libc6": single("libc6", "2.36"),
            "var/lib/dpkg/status.d/libc6.md5sums": b"0 x\n",
        },
        {"var/lib/dpkg/status.d/libssl3": single("libssl3", "3.0.20-1")},
        {"var/lib/dpkg/status.d/libssl3": single("libssl3", "3.0.22-1")},
    )
    found = by_name(catalogue(image, workshop.blobs))
    assert found["libc6"].location == "var/lib/dpkg/status.d/libc6"
    assert found["libc6"].layer == layer(image, 0)
    assert (found["libssl3"].version, found["libssl3"].layer) == ("3.0.22-1", layer(image, 2))


def test_what_a_later_layer_removes_is_not_there(workshop: Workshop) -> None:
    image = workshop.image(
        {
            "var/lib/dpkg/status": status("a=1"),
            "var/lib/dpkg/status.d/b": single("b", "1"),
            "var/lib/dpkg/status.d/c": single("c", "1"),
        },
        {"var/lib/dpkg/.wh.status": b"", "var/lib/dpkg/status.d/.wh.b": b""},
    )
    assert list(by_name(catalogue(image, workshop.blobs))) == ["c"]


def test_an_opaque_folder_hides_what_lies_below(workshop: Workshop) -> None:
    image = workshop.image(
        {"var/lib/dpkg/status": status("a=1"), "var/lib/dpkg/status.d/b": single("b", "1")},
        {"var/lib/dpkg/.wh..wh..opq": b"", "var/lib/dpkg/status": status("c=1")},
    )
    assert list(by_name(catalogue(image, workshop.blobs))) == ["c"]


def test_a_linked_database_is_found_behind_its_link(workshop: Workshop) -> None:
    image = workshop.image(
        {
            "usr/lib/sysimage/dpkg/status": status("a=1"),
            "var/lib": None,
            "var/lib/dpkg": "-> ../../usr/lib/sysimage/dpkg",
        },
        {"var/lib/dpkg/status": status("a=1", "b=1")},
    )
    found = by_name(catalogue(image, workshop.blobs))
    assert (found["a"].layer, found["b"].layer) == (layer(image, 0), layer(image, 1))


def test_a_hard_linked_status_is_read(workshop: Workshop) -> None:
    image = workshop.image(
        {"var/lib/dpkg/status-old": status("a=1"), "var/lib/dpkg/status": "=> var/lib/dpkg/status-old"}
    )
    found = by_name(catalogue(image, workshop.blobs))
    assert found["a"].layer == layer(image, 0)


def test_a_database_at_an_unusual_place_is_an_error_and_not_an_empty_bill(workshop: Workshop) -> None:
    image = workshop.image({"opt/hidden": status("a=1"), "var/lib/dpkg/status": "-> /opt/hidden"})
    with pytest.raises(MissingBlobError, match="opt/hidden"):
        catalogue(image, workshop.blobs)


def test_an_image_without_packages_or_os_release_gives_an_empty_bill(workshop: Workshop) -> None:
    bill = catalogue(workshop.image({"app": b"static"}), workshop.blobs)
    assert (bill.packages, bill.distribution) == ((), None)


def test_the_same_package_twice_in_one_database_is_refused(workshop: Workshop) -> None:
    with pytest.raises(MalformedError, match="names a1:amd64 twice"):
        catalogue(workshop.image({"var/lib/dpkg/status": status("a1=1", "a1=2")}), workshop.blobs)


def test_a_broken_paragraph_refuses_the_whole_bill(workshop: Workshop) -> None:
    image = workshop.image({"var/lib/dpkg/status.d/x": b"Version: 1\n", "var/lib/dpkg/status": status("a=1")})
    with pytest.raises(MalformedError, match=r"status\.d/x"):
        catalogue(image, workshop.blobs)


def test_a_layer_is_read_once_for_all_images_that_share_it(workshop: Workshop) -> None:
    base: dict[str, Content] = {**SYSTEM, "var/lib/dpkg/status": status("a=1")}
    first = workshop.image(base, {"x": b"1"})
    second = workshop.image(base, {"x": b"2"})
    cache: dict[Digest, Listing] = {}
    bills = [catalogue(image, workshop.blobs, cache=cache) for image in (first, second)]
    assert len(cache) == 3
    # The shared layer's bytes may go: its listing is remembered.
    workshop.blobs.delete(layer(first, 0))
    assert catalogue(first, workshop.blobs, cache=cache) == bills[0]
    assert catalogue(second, workshop.blobs, cache=cache).packages == bills[0].packages


def test_a_damaged_layer_gives_no_bill(workshop: Workshop) -> None:
    image = workshop.image({"var/lib/dpkg/status": status("a=1")})
    path = workshop.blobs.path(layer(image, 0))
    assert path is not None
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1  # the length that gzip keeps
    path.write_bytes(raw)
    with pytest.raises(DigestMismatchError):
        catalogue(image, workshop.blobs)


def test_another_cataloguer_adds_its_packages(workshop: Workshop) -> None:
    class Wheels:
        name = "wheels"

        def wants(self, path: str) -> bool:
            return path.endswith(".dist-info/METADATA")

        def packages(self, rootfs: Rootfs, layers: Sequence[Listing]) -> tuple[Package, ...]:
            return tuple(
                Package("pypi", "six", "1", "", "six", "1", node.layer, path)
                for path, node in rootfs.nodes.items()
                if self.wants(path)
            )

    image = workshop.image({"var/lib/dpkg/status": status("a=1"), "lib/six-1.dist-info/METADATA": b"x"})
    wheels: Cataloguer = Wheels()
    found = catalogue(image, workshop.blobs, cataloguers=(*load_cataloguers(), wheels))
    assert [package.kind for package in found.packages] == ["deb", "pypi"]


def test_an_unknown_cataloguer_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(UsageError, match="'rpms'") as caught:
        load_cataloguers(["rpms"])
    assert "dpkg" in caught.value.mend
