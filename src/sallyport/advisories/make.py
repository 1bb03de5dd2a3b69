"""A line of the configuration -> the advisory source that it names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sallyport import plugins
from sallyport.advisories.interface import AdvisorySource, Means, SourceMaker
from sallyport.engine import Executor, Http, Inline, Progress, Silent

if TYPE_CHECKING:
    from sallyport.archives import Archive

GROUP = "sallyport.advisories"


def make_source(
    kind: str,
    *,
    location: str = "",
    root: Path | None = None,
    archive: Archive | Sequence[Archive] = (),
    http: Http | None = None,
    cache: Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> AdvisorySource:
    """The source of this ``kind``; only its own file is imported.

    Raises:
        UsageError: no source is called so, or it lacks what it needs.
    """
    maker: SourceMaker = plugins.load(GROUP, kind)
    return maker(
        Means(
            location,
            Path() if root is None else root,
            tuple(archive) if isinstance(archive, Sequence) else (archive,),
            http,
            cache,
            executor or Inline(),
            progress or Silent(),
        )
    )
