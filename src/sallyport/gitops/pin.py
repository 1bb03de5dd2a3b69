"""One commit that pins every image to its digest, or none where all are pinned already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sallyport.gitops.model import Change, Pinned, PinTo
from sallyport.gitops.repository import add_commit, head_of, opened, read_files, tree_of
from sallyport.gitops.rewrite import rewrite

WANTED = (".yaml", ".yml", "Kustomization")


def pin(
    repository: Path,
    *,
    branch: str = "main",
    pins: Mapping[str, PinTo],
    message: str,
    author: str,
    now: datetime,
) -> Pinned | None:
    """Rewrite the YAML files at the head of ``branch`` and commit; None when nothing changes.

    ``pins`` is by image name without tag, as the files or people write it.

    Raises:
        UsageError: no repository, no such branch, an author Git does not understand.
        MalformedError: a file that names one of the images is no YAML in UTF-8.
        UnsafePathError, OversizeError: see :func:`read_files`.
        ConflictError: the branch moved meanwhile; nothing was changed.
    """
    if not pins:
        return None
    with opened(repository) as repo:
        head = head_of(repo, branch)
        tree = tree_of(repo, head)
        files: dict[str, tuple[int, bytes]] = {}
        changes: list[Change] = []
        for file in read_files(repo, tree, wanted=WANTED):
            # Not strict: a file in another encoding that names none of our images is none of our business.
            text = file.data.decode("utf-8", "surrogateescape")
            new, found = rewrite(text, pins, what=file.path)
            if new != text:
                files[file.path] = (file.mode, new.encode("utf-8", "surrogateescape"))
                changes += found
        if not files:
            return None
        commit = add_commit(
            repo, branch=branch, parent=head, tree=tree, files=files, message=message, author=author, at=now
        )
        return Pinned(commit, tuple(files), tuple(changes))
