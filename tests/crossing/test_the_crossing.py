"""The whole crossing, as stories."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sallyport import pipeline
from sallyport.bundle import ReplayedBundleError
from sallyport.errors import DamagedError, UntrustedError
from sallyport.gate import Passed, Refused, Undecided
from sallyport.ledger import Candidate, Ledger
from sallyport.match import Scan
from sallyport.oci import Digest, load_images
from sallyport.store import collect_garbage, verify_store

REGISTRY = "registry.ship.example"


def scans_of(scene: Any, side: str, digest: Digest) -> list[Scan]:
    with scene.site(side) as site:
        descriptor = site.store.state.held_everywhere(digest)[0].descriptor
        found = [Ledger(site.store.state).scan(i.descriptor.digest) for i in load_images(site.store.blobs, descriptor)]
    return [scan for scan in found if scan is not None]


def vulnerabilities(scene: Any, side: str, digest: Digest) -> set[str]:
    return {identifier for scan in scans_of(scene, side, digest) for identifier in scan.vulnerabilities}


@pytest.fixture
def outdated(scene: Any) -> Any:
    """Two images with an outdated openssl, whose fix has two CVEs in its changelog."""
    scene.publish("web", openssl="3.0.11-1", curl="7.88-1")
    scene.publish("api", openssl="3.0.11-1")
    scene.fix("openssl", "3.0.15-1", closes=["CVE-2026-1111", "CVE-2026-2222"])
    return scene


def test_an_outdated_image_arrives_inside_patched_signed_and_pinned(outdated: Any) -> None:
    sent = outdated.run_outside()
    arrived = outdated.run_inside()

    assert not sent.refused
    assert not arrived.refused
    with outdated.site("outside") as outside:
        candidates = Ledger(outside.store.state).candidates()
        releases = Ledger(outside.store.state).releases()
    assert {c.upstream.name for c in candidates} == {"library/web:12", "library/api:12"}
    for candidate in candidates:
        before = vulnerabilities(outdated, "outside", candidate.upstream.descriptor.digest)
        assert before == {"CVE-2026-1111", "CVE-2026-2222"}
        assert vulnerabilities(outdated, "outside", candidate.descriptor.digest) == set()
        scans = scans_of(outdated, "inside", candidate.descriptor.digest)
        assert {scan.side for scan in scans} == {"inside"}
        assert len(scans) == 2
    with outdated.site("inside") as inside:
        for released in releases:
            tag = inside.store.state.tag(released.repository, released.tag)
            assert tag is not None
            assert tag.immutable
            assert re.fullmatch(r"12-20260720\.1", tag.name)
            stable = inside.store.state.tag(released.repository, "stable")
            assert stable is not None
            assert stable.descriptor.digest == tag.descriptor.digest == released.descriptor.digest
        assert verify_store(inside.store) == ()
        assert inside.store.state.verify_journal() > 0
    shown = git(outdated.root / "fleet.git", "show", "main:web.yaml")
    assert re.search(r"image: registry\.ship\.example/library/web:12-20260720\.1@sha256:[0-9a-f]{64} # pinned", shown)
    report = (outdated.root / "inside" / "audit.html").read_text()
    assert "12-20260720.1" in report


def test_a_second_run_finds_nothing_and_carries_nothing(outdated: Any) -> None:
    outdated.run_outside()
    outdated.run_inside()
    commits = git(outdated.root / "fleet.git", "rev-list", "--count", "main")
    outdated.tomorrow()

    again = outdated.run_outside()
    assert again.carried == 0
    assert len(outdated.bundles()) == 1
    assert outdated.run_inside().carried == 0
    assert git(outdated.root / "fleet.git", "rev-list", "--count", "main") == commits


def test_only_what_changed_is_carried_once_a_receipt_came_back(outdated: Any) -> None:
    first = outdated.run_outside()
    outdated.run_inside()
    outdated.tomorrow()
    outdated.fix("openssl", "3.0.16-1", closes=["CVE-2026-3333"])

    second = outdated.run_outside()
    assert 0 < second.carried < first.carried
    assert not outdated.run_inside().refused
    with outdated.site("inside") as inside:
        assert inside.store.state.tag("library/web", "12-20260721.1") is not None
        assert verify_store(inside.store) == ()


def test_a_lost_bundle_costs_bytes_and_never_correctness(outdated: Any) -> None:
    outdated.run_outside()
    outdated.lose_bundles()
    outdated.tomorrow()

    again = outdated.run_outside()
    assert again.carried > 0
    assert not outdated.run_inside().refused
    with outdated.site("inside") as inside:
        assert verify_store(inside.store) == ()
        assert inside.store.state.tag("library/web", "stable") is not None


def test_a_bundle_that_builds_on_a_lost_one_says_what_is_lacking(outdated: Any) -> None:
    outdated.run_outside()
    outdated.run_inside()
    outdated.tomorrow()
    outdated.fix("openssl", "3.0.16-1", closes=["CVE-2026-3333"])
    outdated.run_outside()
    with outdated.site("inside") as inside:
        # A disk was restored from before the first crossing.
        for digest in list(inside.store.blobs.digests()):
            inside.store.blobs.delete(digest)

        with pytest.raises(DamagedError, match="builds on") as caught:
            pipeline.receive(inside)
    assert "receipt" in caught.value.mend


def test_a_replayed_bundle_is_refused_and_named(outdated: Any) -> None:
    outdated.run_outside()
    outdated.run_inside()
    monday = outdated.bundles()[0]
    outdated.tomorrow()
    outdated.fix("openssl", "3.0.16-1", closes=["CVE-2026-3333"])
    outdated.run_outside()
    outdated.run_inside()

    with outdated.site("inside") as inside, pytest.raises(ReplayedBundleError, match=monday.name):
        pipeline.receive(inside, monday)


def test_a_flipped_bit_on_the_medium_is_refused_and_the_file_is_named(outdated: Any) -> None:
    outdated.run_outside()
    outdated.configure()
    with outdated.site("inside") as inside:
        before = state_of(inside.store.root)
        for path in sorted(p for p in outdated.bundles()[0].rglob("*") if p.is_file()):
            whole = path.read_bytes()
            broken = bytearray(whole)
            broken[len(broken) // 2] ^= 0x20
            path.write_bytes(broken)
            with pytest.raises((DamagedError, UntrustedError)) as caught:
                pipeline.receive(inside)
            assert path.name in caught.value.message, path
            path.write_bytes(whole)
        assert verify_store(inside.store) == ()
        assert state_of(inside.store.root) == before
    assert not outdated.run_inside().refused


def test_the_inside_judges_by_its_own_policy(outdated: Any) -> None:
    outdated.run_outside()
    outdated.edit("inside", "  max-age: 30d", "  max-age: 1h")

    arrived = outdated.run_inside()
    assert len(arrived.refused) == 2
    with outdated.site("inside") as inside:
        assert inside.store.state.repositories() == [] or not inside.store.state.tags("library/web")


def test_an_empty_policy_lets_nothing_out(outdated: Any) -> None:
    outdated.configure()
    text = (outdated.root / "outside" / "sallyport.yaml").read_text()
    head, _, rest = text.partition("policy:\n")
    _, _, tail = rest.partition("# Where vulnerabilities come from.")
    (outdated.root / "outside" / "sallyport.yaml").write_text(f"{head}policy: {{}}\n{tail}")
    with outdated.site("outside") as site:
        sent = pipeline.run_outside(site)
    assert len(sent.refused) == 2
    assert sent.carried == 0


def test_what_cannot_be_patched_is_refused_with_the_reason_and_holds_up_nobody(scene: Any) -> None:
    scene.publish("web", openssl="3.0.11-1")
    scene.publish("api", curl="7.88-1")
    scene.fix("openssl", "3.0.15-1", closes=["CVE-2026-1111"], depends="libnowhere (>= 9)")

    sent = scene.run_outside()
    (reason,) = sent.refused
    assert reason.startswith("library/web:12")
    assert "CVE-2026-1111" in reason
    assert "libnowhere" in reason
    scene.run_inside()
    with scene.site("inside") as inside:
        assert inside.store.state.repositories() == ["library/api"]


def test_a_verdict_says_why(outdated: Any) -> None:
    outdated.configure()
    with outdated.site("outside") as site:
        pipeline.mirror(site)
        pipeline.scan(site)
        for upstream in Ledger(site.store.state).upstreams():
            # As it came, without the patch.
            Ledger(site.store.state).put_candidate(Candidate(upstream, upstream.descriptor, ()))
        judged = pipeline.gate(site)
        assert pipeline.release(site) == ()
    for one in judged:
        assert isinstance(one.verdict, Refused)
        assert any("CVE-2026-1111" in reason and "openssl" in reason for reason in one.verdict.because)


def test_an_image_that_was_not_scanned_is_undecided(outdated: Any) -> None:
    outdated.configure()
    with outdated.site("outside") as site:
        pipeline.mirror(site)
        for upstream in Ledger(site.store.state).upstreams():
            Ledger(site.store.state).put_candidate(Candidate(upstream, upstream.descriptor, ()))
        assert all(isinstance(one.verdict, Undecided) for one in pipeline.gate(site))
        assert pipeline.bundle(site).plan.empty


def test_the_same_patch_on_another_day_has_the_same_digest(outdated: Any, tmp_path: Path) -> None:
    outdated.run_outside()
    with outdated.site("outside") as site:
        first = {c.upstream.name: c.descriptor.digest for c in Ledger(site.store.state).candidates()}
    # Another outside, with nothing but the same upstream and archive, three days later.
    shutil.rmtree(outdated.root / "outside" / "store")
    shutil.rmtree(outdated.root / "outside" / "cache")
    for _ in range(3):
        outdated.tomorrow()
    outdated.configure()
    with outdated.site("outside") as site:
        pipeline.mirror(site)
        pipeline.scan(site)
        second = {c.upstream.name: c.descriptor.digest for c in pipeline.patch(site)}
    assert second == first


def test_a_waiver_lets_a_finding_pass_and_is_named(scene: Any) -> None:
    scene.publish("web", openssl="3.0.11-1")
    scene.fix("openssl", "3.0.15-1", closes=["CVE-2026-1111"])
    scene.configure()
    scene.edit(
        "outside",
        "  fixable: 0 ",
        "  waivers: [{id: CVE-2026-1111, owner: jane@ship.example, reason: not compiled in, expires: 2026-12-31}]\n  fixable: 0 ",
    )
    with scene.site("outside") as site:
        pipeline.mirror(site)
        pipeline.scan(site)
        for upstream in Ledger(site.store.state).upstreams():
            Ledger(site.store.state).put_candidate(Candidate(upstream, upstream.descriptor, ()))
        (judged,) = pipeline.gate(site)
    assert isinstance(judged.verdict, Passed)
    assert any("jane@ship.example" in reason for reason in judged.verdict.because)


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "--git-dir", str(repository), *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def state_of(root: Path) -> set[str]:
    """What the store holds for good."""
    return {str(path.relative_to(root)) for path in (root / "blobs").rglob("*") if path.is_file()}


def test_a_repository_that_follows_several_tags_has_a_channel_for_each(outdated: Any) -> None:
    index = outdated.upstream.state.tag("web", "12")
    slim = outdated.publish("slim", openssl="3.0.11-1")
    for descriptor in outdated.upstream.state.manifests("slim"):
        outdated.upstream.state.hold("web", descriptor.descriptor)
    outdated.upstream.state.set_tag("web", "12-slim", slim)
    outdated.images.remove("slim")
    assert index is not None
    outdated.configure()
    text = (outdated.root / "outside" / "sallyport.yaml").read_text()
    (outdated.root / "outside" / "sallyport.yaml").write_text(
        text.replace("/web\n      tags: ['12']", "/web\n      tags: ['12', '12-slim']")
    )
    with outdated.site("outside") as site:
        assert not pipeline.run_outside(site).refused
    add_file(
        outdated.root / "fleet.git",
        "two.yaml",
        f"a: {{image: '{REGISTRY}/library/web:12'}}\nb: {{image: '{REGISTRY}/library/web:12-slim-20260101.7'}}\n",
    )
    for _ in range(2):
        outdated.run_inside()
        with outdated.site("inside") as inside:
            tags = {tag.name: tag.descriptor.digest for tag in inside.store.state.tags("library/web")}
        assert tags["12-stable"] == tags["12-20260720.1"]
        assert tags["12-slim-stable"] == tags["12-slim-20260720.1"]
        assert tags["12-stable"] != tags["12-slim-stable"]
        assert "stable" not in tags
        shown = git(outdated.root / "fleet.git", "show", "main:two.yaml").splitlines()
        assert f"library/web:12-20260720.1@{tags['12-stable']}" in shown[0]
        assert f"library/web:12-slim-20260720.1@{tags['12-slim-stable']}" in shown[1]


def test_what_nobody_selects_any_more_is_no_candidate(outdated: Any) -> None:
    outdated.run_outside()
    outdated.images.remove("api")
    outdated.tomorrow()
    outdated.fix("openssl", "3.0.16-1", closes=["CVE-2026-3333"])
    outdated.run_outside()
    with outdated.site("outside") as site:
        ledger = Ledger(site.store.state)
        assert [upstream.name for upstream in ledger.upstreams()] == ["library/web:12"]
        assert [candidate.upstream.name for candidate in ledger.candidates()] == ["library/web:12"]
        assert {released.tag for released in ledger.releases() if released.repository == "library/api"} == {
            "12-20260720.1"
        }


def test_a_receipt_that_cannot_be_written_does_not_undo_the_import(outdated: Any) -> None:
    outdated.run_outside()
    (outdated.usb / "receipts").write_text("a file where a folder should be")
    with outdated.site("inside") as inside:
        (received,) = pipeline.receive(inside)
        assert all(outcome.imported for outcome in received.outcomes)
        assert any("receipt" in note for note in received.notes)
        assert pipeline.receive(inside) == ()


def add_file(repository: Path, name: str, text: str) -> None:
    def run(*arguments: str, stdin: str = "") -> str:
        return subprocess.run(
            ["git", "--git-dir", str(repository), *arguments], input=stdin, check=True, capture_output=True, text=True
        ).stdout.strip()

    blob = run("hash-object", "-w", "--stdin", stdin=text)
    tree = run("mktree", stdin=run("ls-tree", "main") + f"\n100644 blob {blob}\t{name}\n")
    identity = ("-c", "user.name=t", "-c", "user.email=t@ship.example")
    run("update-ref", "refs/heads/main", run(*identity, "commit-tree", tree, "-p", "main", "-m", "add"))


def test_what_was_released_is_taken_back_when_it_would_not_pass_today(outdated: Any) -> None:
    outdated.run_outside()
    outdated.lose_bundles()
    outdated.tomorrow()
    outdated.fix("openssl", "3.0.16-1", closes=["CVE-2026-3333"], depends="libnowhere (>= 9)")

    sent = outdated.run_outside()
    assert len(sent.refused) == 2
    assert sent.carried == 0
    assert outdated.bundles() == []


def test_a_bundle_that_waits_on_the_medium_is_not_written_twice(outdated: Any) -> None:
    assert outdated.run_outside().carried > 0
    outdated.tomorrow()
    assert outdated.run_outside().carried == 0
    assert len(outdated.bundles()) == 1


def test_a_damaged_bundle_does_not_hold_up_a_newer_whole_one(outdated: Any) -> None:
    outdated.run_outside()
    (monday,) = outdated.bundles()
    (monday / "index.json").write_bytes(b"{}")
    outdated.tomorrow()
    outdated.fix("openssl", "3.0.16-1", closes=["CVE-2026-3333"])
    outdated.run_outside()
    with outdated.site("inside") as inside:
        (received,) = pipeline.receive(inside)
    assert received.position.sequence == 2
    assert any("index.json" in note for note in received.notes)


def test_a_rollback_stands_until_the_newest_is_named_again(outdated: Any) -> None:
    outdated.run_outside()
    outdated.run_inside()
    outdated.tomorrow()
    outdated.fix("openssl", "3.0.16-1", closes=["CVE-2026-3333"])
    outdated.run_outside()
    outdated.run_inside()

    def stable() -> str:
        with outdated.site("inside") as inside:
            tag = inside.store.state.tag("library/web", "stable")
            assert tag is not None
            (named,) = [
                other.name
                for other in inside.store.state.tags("library/web")
                if other.immutable and other.descriptor.digest == tag.descriptor.digest
            ]
            return str(named)

    assert stable() == "12-20260721.1"
    with outdated.site("inside") as inside:
        pipeline.promote(inside, image="library/web:12-20260720.1")
    outdated.run_inside()
    assert stable() == "12-20260720.1"
    with outdated.site("inside") as inside:
        pipeline.promote(inside, image="library/web:12-20260721.1")
    outdated.run_inside()
    assert stable() == "12-20260721.1"


def test_an_image_of_another_release_is_not_upgraded_to_the_archives(outdated: Any) -> None:
    outdated.configure()
    outdated.edit("outside", "patch: fixes ", "patch: everything ")
    with outdated.site("outside") as site:
        pipeline.mirror(site)
        pipeline.scan(site)
        ledger = Ledger(site.store.state)
        for upstream in ledger.upstreams():
            for image in load_images(site.store.blobs, upstream.descriptor):
                bill = ledger.bill(image.descriptor.digest)
                assert bill is not None
                assert bill.distribution is not None
                ledger.put_bill(replace(bill, distribution=replace(bill.distribution, codename="buster")))
        candidates = pipeline.patch(site)
    assert all(not candidate.changed for candidate in candidates)
    assert all("buster" in candidate.problem for candidate in candidates)


def test_two_tags_of_one_image_are_both_released_and_signed(outdated: Any) -> None:
    tag = outdated.upstream.state.tag("web", "12")
    assert tag is not None
    outdated.upstream.state.set_tag("web", "12.7", tag.descriptor)
    outdated.configure()
    path = outdated.root / "outside" / "sallyport.yaml"
    path.write_text(path.read_text().replace("/web\n      tags: ['12']", "/web\n      tags: ['12', '12.7']"))
    with outdated.site("outside") as site:
        assert not pipeline.run_outside(site).refused
        names = {
            released.tag for released in Ledger(site.store.state).releases() if released.repository == "library/web"
        }
        assert names == {"12-20260720.1", "12.7-20260720.1"}
        collect_garbage(site.store, roots=Ledger(site.store.state).roots(), grace_s=0)
        assert pipeline.bundle(site, full=True).written is not None
    assert not outdated.run_inside().refused
    with outdated.site("inside") as inside:
        for name in names:
            assert inside.store.state.tag("library/web", name) is not None


def test_a_waiver_for_one_repository_lets_the_same_image_pass_in_no_other(scene: Any) -> None:
    index = scene.publish("web", openssl="3.0.11-1")
    scene.fix("openssl", "3.0.15-1", closes=["CVE-2026-1111"], depends="libnowhere (>= 9)")
    for held in scene.upstream.state.manifests("web"):
        scene.upstream.state.hold("api", held.descriptor)
    scene.upstream.state.set_tag("api", "12", index)
    scene.images = ["web", "api"]
    scene.configure()
    for waived, other in (("api", "web"), ("web", "api")):
        waiver = "{id: CVE-2026-1111, images: library/%s, owner: jane@ship.example, reason: none, expires: 2026-12-31}"
        scene.configure()
        scene.edit("outside", "  fixable: 0 ", f"  waivers: [{waiver % waived}]\n  fixable: 0 ")
        with scene.site("outside") as site:
            pipeline.mirror(site)
            pipeline.scan(site)
            pipeline.patch(site)
            verdicts = {one.candidate.upstream.repository: one.verdict for one in pipeline.gate(site)}
            assert isinstance(verdicts[f"library/{waived}"], Passed)
            assert isinstance(verdicts[f"library/{other}"], Refused)
            before = {outcome.released.repository for outcome in pipeline.release(site) if outcome.new}
            assert before == {f"library/{waived}"}
            # What the other waiver let out is not carried any more.
            assert {released.repository for released in pipeline.bundle(site, dry_run=True).plan.released} == before
