"""One protocol of package managers."""

from __future__ import annotations

from typing import Protocol

from sallyport.depot.model import Asked, Reply


class Shelf(Protocol):
    """Answers for one repository. The promise: nothing is handed over that was not checked whole. Thread-safe."""

    def get(self, asked: Asked) -> Reply:
        """What is at that path.

        Raises:
            RefusedError: not on the list of packages.
            NotFoundError: there is no such thing.
            SallyportError: upstream does not answer, or what it sends does not hold.
        """
        ...
