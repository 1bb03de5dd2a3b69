"""What the gateway asks of whoever fetches, scans and judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sallyport.gateway.model import Admitted, Rejected, Wanted
from sallyport.oci import Descriptor


class Admit(Protocol):
    """Fetches, scans, patches, judges, holds. Any thread may ask."""

    def admit(self, wanted: Wanted, beside: Sequence[Descriptor]) -> Admitted | Rejected:
        """Fetch what is wanted and judge it; scan what stands ``beside`` it again, as that is served still.

        Raises NotFoundError, UnreachableError: upstream does not have it, or does not answer.
        """
        ...

    def standing(self, repository: str, descriptor: Descriptor) -> tuple[str, ...]:
        """Why what was admitted must not be served now; empty where it may. Asks nobody but the store."""
        ...
