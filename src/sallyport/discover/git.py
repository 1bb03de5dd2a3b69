"""The files of a branch of a Git repository, bare or not; nothing is checked out."""

from __future__ import annotations

import stat
import zlib
from pathlib import Path

from sallyport.discover.files import COUNT_LIMIT, FILE_LIMIT, FOLDER_LIMIT, TOTAL_LIMIT, MemoryFiles
from sallyport.errors import MalformedError, OversizeError, UsageError

_FSCK = "run 'git fsck' in the repository, or clone it anew"


def is_bare_repository(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir()


def read_branch(folder: Path, branch: str = "") -> MemoryFiles:
    """The regular files at the head of ``branch``; empty: of what HEAD names.

    Raises:
        UsageError: no repository, or no such branch.
        MalformedError: an object is missing or damaged.
        OversizeError: more than anything honest.
    """
    from dulwich.errors import ChecksumMismatch, FileFormatException, NotGitRepository, ObjectFormatException
    from dulwich.objects import Blob, Commit, Tree
    from dulwich.refs import Ref
    from dulwich.repo import Repo

    kept: dict[str, bytes] = {}
    left = TOTAL_LIMIT
    try:
        with Repo(folder) as repo:
            commit = repo.object_store[repo.refs[Ref(f"refs/heads/{branch}".encode() if branch else b"HEAD")]]
            if not isinstance(commit, Commit):
                raise MalformedError(f"the branch of {folder} names no commit", _FSCK)
            waiting = [("", commit.tree, 0)]
            while waiting:
                prefix, name, depth = waiting.pop()
                tree = repo.object_store[name]
                if not isinstance(tree, Tree):
                    raise MalformedError(f"{prefix or folder} is no folder", _FSCK)
                if depth > FOLDER_LIMIT:
                    raise OversizeError(f"{prefix[:200]} lies deeper than {FOLDER_LIMIT} folders", "move it up")
                for entry in tree.iteritems():
                    path = prefix + entry.path.decode("utf-8", "replace")
                    if stat.S_ISDIR(entry.mode):
                        waiting.append((f"{path}/", entry.sha, depth + 1))
                    elif stat.S_ISREG(entry.mode):
                        blob = repo.object_store[entry.sha]
                        if isinstance(blob, Blob) and blob.raw_length() <= FILE_LIMIT:
                            kept[path] = blob.data
                            left -= len(blob.data)
                    if left < 0 or len(kept) > COUNT_LIMIT:
                        raise OversizeError(f"the branch has over {COUNT_LIMIT} files or {TOTAL_LIMIT} bytes", _FSCK)
    except NotGitRepository as error:
        raise UsageError(f"there is no Git repository at {folder}", "name a folder, or a repository") from error
    except KeyError as error:
        what = f"branch {branch}" if branch else "commit yet"
        raise UsageError(
            f"{folder} has no {what}, or misses objects", "name another branch, or run git fsck"
        ) from error
    except (ObjectFormatException, FileFormatException, ChecksumMismatch, zlib.error, OSError, ValueError) as error:
        raise MalformedError(f"the Git repository {folder} is damaged: {error}", _FSCK) from error
    return MemoryFiles(kept)
