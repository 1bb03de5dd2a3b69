"""A Git repository, through its objects: nothing is checked out, no hook runs, no program is started."""

from __future__ import annotations

import stat
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sallyport.errors import (
    ConflictError,
    LockedError,
    MalformedError,
    OversizeError,
    StorageError,
    UnsafePathError,
    UsageError,
)

if TYPE_CHECKING:
    from dulwich.objects import ObjectID, Tree
    from dulwich.repo import Repo

T = TypeVar("T")
FILE_LIMIT = 4 * 1024 * 1024  # bytes of one YAML file
ENTRY_LIMIT = 200_000  # files in the tree
DEPTH_LIMIT = 64  # folders in folders
_FSCK = "run 'git fsck' in the repository, or clone it anew"
AUTHOR = "sallyport <sallyport@localhost>"


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file of a commit."""

    path: str
    mode: int
    data: bytes


@contextmanager
def opened(path: Path) -> Iterator[Repo]:
    """The repository in ``path``.

    Raises:
        UsageError: there is none.
        StorageError: its files cannot be read or written.
        MalformedError: an object is damaged.
    """
    from dulwich.errors import ChecksumMismatch, FileFormatException, NotGitRepository, ObjectFormatException
    from dulwich.file import FileLocked
    from dulwich.repo import Repo

    try:
        with Repo(path) as repo:
            # The branch must not name what a power cut made forgotten.
            repo.object_store.fsync_object_files = True
            yield repo
    except NotGitRepository as error:
        raise UsageError(f"there is no Git repository at {path}", f"make one: git init --bare {path}") from error
    except FileLocked as error:
        raise LockedError(
            f"another program is writing to {path}", "wait until it has ended, then run the same command again"
        ) from error
    except (ObjectFormatException, FileFormatException, ChecksumMismatch) as error:
        raise MalformedError(
            f"the Git repository {path} is damaged: {error}", "run 'git fsck' in it, or clone it anew"
        ) from error
    except OSError as error:
        raise StorageError(
            f"cannot use the Git repository {path}: {error.strerror or error}",
            "check that this user may read and write it",
        ) from error


def branch_ref(branch: str) -> bytes:
    """The full name of a branch.

    Raises:
        UsageError: it cannot be a branch.
    """
    from dulwich.refs import Ref, check_ref_format

    name = f"refs/heads/{branch}".encode()
    if not branch or branch.startswith("-") or not check_ref_format(Ref(name)):
        raise UsageError(f"{branch[:80]!r} cannot be the name of a branch", "choose one like main")
    return name


def head_of(repo: Repo, branch: str) -> ObjectID:
    """The newest commit of a branch.

    Raises:
        UsageError: no such branch, or somebody works on it in this very folder.
    """
    from dulwich.refs import Ref

    name = Ref(branch_ref(branch))
    try:
        head = repo.refs[name]
    except KeyError as error:
        raise UsageError(f"{repo.path} has no branch {branch}", "name an existing branch") from error
    if not repo.bare and repo.refs.read_ref(Ref(b"HEAD")) == b"ref: " + name:
        # As with a push: the files that lie there would seem to undo the new commit.
        raise UsageError(
            f"the branch {branch} is checked out in {repo.path}",
            "use a bare repository (git clone --bare), or check out another branch there",
        )
    return head


def tree_of(repo: Repo, commit: ObjectID) -> Tree:
    """The root folder of a commit."""
    from dulwich.objects import Commit, Tree

    return _object(repo, _object(repo, commit, Commit, "the commit").tree, Tree, "its tree")


def read_files(repo: Repo, tree: Tree, *, wanted: tuple[str, ...]) -> Iterator[TreeFile]:
    """The regular files whose names end like one of ``wanted``, by path.

    Raises:
        UnsafePathError: a name, or a symbolic link, that leads out of the repository.
        OversizeError: a wanted file, or the whole tree, is larger than anything honest.
    """
    from dulwich.objects import Blob
    from dulwich.objects import Tree as TreeObject

    waiting: list[tuple[str, Tree]] = [("", tree)]
    count = 0
    while waiting:
        folder, current = waiting.pop()
        if folder.count("/") > DEPTH_LIMIT:
            raise OversizeError(f"{folder[:200]} lies deeper than {DEPTH_LIMIT} folders", "move it up")
        below: list[tuple[str, Tree]] = []
        for entry in current.iteritems():
            count += 1
            if count > ENTRY_LIMIT:
                raise OversizeError(f"the branch has over {ENTRY_LIMIT} files", "use a repository of its own")
            name, mode = entry.path.decode("utf-8", "surrogateescape"), entry.mode
            path = folder + name
            if name.lower() in {"", ".", "..", ".git"} or "/" in name:
                raise UnsafePathError(f"{path!r} is no honest file name", _FSCK)
            if stat.S_ISDIR(mode):
                child = _object(repo, entry.sha, TreeObject, path)
                below.append((f"{path}/", child))
            elif stat.S_ISLNK(mode):
                _check_link(path, _object(repo, entry.sha, Blob, path).data)
            elif stat.S_ISREG(mode) and name.endswith(wanted):
                blob = _object(repo, entry.sha, Blob, path)
                if blob.raw_length() > FILE_LIMIT:
                    raise OversizeError(
                        f"{path} has {blob.raw_length()} bytes; the limit is {FILE_LIMIT}", "split the file"
                    )
                yield TreeFile(path, mode, blob.data)
        waiting += reversed(below)


def _object(repo: Repo, name: Any, kind: type[T], what: str) -> T:
    """An object, proven by its name: Git's library reads a damaged one without a word."""
    from dulwich.objects import ShaFile

    try:
        found = repo.object_store[name]
    except (KeyError, zlib.error) as error:
        raise MalformedError(f"{what} ({name.decode()[:12]}) is missing or damaged", _FSCK) from error
    if not isinstance(found, kind) or not isinstance(found, ShaFile):
        raise MalformedError(f"{what} ({name.decode()[:12]}) is another kind of object", _FSCK)
    proven = ShaFile.from_raw_string(found.type_num, found.as_raw_string())
    if proven.get_id(repo.object_format) != name:
        raise MalformedError(f"{what} ({name.decode()[:12]}) has other bytes than its name says", _FSCK)
    return found


def _check_link(path: str, target: bytes) -> None:
    depth = path.count("/")
    parts = target.split(b"/")
    for part in parts:
        depth += {b"..": -1, b".": 0, b"": 0}.get(part, 1)
        if depth < 0 or target.startswith(b"/"):
            raise UnsafePathError(
                f"the symbolic link {path} leads out of the repository", "remove it, or let it name a file inside"
            )


def add_commit(
    repo: Repo,
    *,
    branch: str,
    parent: ObjectID | None,
    tree: Tree,
    files: Mapping[str, tuple[int, bytes]],
    message: str,
    author: str,
    at: datetime,
) -> str:
    """Put ``files`` (mode and bytes by path) over ``tree``, commit, and move the branch from ``parent``.

    The same inputs give the same commit. Returns its name.

    Raises:
        ConflictError: the branch does not name ``parent`` any more; it was left alone.
        UsageError: the author is not written as Git wants it.
    """
    from dulwich.object_store import commit_tree_changes
    from dulwich.objects import Blob as BlobObject
    from dulwich.objects import Commit
    from dulwich.refs import Ref

    name, _, address = author.partition(" <")
    if not name.strip() or not address.endswith(">") or any(sign in name + address[:-1] for sign in "<>\n\0"):
        raise UsageError(f"{author[:80]!r} is no author", "write it like Ada Lovelace <ada@site.example>")
    changes: list[tuple[bytes, int | None, ObjectID | None]] = []
    for path, (mode, data) in sorted(files.items()):
        blob = BlobObject.from_string(data)
        repo.object_store.add_object(blob)
        changes.append((path.encode("utf-8", "surrogateescape"), mode, blob.id))
    commit = Commit()
    commit.tree = commit_tree_changes(repo.object_store, tree, changes)
    commit.parents = [parent] if parent else []
    commit.author = commit.committer = author.encode()
    commit.author_time = commit.commit_time = int(at.timestamp())
    commit.author_timezone = commit.commit_timezone = 0
    commit.encoding = b"UTF-8"
    commit.message = message.strip().encode() + b"\n"
    repo.object_store.add_object(commit)
    ref = Ref(branch_ref(branch))
    moved = repo.refs.set_if_equals(ref, parent, commit.id) if parent else repo.refs.add_if_new(ref, commit.id)
    if not moved:
        raise ConflictError(
            f"the branch {branch} of {repo.path} was moved meanwhile",
            "run the same command again, it starts from there",
        )
    return commit.id.decode()


def init_repository(
    path: Path,
    files: Mapping[str, bytes],
    *,
    branch: str = "main",
    message: str = "Found the repository",
    author: str = AUTHOR,
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC),
) -> str:
    """Make a bare repository with one commit of ``files``; returns the commit's name.

    Raises:
        UsageError: the folder is there and not empty.
    """
    from dulwich.objects import Tree as TreeObject
    from dulwich.repo import Repo

    branch_ref(branch)
    if path.exists() and any(path.iterdir()):
        raise UsageError(f"{path} is not empty", "choose another folder for the repository")
    try:
        path.mkdir(parents=True, exist_ok=True)
        Repo.init_bare(path, default_branch=branch.encode()).close()
    except OSError as error:
        raise StorageError(f"cannot make {path}: {error.strerror or error}", "check the folder above it") from error
    with opened(path) as repo:
        tree = {name: (stat.S_IFREG | 0o644, data) for name, data in files.items()}
        return add_commit(
            repo, branch=branch, parent=None, tree=TreeObject(), files=tree, message=message, author=author, at=now
        )


def init_demo_repository(path: Path, files: Mapping[str, bytes]) -> str:
    """The demonstration's repository: always the same commit for the same files."""
    return init_repository(path, files, message="Deploy the demonstration")
