"""Patching small images of every shape, over a real signed archive of the test's own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sallyport.compose import Style, finish, read_database
from sallyport.errors import ConflictError, MalformedError
from sallyport.oci import (
    Digest,
    Entry,
    Kind,
    Platform,
    build_index,
    build_manifest,
    load_image,
    load_manifest,
    media_types,
)
from sallyport.patch import Change, UnknownScriptError, UnsatisfiableError, patch, patch_index, plan_patch

Add = Callable[..., tuple[Entry, bytes]]
STATUS = "var/lib/dpkg/status"


def text(root: Any, path: str) -> str:
    content: bytes | None = root.read(path)
    assert content is not None, f"/{path} is missing"
    return content.decode()


def test_a_fix_arrives_and_nothing_else_moves(yard: Any) -> None:
    yard.old("openssl", files={"usr/bin/openssl": b"old", "etc/ssl/x.cnf": b"x"}, source="openssl")
    yard.old("bash", files={"usr/bin/bash": b"bash"})
    yard.new("openssl", files={"usr/bin/openssl": b"new", "etc/ssl/x.cnf": b"x"}, source="openssl")
    yard.new("bash", files={"usr/bin/bash": b"newer"})
    image = yard.image()

    patched = yard.patch(image, {"openssl": "1.0-2"})

    assert [(upgrade.new.name, upgrade.closes) for upgrade in patched.plan.upgrades] == [
        ("openssl", ("CVE-2026-1001",))
    ]
    root = yard.root(patched)
    assert root.read("usr/bin/openssl") == b"new"
    assert root.read("usr/bin/bash") == b"bash"
    database = read_database(root)
    assert {package.name: package.version for package in database.packages} == {"bash": "1.0-1", "openssl": "1.0-2"}
    before = read_database(yard.root(image)).get("bash")
    after = database.get("bash")
    assert before is not None
    assert after is not None
    assert before.stanza == after.stanza
    assert "usr/bin/bash" not in yard.layer(patched)
    assert text(root, "var/lib/dpkg/info/openssl.md5sums").startswith(hashlib.md5(b"new").hexdigest())
    assert "/usr/bin/openssl\n" in text(root, "var/lib/dpkg/info/openssl.list")


def test_nothing_to_do_leaves_the_image_as_it_is(yard: Any) -> None:
    yard.old("bash", files={"usr/bin/bash": b"bash"})
    image = yard.image()

    patched = yard.patch(image, {"bash": "9.9-1"})

    assert patched.plan.unfixable == ("CVE-2026-1000",)
    assert patched.after == patched.before == image.descriptor
    assert patched.layer == image.manifest.layers[-1]


def test_the_same_inputs_give_the_same_digest_on_another_day(
    yard: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    yard.old("curl", files={"usr/bin/curl": b"old"})
    yard.new(
        "curl",
        files={"usr/bin/curl": b"new", "usr/lib/curl/extra": b"x"},
        scripts={"postinst": "#!/bin/sh\nldconfig\n"},
    )
    image = yard.image()
    digests = []
    for year in (2026, 2031):
        at = datetime(year, 7, 21, tzinfo=UTC)
        monkeypatch.setattr("time.time", lambda at=at: at.timestamp())
        plan = yard.plan(image, {"curl": "1.0-2"}, at=at)
        digests.append(patch(image, plan, yard.archive(), yard.blobs).after.digest)

    assert digests[0] == digests[1]


def test_the_image_around_the_layer_is_right(yard: Any) -> None:
    yard.old("curl", files={"usr/bin/curl": b"old"})
    yard.new("curl", files={"usr/bin/curl": b"new"})
    image = yard.image(labels={"who": "us"}, entrypoint=("curl",), user="65532")

    patched = yard.patch(image, {"curl": "1.0-2"}, base_name="registry.example/curl:1")

    after = yard.load(patched)
    assert after.manifest.layers == (*image.manifest.layers, patched.layer)
    assert after.config.document["config"] == image.config.document["config"]
    history: Any = after.config.document["history"]
    assert history[-1]["created_by"] == "sallyport patch curl=1.0-2"
    assert len(history) == len(after.layers)
    assert after.manifest.annotations["org.opencontainers.image.base.digest"] == str(image.descriptor.digest)
    assert after.manifest.annotations["org.opencontainers.image.base.name"] == "registry.example/curl:1"
    # The package's newest file is older than the image it goes on, and time does not run backwards.
    assert after.config.created == history[-1]["created"] == image.config.created
    assert patched.after.platform == image.descriptor.platform


def test_dockers_family_stays_dockers(yard: Any) -> None:
    yard.old("curl", files={"usr/bin/curl": b"old"})
    yard.new("curl", files={"usr/bin/curl": b"new"})
    made = yard.image()
    manifest = build_manifest(
        replace(made.manifest.config, media_type=media_types.DOCKER_CONFIG),
        [replace(layer, media_type=media_types.DOCKER_LAYER_GZIP) for layer in made.manifest.layers],
        media_type=media_types.DOCKER_MANIFEST,
    )
    yard.blobs.put(manifest.digest, len(manifest.raw), [manifest.raw])
    image = load_image(yard.blobs, manifest.descriptor)

    after = yard.load(yard.patch(image, {"curl": "1.0-2"}))

    assert after.manifest.media_type == media_types.DOCKER_MANIFEST
    assert {layer.media_type for layer in after.manifest.layers} == {media_types.DOCKER_LAYER_GZIP}
    assert after.manifest.config.media_type == media_types.DOCKER_CONFIG


def test_an_index_is_rebuilt_with_its_platforms(yard: Any) -> None:
    yard.old("curl", files={"usr/bin/curl": b"old"})
    yard.new("curl", files={"usr/bin/curl": b"new"})
    images = [yard.image(platform=Platform("linux", name)) for name in ("amd64", "arm64")]
    children = [replace(image.descriptor, annotations={"kept": "yes"}) for image in images]
    attestation = build_manifest(images[0].manifest.config, [], artifact_type="application/vnd.in-toto+json")
    children.append(
        replace(attestation.descriptor, annotations={"vnd.docker.reference.digest": str(images[0].descriptor.digest)})
    )
    index = build_index(children, annotations={"about": "us"})
    yard.blobs.put(index.digest, len(index.raw), [index.raw])
    patched = [yard.patch(image, {"curl": "1.0-2"}) for image in images]

    descriptor = patch_index(
        yard.blobs, index.descriptor, {item.before.digest: item.after for item in patched}, base_name="r.example/curl:1"
    )

    after: Any = load_manifest(yard.blobs, descriptor)
    assert [str(child.platform) for child in after.manifests] == ["linux/amd64", "linux/arm64"]
    assert [child.digest for child in after.manifests] == [item.after.digest for item in patched]
    assert all(child.annotations == {"kept": "yes"} for child in after.manifests)
    assert after.annotations == {
        "about": "us",
        "org.opencontainers.image.base.digest": str(index.digest),
        "org.opencontainers.image.base.name": "r.example/curl:1",
    }
    assert patch_index(yard.blobs, index.descriptor, {}) == index.descriptor
    one = patched[0]
    assert patch_index(yard.blobs, one.before, {one.before.digest: one.after}) == one.after


def test_paths_lead_through_the_images_own_links(yard: Any, usr_merged: Any) -> None:
    yard.old(
        "libz",
        files={"lib/x86_64-linux-gnu/libz.so.1.0": b"old", "lib/x86_64-linux-gnu/libz.so.1": link("libz.so.1.0")},
    )
    yard.new(
        "libz",
        files={"lib/x86_64-linux-gnu/libz.so.1.1": b"new", "lib/x86_64-linux-gnu/libz.so.1": link("libz.so.1.1")},
    )
    image = yard.image(before=(usr_merged,))

    patched = yard.patch(image)

    layer = yard.layer(patched)
    assert layer["usr/lib/x86_64-linux-gnu/libz.so.1.1"].kind is Kind.FILE
    assert "usr/lib/x86_64-linux-gnu/.wh.libz.so.1.0" in layer
    assert not any(path == "lib" or path.startswith("lib/") for path in layer)
    assert yard.root(patched).read("lib/x86_64-linux-gnu/libz.so.1") == b"new"


def link(target: str) -> Entry:
    return Entry("", Kind.SYMLINK, 0o777, link=target)


# --- configuration files -------------------------------------------------------------------------


def test_an_unchanged_configuration_file_is_replaced(yard: Any) -> None:
    yard.old("nginx", files={"etc/nginx.conf": b"one"}, conffiles=["/etc/nginx.conf"])
    yard.new("nginx", files={"etc/nginx.conf": b"two"}, conffiles=["/etc/nginx.conf"])
    root = yard.root(yard.patch(yard.image()))

    assert root.read("etc/nginx.conf") == b"two"
    assert f" /etc/nginx.conf {hashlib.md5(b'two').hexdigest()}\n" in text(root, STATUS)


def test_a_changed_configuration_file_stays_and_the_new_one_stands_beside_it(yard: Any, add_file: Add) -> None:
    yard.old("nginx", files={"etc/nginx.conf": b"one"}, conffiles=["/etc/nginx.conf"])
    yard.new("nginx", files={"etc/nginx.conf": b"two"}, conffiles=["/etc/nginx.conf"])
    image = yard.over(yard.image(), add_file("etc/nginx.conf", b"ours"))

    patched = yard.patch(image)

    root = yard.root(patched)
    assert root.read("etc/nginx.conf") == b"ours"
    assert root.read("etc/nginx.conf.dpkg-dist") == b"two"
    assert f" /etc/nginx.conf {hashlib.md5(b'two').hexdigest()}\n" in text(root, STATUS)
    assert [file.path for file in patched.files if file.change is Change.KEPT] == ["etc/nginx.conf"]
    assert any("etc/nginx.conf" in note for note in patched.notes)


def test_a_configuration_file_that_the_package_did_not_change_stays_without_a_word(yard: Any, add_file: Add) -> None:
    yard.old("nginx", files={"etc/nginx.conf": b"one"}, conffiles=["/etc/nginx.conf"])
    yard.new("nginx", files={"etc/nginx.conf": b"one", "usr/x": b"x"}, conffiles=["/etc/nginx.conf"])
    patched = yard.patch(yard.over(yard.image(), add_file("etc/nginx.conf", b"ours")))

    assert yard.root(patched).read("etc/nginx.conf") == b"ours"
    assert yard.root(patched).get("etc/nginx.conf.dpkg-dist") is None
    assert patched.notes == ()


def test_a_removed_configuration_file_does_not_come_back(yard: Any, add_file: Add) -> None:
    yard.old("nginx", files={"etc/nginx.conf": b"one"}, conffiles=["/etc/nginx.conf"])
    yard.new("nginx", files={"etc/nginx.conf": b"two"}, conffiles=["/etc/nginx.conf"])
    root = yard.root(yard.patch(yard.over(yard.image(), add_file("etc/.wh.nginx.conf", b""))))

    assert root.get("etc/nginx.conf") is None
    assert root.get("etc/nginx.conf.dpkg-dist") is None


def test_a_configuration_file_that_is_no_longer_shipped_stays_and_is_marked(yard: Any) -> None:
    yard.old("nginx", files={"etc/old.conf": b"one", "usr/x": b"1"}, conffiles=["/etc/old.conf"])
    yard.new("nginx", files={"usr/x": b"2"})
    root = yard.root(yard.patch(yard.image()))

    assert root.read("etc/old.conf") == b"one"
    assert f" /etc/old.conf {hashlib.md5(b'one').hexdigest()} obsolete\n" in text(root, STATUS)


# --- what vanishes, and what is not ours -----------------------------------------------------------


def test_files_that_vanish_are_whited_out_with_folders_that_they_empty(yard: Any) -> None:
    yard.old("app", files={"usr/lib/app/a": b"a", "usr/lib/app/deep/b": b"b", "usr/bin/app": b"1", "opt/app/c": b"c"})
    yard.new("app", files={"usr/bin/app": b"2", "usr/lib/app/a": b"a"})
    image = yard.image()

    patched = yard.patch(image)

    layer = yard.layer(patched)
    assert "usr/lib/app/.wh.deep" in layer
    assert ".wh.opt" in layer
    assert not any("deep/" in path or path.startswith("opt") for path in layer)
    root = yard.root(patched)
    assert root.get("usr/lib/app/deep/b") is None
    assert root.read("usr/lib/app/a") == b"a"


def test_a_folder_with_a_file_of_the_images_own_stays(yard: Any, add_file: Add) -> None:
    yard.old("app", files={"opt/app/c": b"c", "usr/bin/app": b"1"})
    yard.new("app", files={"usr/bin/app": b"2"})
    root = yard.root(yard.patch(yard.over(yard.image(), add_file("opt/app/ours", b"mine"))))

    assert root.get("opt/app/c") is None
    assert root.read("opt/app/ours") == b"mine"


def test_a_file_that_another_package_has_too_does_not_vanish(yard: Any, usr_merged: Any) -> None:
    yard.old("one", files={"lib/shared": b"s", "usr/bin/one": b"1"}, replaces="two")
    yard.old("two", files={"usr/lib/shared": b"s"}, replaces="one")
    yard.new("one", files={"usr/bin/one": b"2"})
    root = yard.root(yard.patch(yard.image(before=(usr_merged,))))

    assert root.read("usr/lib/shared") == b"s"


def test_a_file_moves_between_packages_that_move_together(yard: Any) -> None:
    yard.old("app", files={"usr/lib/app/data": b"1"})
    yard.old("app-data", files={"usr/share/app-data/x": b"x"})
    yard.new("app", files={"usr/bin/app": b"2"})
    yard.new("app-data", files={"usr/share/app-data/x": b"x", "usr/lib/app/data": b"2"}, replaces="app (<< 1.0-2)")
    root = yard.root(yard.patch(yard.image()))

    assert root.read("usr/lib/app/data") == b"2"


def test_taking_a_file_over_needs_a_word(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.old("other", files={"usr/bin/tool": b"1"})
    yard.new("app", files={"usr/bin/app": b"2", "usr/bin/tool": b"2"})
    image = yard.image()
    with pytest.raises(ConflictError, match=r"app brings /usr/bin/tool, which belongs to other"):
        yard.patch(image)


def test_a_file_is_taken_over_where_that_is_said(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.old("other", files={"usr/bin/tool": b"1", "usr/bin/rest": b"r"})
    yard.new("app", files={"usr/bin/app": b"2", "usr/bin/tool": b"2"}, replaces="other (<< 2)")
    root = yard.root(yard.patch(yard.image()))

    assert root.read("usr/bin/tool") == b"2"
    assert "/usr/bin/tool\n" not in text(root, "var/lib/dpkg/info/other.list")
    assert "/usr/bin/rest\n" in text(root, "var/lib/dpkg/info/other.list")


def test_hard_links_and_rights_arrive(yard: Any) -> None:
    yard.old("perl", files={"usr/bin/perl": b"1"})
    yard.new(
        "perl",
        files={
            "usr/bin/perl": b"2",
            "usr/bin/perl5": Entry("usr/bin/perl5", Kind.HARDLINK, 0o755, link="usr/bin/perl"),
            "var/lib/perl": Entry("var/lib/perl", Kind.DIRECTORY, 0o2770, 33, 4),
        },
    )
    patched = yard.patch(yard.image())

    layer = yard.layer(patched)
    assert layer["usr/bin/perl5"].kind is Kind.HARDLINK
    assert layer["usr/bin/perl5"].link == "usr/bin/perl"
    folder = layer["var/lib/perl"]
    assert (folder.mode, folder.uid, folder.gid) == (0o2770, 33, 4)
    assert yard.root(patched).read("usr/bin/perl5") == b"2"


def test_diverted_files_and_overridden_rights_stay_so(yard: Any, add_file: Add) -> None:
    """dpkg-divert and dpkg-statoverride, as somebody used them in the image."""
    yard.old("tool", files={"usr/bin/tool": b"1", "usr/bin/gone": b"1", "usr/bin/su": b"1"})
    yard.old("wrapper", files={"usr/share/wrapper/x": b"x"})
    yard.new("tool", files={"usr/bin/tool": b"2", "usr/bin/su": b"2"})
    yard.new("wrapper", files={"usr/share/wrapper/x": b"y"})
    diversions = b"".join(
        f"/usr/bin/{name}\n/usr/bin/{name}.real\n{who}\n".encode() for name, who in (("tool", ":"), ("gone", "wrapper"))
    )
    image = yard.over(
        yard.image(),
        add_file("var/lib/dpkg/diversions", diversions),
        add_file("var/lib/dpkg/statoverride", b"root adm 4750 /usr/bin/su\nnobody-here root 755 /usr/bin/tool\n"),
        add_file("usr/bin/tool", b"wrapped"),
        add_file("usr/bin/tool.real", b"1"),
        add_file("usr/bin/gone", b"wrapped"),
        add_file("usr/bin/gone.real", b"1"),
    )

    root = yard.root(yard.patch(image))

    assert root.read("usr/bin/tool") == b"wrapped"
    assert root.read("usr/bin/tool.real") == b"2"
    assert root.read("usr/bin/gone") == b"wrapped"
    assert root.get("usr/bin/gone.real") is None
    su = root.nodes["usr/bin/su"]
    assert (su.entry.mode, su.entry.uid, su.entry.gid, su.content) == (0o4750, 0, 4, b"2")


def test_folders_above_a_change_keep_their_rights(yard: Any, add_file: Add) -> None:
    yard.old("app", files={"srv/app/x": b"1"})
    yard.new("app", files={"srv/app/x": b"2"})
    ours = (Entry("srv/app", Kind.DIRECTORY, 0o1770, 33, 33, mtime=7), b"")
    patched = yard.patch(yard.over(yard.image(), ours))

    folder = yard.layer(patched)["srv/app"]
    assert (folder.mode, folder.uid, folder.gid, folder.mtime) == (0o1770, 33, 33, 7)


# --- slim images -----------------------------------------------------------------------------------

DOCUMENTED = {
    "usr/bin/tool": b"1",
    "usr/share/doc/tool/copyright": b"free",
    "usr/share/doc/tool/changelog.gz": b"log",
    "usr/share/man/man1/tool.1.gz": b"man",
    "usr/share/locale/de/LC_MESSAGES/tool.mo": b"de",
}
NEWER = DOCUMENTED | {
    "usr/bin/tool": b"2",
    "usr/share/locale/fr/LC_MESSAGES/tool.mo": b"fr",
    "usr/share/man/man8/toold.8.gz": b"man",
}


@pytest.mark.parametrize("style", [Style.STATUS, Style.STATUS_D])
@pytest.mark.parametrize("after", [(finish.slim_configuration,), ()], ids=["told", "seen"])
def test_a_slim_image_stays_slim(yard: Any, style: Style, after: tuple[Any, ...]) -> None:
    yard.old("tool", files=DOCUMENTED)
    yard.new("tool", files=NEWER)
    image = yard.image(style=style, exclude=finish.slim, after=after)

    patched = yard.patch(image)

    root = yard.root(patched)
    assert root.read("usr/bin/tool") == b"2"
    assert root.read("usr/share/doc/tool/copyright") == b"free"
    there = {path for path in root.nodes if path.startswith("usr/share/") and root.nodes[path].entry.kind is Kind.FILE}
    assert there == {"usr/share/doc/tool/copyright"}
    left = {file.path for file in patched.files if file.change is Change.LEFT_OUT}
    assert "usr/share/locale/fr/LC_MESSAGES/tool.mo" in left


def test_an_image_with_manuals_gets_the_new_ones(yard: Any) -> None:
    yard.old("tool", files=DOCUMENTED)
    yard.new("tool", files=NEWER)
    root = yard.root(yard.patch(yard.image()))

    assert set(NEWER) <= set(root.nodes)


def test_a_file_that_somebody_removed_does_not_come_back(yard: Any, add_file: Add) -> None:
    yard.old("login", files={"usr/bin/login": b"1", "usr/bin/su": b"1"})
    yard.new("login", files={"usr/bin/login": b"2", "usr/bin/su": b"2"})
    patched = yard.patch(yard.over(yard.image(), add_file("usr/bin/.wh.su", b"")))

    assert yard.root(patched).get("usr/bin/su") is None
    assert yard.root(patched).read("usr/bin/login") == b"2"


# --- distroless ------------------------------------------------------------------------------------


def test_a_distroless_image_keeps_its_records_names(yard: Any, distroless: Style) -> None:
    yard.old(
        "libssl3",
        files={"usr/lib/libssl.so.3": b"1", "usr/lib/libssl.so": link("libssl.so.3")},
        depends="libc6, debconf",
    )
    yard.old("libc6", files={"usr/lib/libc.so.6": b"1"}, depends="libgcc-s1")
    yard.new("libssl3", files={"usr/lib/libssl.so.3.1": b"2"}, depends="libc6, debconf")
    made = yard.image(style=distroless)
    record = yard.root(made).read("var/lib/dpkg/status.d/libssl3") or b""
    image = yard.over(
        made,
        (Entry("var/lib/dpkg/status.d/.wh.libssl3", Kind.FILE), b""),
        (Entry("var/lib/dpkg/status.d/.wh.libssl3.md5sums", Kind.FILE), b""),
        (Entry("var/lib/dpkg/status.d/bGlic3NsMw==", Kind.FILE), record),
        (
            Entry("var/lib/dpkg/status.d/bGlic3NsMw==.md5sums", Kind.FILE),
            yard.root(made).read("var/lib/dpkg/status.d/libssl3.md5sums") or b"",
        ),
    )

    patched = yard.patch(image, {"libssl3": "1.0-2"})

    root = yard.root(patched)
    assert [package.name for package in yard.bill(yard.load(patched)).packages] == ["libc6", "libssl3"]
    assert "Version: 1.0-2\n" in text(root, "var/lib/dpkg/status.d/bGlic3NsMw==")
    assert hashlib.md5(b"2").hexdigest() in text(root, "var/lib/dpkg/status.d/bGlic3NsMw==.md5sums")
    assert root.get("var/lib/dpkg/status") is None
    # status.d names no links; one that leads to a file that goes, goes with it.
    assert root.get("usr/lib/libssl.so.3") is None
    assert root.get("usr/lib/libssl.so") is None
    assert patched.plan.notes == ("libssl3 needs debconf: missing before and after, as the image leaves it out",)


def test_a_distroless_configuration_file_counts_as_changed_by_the_layer_that_brought_it(
    yard: Any, distroless: Style, add_file: Add
) -> None:
    for name in ("one", "two"):
        yard.old(name, files={f"etc/{name}.conf": b"1"}, conffiles=[f"/etc/{name}.conf"])
        yard.new(name, files={f"etc/{name}.conf": b"2"}, conffiles=[f"/etc/{name}.conf"])
    root = yard.root(yard.patch(yard.over(yard.image(style=distroless), add_file("etc/two.conf", b"ours"))))

    assert root.read("etc/one.conf") == b"2"
    assert root.read("etc/two.conf") == b"ours"
    assert root.read("etc/two.conf.dpkg-dist") == b"2"


# --- relations -------------------------------------------------------------------------------------


def test_a_new_dependency_comes_along(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.new("app", files={"usr/bin/app": b"2"}, depends="libnew (>= 1)")
    yard.new("libnew", files={"usr/lib/libnew.so": b"n"}, scripts={"postinst": "#!/bin/sh\nset -e\n"})
    patched = yard.patch(yard.image(), {"app": "1.0-2"})

    assert [(upgrade.new.name, upgrade.old is None) for upgrade in patched.plan.upgrades] == [
        ("app", False),
        ("libnew", True),
    ]
    root = yard.root(patched)
    assert root.read("usr/lib/libnew.so") == b"n"
    assert "#!/bin/sh" in text(root, "var/lib/dpkg/info/libnew.postinst")
    assert "Status: install ok installed" in text(root, STATUS).split("Package: libnew")[1]


def test_what_cannot_be_satisfied_is_named(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.new("app", files={"usr/bin/app": b"2"}, depends="libmissing (>= 3)")
    image = yard.image()
    with pytest.raises(UnsatisfiableError, match=r"app needs libmissing \(>= 3\)"):
        yard.plan(image, {"app": "1.0-2"})


def test_a_plan_without_sight_of_the_image_is_checked_when_it_is_carried_out(yard: Any) -> None:
    yard.old("lib", files={"usr/lib/lib": b"1"})
    yard.old("tool", files={"usr/bin/tool": b"1"}, depends="lib (= 1.0-1)")
    yard.new("lib", files={"usr/lib/lib": b"2"})
    image = yard.image()
    yard.olds.pop()
    yard.builder.publish("bookworm", yard.olds)
    plan = yard.plan(image, {"lib": "1.0-2"}, blobs=None)

    with pytest.raises(UnsatisfiableError, match="tool needs lib"):
        patch(image, plan, yard.archive(), yard.blobs)


def test_a_plan_is_for_one_image(yard: Any, add_file: Add) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.new("app", files={"usr/bin/app": b"2"})
    image = yard.image()
    plan = yard.plan(image, {"app": "1.0-2"})
    with pytest.raises(ConflictError, match="the plan is for"):
        patch(yard.over(image, add_file("x", b"x")), plan, yard.archive(), yard.blobs)


# --- scripts ---------------------------------------------------------------------------------------

UNKNOWN = "#!/bin/sh\nset -e\nfrobnicate > /etc/frob.conf\n"


def test_an_unknown_script_is_refused_and_shown_and_nothing_is_kept(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.new("app", files={"usr/bin/app": b"2"}, scripts={"postinst": UNKNOWN})
    image = yard.image()
    before = set(yard.blobs.digests())

    with pytest.raises(UnknownScriptError, match=r"app\.postinst: frobnicate > /etc/frob\.conf") as caught:
        yard.patch(image)

    assert UNKNOWN in caught.value.mend
    assert set(yard.blobs.digests()) == before


def test_an_unknown_script_may_be_skipped_and_is_noted(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.new("app", files={"usr/bin/app": b"2"}, scripts={"postinst": UNKNOWN})
    patched = yard.patch(yard.image(), unknown_scripts="skip")

    assert patched.notes == ("app.postinst was not run: frobnicate > /etc/frob.conf",)
    assert patched.scripts[0].text == UNKNOWN


def test_obsolete_scripts_leave_the_database(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"}, scripts={"prerm": "#!/bin/sh\n", "postinst": "#!/bin/sh\n"})
    yard.new("app", files={"usr/bin/app": b"2"}, scripts={"postinst": "#!/bin/sh\nset -e\n"})
    root = yard.root(yard.patch(yard.image()))

    assert root.get("var/lib/dpkg/info/app.prerm") is None
    assert text(root, "var/lib/dpkg/info/app.postinst") == "#!/bin/sh\nset -e\n"
    node = root.get("var/lib/dpkg/info/app.postinst")
    assert node is not None
    assert node.entry.mode == 0o755


def test_a_trigger_that_an_installed_package_waits_for_is_looked_at(yard: Any) -> None:
    yard.old("fonts", files={"usr/share/fonts/a": b"a"})
    yard.old("cache", files={"usr/bin/cachefonts": Entry("", Kind.SYMLINK, link="x")}, triggers="interest /usr/share/fonts\n",
             scripts={"postinst": '#!/bin/sh\nif [ "$1" = triggered ]; then cp /a /b; fi\n'})  # fmt: skip
    yard.new("fonts", files={"usr/share/fonts/a": b"b"})
    image = yard.image()
    with pytest.raises(UnknownScriptError, match=r"cache\.postinst: cp /a /b"):
        yard.patch(image, {"fonts": "1.0-2"})


# --- broken input ----------------------------------------------------------------------------------


def test_a_package_that_is_not_what_the_index_says_is_refused(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.new("app", files={"usr/bin/app": b"2"})
    image = yard.image()
    built = yard.news[0]
    yard.news[0] = replace(built, fields={**built.fields, "Version": "1.0-3"})

    with pytest.raises(MalformedError, match=r"promises app 1\.0-3"):
        yard.patch(image)


def test_a_damaged_layer_is_refused(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    yard.new("app", files={"usr/bin/app": b"2"})
    image = yard.image()
    plan = yard.plan(image, {"app": "1.0-2"})
    layer = image.manifest.layers[0]
    path = yard.blobs.path(layer.digest)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)

    with pytest.raises(Exception, match=str(layer.digest.short)):
        patch(image, plan, yard.archive(), yard.blobs)


def test_an_image_without_packages_has_no_plan(yard: Any) -> None:
    yard.old("app", files={"usr/bin/app": b"1"})
    image = yard.image("app")
    bill = replace(yard.bill(image), packages=())
    plan = plan_patch(image, bill, yard.scan(image, {"app": "1.0-2"}), yard.archive())

    assert plan.upgrades == ()
    assert plan.unfixable == ("CVE-2026-1000",)
    assert plan.image == Digest.of(image.manifest.raw)
