"""One side of the crossing, opened: its settings, store, keys, and the effects that its steps may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sallyport.config import NAME, Config, load_config
from sallyport.engine import Clock, Executor, Progress, Silent, SystemClock, Threads
from sallyport.errors import ConfigError, UsageError
from sallyport.sign import KeyFolder
from sallyport.store import Store, open_store


@dataclass(frozen=True, slots=True)
class Site:
    """Handed to every step of the pipeline."""

    config: Config
    root: Path  # the folder of sallyport.yaml; relative paths start here
    store: Store
    keys: KeyFolder
    clock: Clock
    progress: Progress
    executor: Executor

    def path(self, text: str) -> Path:
        """A path of the configuration file."""
        return self.root / Path(text).expanduser()

    def must_be(self, side: str, verb: str) -> None:
        """Raises UsageError unless this is the ``side`` that ``verb`` belongs to."""
        if self.config.side != side:
            raise UsageError(
                f"{verb} belongs to the {side}, and {self.root / NAME} says side: {self.config.side}",
                f"run it with the {side}'s configuration: --config FILE",
            )


@contextmanager
def open_site(
    path: Path, *, progress: Progress | None = None, clock: Clock | None = None, executor: Executor | None = None
) -> Iterator[Site]:
    """Read the configuration at ``path`` (a file, or a folder that holds ``sallyport.yaml``) and open its store.

    Raises:
        ConfigError: the file is missing or wrong.
        StorageError: the store cannot be opened.
    """
    file = path / NAME if path.is_dir() else path
    config = load_config(file)
    root = file.resolve().parent
    if not config.store:
        raise ConfigError(f"{file}: store is empty", "name a folder, for example: store: store")
    clock = clock or SystemClock()
    store = open_store(root / config.store, clock=clock)
    try:
        yield Site(
            config,
            root,
            store,
            KeyFolder(root / config.keys),
            clock,
            progress or Silent(),
            executor or Threads(4),
        )
    finally:
        store.state.close()
