"""Commits as Git itself sees them: the program ``git`` is the peer here."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sallyport.errors import (
    ConflictError,
    MalformedError,
    OversizeError,
    StorageError,
    UnsafePathError,
    UsageError,
)
from sallyport.gitops import Pinned, PinTo, init_demo_repository, init_repository, pin
from sallyport.oci import Digest, Reference

NOW = datetime(2026, 7, 11, 9, 30, tzinfo=UTC)
AUTHOR = "Ada Lovelace <ada@site.example>"
POD = b"# the web server\nkind: Pod\nspec:\n  containers:\n  - {name: web, image: 'debian:12'}  # ours\n"
FILES = {
    "README.md": b"image: debian:12\n",
    "apps/web/pod.yaml": POD,
    "apps/web/other.yml": b"kind: ConfigMap\ndata: {image: not ours}\n",
    "apps/kustomization.yaml": b"images:\n- name: debian\n",
}


def web(content: str) -> dict[str, PinTo]:
    reference = Reference("harbor.example", "web", "12-20260711.1", Digest.of(content.encode()))
    return {"debian": PinTo(reference), "harbor.example/web": PinTo(reference)}


def git(repository: Path, *words: str) -> str:
    home = {"HOME": str(repository.parent), "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    ran = subprocess.run(["git", *words], cwd=repository, capture_output=True, text=True, check=True, env=home)
    return ran.stdout


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    repository = tmp_path / "fleet.git"
    init_demo_repository(repository, FILES)
    return repository


def pin_web(repository: Path, content: str = "web", **options: Any) -> Pinned | None:
    return pin(repository, pins=web(content), message="Pin web", author=AUTHOR, now=NOW, **options)


def test_git_finds_nothing_wrong_with_what_we_wrote(fleet: Path) -> None:
    pinned = pin_web(fleet)

    assert pinned is not None
    assert pinned.files == ("apps/kustomization.yaml", "apps/web/pod.yaml")
    assert git(fleet, "fsck", "--full", "--strict") == ""
    assert git(fleet, "rev-parse", "main").strip() == pinned.commit
    assert (
        git(fleet, "log", "--format=%an <%ae>|%cn|%aI|%s", "-1").strip()
        == f"{AUTHOR}|Ada Lovelace|2026-07-11T09:30:00+00:00|Pin web"
    )
    assert git(fleet, "show", "--format=", "--name-only", "main").split() == list(pinned.files)
    expected = POD.decode().replace("debian:12", f"harbor.example/web:12-20260711.1@{Digest.of(b'web')}")
    assert git(fleet, "show", "main:apps/web/pod.yaml") == expected
    assert git(fleet, "show", "main:README.md") == "image: debian:12\n"
    assert git(fleet, "log", "--format=%s").splitlines() == ["Pin web", "Deploy the demonstration"]


def test_nothing_to_change_is_no_commit(fleet: Path) -> None:
    pin_web(fleet)
    before = git(fleet, "rev-parse", "main")

    assert pin_web(fleet) is None
    assert pin(fleet, pins={}, message="x", author=AUTHOR, now=NOW) is None
    assert git(fleet, "rev-parse", "main") == before


def test_a_newer_digest_is_a_further_commit(fleet: Path) -> None:
    first = pin_web(fleet, "monday")
    second = pin_web(fleet, "tuesday")
    assert first is not None
    assert second is not None
    assert git(fleet, "rev-parse", "main^").strip() == first.commit
    assert git(fleet, "diff", "--numstat", "main^", "main").split() == [
        *("1", "1", "apps/kustomization.yaml"),
        *("1", "1", "apps/web/pod.yaml"),
    ]
    assert second.changes[0].before.endswith(str(Digest.of(b"monday")))


def test_the_same_inputs_give_the_same_commit(tmp_path: Path) -> None:
    commits = []
    for name in ("one.git", "two.git"):
        init_demo_repository(tmp_path / name, FILES)
        pinned = pin_web(tmp_path / name)
        assert pinned is not None
        commits.append(pinned.commit)
    assert commits[0] == commits[1]


def test_executable_bits_and_folders_beside_stay(tmp_path: Path, fleet: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(fleet), str(clone))
    (clone / "run.yaml").write_text("#!/usr/bin/env tool\nimage: debian\n")
    (clone / "run.yaml").chmod(0o755)
    commit_all(clone, "Add a script")
    git(clone, "push", "-q", "origin", "main")

    pin_web(fleet)

    listing = git(fleet, "ls-tree", "-r", "main")
    assert "100755 blob" in next(line for line in listing.splitlines() if line.endswith("run.yaml"))
    assert len(listing.splitlines()) == len(FILES) + 1


def commit_all(work: Path, message: str) -> None:
    git(work, "add", "-A")
    git(work, "-c", "user.name=x", "-c", "user.email=x@site.example", "commit", "-q", "-m", message)


def test_a_branch_that_moves_meanwhile_is_left_alone(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody pushes between our reading and our writing."""
    from sallyport.gitops import rewrite as real

    theirs: list[str] = []

    def slow(text: str, pins: Any, *, what: str) -> Any:
        if not theirs:
            tree = git(fleet, "rev-parse", "main^{tree}").strip()
            words = ("-c", "user.name=x", "-c", "user.email=x@site.example")
            theirs.append(git(fleet, *words, "commit-tree", "-p", "main", "-m", "theirs", tree).strip())
            git(fleet, "update-ref", "refs/heads/main", theirs[0])
        return real(text, pins, what=what)

    monkeypatch.setattr(sys.modules["sallyport.gitops.pin"], "rewrite", slow)
    with pytest.raises(ConflictError, match="was moved meanwhile"):
        pin_web(fleet)
    assert git(fleet, "rev-parse", "main").strip() == theirs[0]
    assert pin_web(fleet) is not None
    assert git(fleet, "log", "--format=%s").splitlines()[:2] == ["Pin web", "theirs"]


def test_of_many_at_once_each_wins_or_says_so(fleet: Path) -> None:
    outcomes: list[object] = []

    def one(number: int) -> None:
        try:
            outcomes.append(pin_web(fleet, str(number)))
        except (ConflictError, StorageError) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    won = [outcome for outcome in outcomes if isinstance(outcome, Pinned)]
    assert won
    assert len(outcomes) == 6
    assert len(git(fleet, "log", "--format=%s").splitlines()) == 1 + len(won)
    assert git(fleet, "fsck", "--strict", "--no-dangling") == ""  # who lost left a commit that nothing names


def test_packed_repositories_and_other_branches(fleet: Path) -> None:
    git(fleet, "branch", "ship-7", "main")
    git(fleet, "gc", "-q")
    pinned = pin_web(fleet, branch="ship-7")
    assert pinned is not None
    assert git(fleet, "rev-parse", "ship-7").strip() == pinned.commit
    assert git(fleet, "rev-parse", "main").strip() != pinned.commit


def test_a_checked_out_branch_is_refused_and_another_is_not(tmp_path: Path, fleet: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(fleet), str(clone))
    with pytest.raises(UsageError, match="is checked out"):
        pin_web(clone)
    git(clone, "checkout", "-q", "-b", "elsewhere")
    assert pin_web(clone) is not None
    assert git(clone, "status", "--porcelain") == ""


def link(target: str) -> Callable[[Path], None]:
    def make(work: Path) -> None:
        (work / "apps" / "link.yaml").symlink_to(target)

    return make


def large(work: Path) -> None:
    (work / "large.yaml").write_bytes(b"# " + b"x" * (5 * 1024 * 1024))


@pytest.mark.parametrize(
    ("harm", "refused"),
    [
        (link("/etc/passwd"), UnsafePathError),
        (link("../../outside.yaml"), UnsafePathError),
        (link("web/../../../outside"), UnsafePathError),
        (large, OversizeError),
    ],
)
def test_a_branch_with_harm_in_it_is_refused(
    tmp_path: Path, fleet: Path, harm: Callable[[Path], None], refused: type[Exception]
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(fleet), str(clone))
    harm(clone)
    commit_all(clone, "harm")
    git(clone, "push", "-q", "origin", "main")
    before = git(fleet, "rev-parse", "main")
    with pytest.raises(refused):
        pin_web(fleet)
    assert git(fleet, "rev-parse", "main") == before


def test_a_link_inside_and_odd_names_are_fine(tmp_path: Path, fleet: Path) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(fleet), str(clone))
    (clone / "apps" / "link.yaml").symlink_to("../apps/web/pod.yaml")
    (clone / "Ünïcode – name.yaml").write_text("image: debian\n")
    (clone / "latin.yaml").write_bytes("image: debiän\n".encode("latin-1"))
    commit_all(clone, "odd")
    git(clone, "push", "-q", "origin", "main")
    pinned = pin_web(fleet)
    assert pinned is not None
    assert "Ünïcode – name.yaml" in pinned.files
    assert git(fleet, "fsck", "--strict") == ""


@pytest.mark.parametrize("author", ["", "Ada", "Ada <ada", "<ada@site.example>", "A\nB <x@y>", "A <x> <y>"])
def test_an_author_git_would_not_understand_is_refused(fleet: Path, author: str) -> None:
    with pytest.raises(UsageError, match="is no author"):
        pin(fleet, pins=web("web"), message="x", author=author, now=NOW)


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "x.lock", "none"])
def test_a_branch_that_is_none_is_refused(fleet: Path, branch: str) -> None:
    with pytest.raises(UsageError):
        pin_web(fleet, branch=branch)


def test_a_folder_without_a_repository_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Git repository"):
        pin_web(tmp_path / "nowhere.git")


def test_a_new_repository_never_covers_an_old_folder(fleet: Path) -> None:
    with pytest.raises(UsageError, match="not empty"):
        init_repository(fleet, FILES)


def test_a_lock_somebody_forgot_is_named(fleet: Path) -> None:
    (fleet / "refs" / "heads" / "main.lock").write_text("")
    with pytest.raises(StorageError, match="another program"):
        pin_web(fleet)


@pytest.mark.parametrize("name", [b"..", b".git", b".GIT", b"."])
def test_a_tree_that_git_would_never_write_is_refused(fleet: Path, name: bytes) -> None:
    """Somebody with a pen of his own for Git's objects."""
    from dulwich.objects import Blob, Commit, Tree
    from dulwich.refs import Ref
    from dulwich.repo import Repo

    with Repo(fleet) as repo:
        blob = Blob.from_string(b"image: debian\n")
        inner, outer = Tree(), Tree()
        inner.add(b"x.yaml", 0o100644, blob.id)
        outer.add(name, 0o040000, inner.id)
        commit = Commit()
        commit.tree, commit.message = outer.id, b"harm"
        commit.author = commit.committer = AUTHOR.encode()
        commit.author_time = commit.commit_time = commit.author_timezone = commit.commit_timezone = 0
        for item in (blob, inner, outer, commit):
            repo.object_store.add_object(item)
        repo.refs[Ref(b"refs/heads/main")] = commit.id
    with pytest.raises(UnsafePathError, match="no honest file name"):
        pin_web(fleet)


def test_folders_without_end_are_refused(tmp_path: Path) -> None:
    init_repository(tmp_path / "deep.git", {"/".join(["d"] * 100) + "/x.yaml": b"image: debian\n"})
    with pytest.raises(OversizeError, match="deeper than"):
        pin_web(tmp_path / "deep.git")


def test_a_damaged_object_is_named_and_nothing_moves(fleet: Path) -> None:
    commit = git(fleet, "rev-parse", "main").strip()
    blob = git(fleet, "rev-parse", "main:apps/web/pod.yaml").strip()
    path = fleet / "objects" / blob[:2] / blob[2:]
    path.chmod(0o644)
    other = POD + b"  - {name: miner, image: other.example/miner}\n"
    for harm in (b"rubbish", b"", zlib.compress(b"blob %d\0" % len(other) + other)):
        path.write_bytes(harm)
        with pytest.raises(MalformedError, match=r"apps/web/pod\.yaml|is damaged"):
            pin_web(fleet)
    assert git(fleet, "rev-parse", "main").strip() == commit


def test_a_missing_object_is_named(fleet: Path) -> None:
    blob = git(fleet, "rev-parse", "main:apps/web/pod.yaml").strip()
    (fleet / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(MalformedError):
        pin_web(fleet)


def test_a_repository_of_sha256_objects_is_refused_or_served(tmp_path: Path) -> None:
    """Git can make them; whichever it is, it must not end in a defect."""
    repository = tmp_path / "new.git"
    repository.mkdir()
    git(repository, "init", "-q", "--bare", "--object-format=sha256", "-b", "main")
    with pytest.raises((UsageError, MalformedError)):
        pin_web(repository)
