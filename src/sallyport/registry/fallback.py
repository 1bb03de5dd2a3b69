"""Keeps the list of referrers under its tag, where a registry has no API for it, and loses nobody's entry.

A registry writes a tag without looking at what it replaces, so two who read, add and write may undo each other.
Whoever wrote looks again, after longer than the other can have needed, and adds what was lost.

Source: OCI distribution-spec 1.1, "Referrers Tag Schema".
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from sallyport.errors import UnreachableError
from sallyport.oci import NO_ANNOTATIONS, Descriptor, Digest, Index, build_index

_TRIES = 24
_FAILURES = 6  # of the registry itself, one after the other
_LEAST_S = 0.05
_LONGEST_S = 5.0


def keep_referrer(
    read: Callable[[], Index | None],
    write: Callable[[Index], None],
    mine: Descriptor,
    *,
    what: str,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bring ``mine`` into the list that ``read`` gives and ``write`` replaces, and see that it stays.

    Whatever this call has seen in the list and does not find again it puts back, too.

    Raises:
        UnreachableError: others undid it again and again, or the registry fails.
    """
    seen: dict[Digest, Descriptor] = {}
    failures = 0
    for number in range(_TRIES):
        begun = time.monotonic()
        try:
            there = read()
            known = {item.digest: item for item in there.manifests} if there else {}
            seen = {**known, **{digest: item for digest, item in seen.items() if digest not in known}}
            missing = [item for digest, item in {mine.digest: mine, **seen}.items() if digest not in known]
            if not missing:
                return
            write(build_index((*known.values(), *missing), annotations=there.annotations if there else NO_ANNOTATIONS))
            seen[mine.digest] = mine
            failures = 0
        except UnreachableError:
            # Some registries fail for whoever asks for a tag while another writes it.
            failures += 1
            if failures == _FAILURES:
                raise
        # Somebody who read before we wrote writes within about the time that we needed ourselves.
        pause = 2 * max(_LEAST_S, time.monotonic() - begun) * random.uniform(1.0, 1.5 + number / 4)  # noqa: S311
        sleep(min(_LONGEST_S, pause))
    raise UnreachableError(
        f"{what}: others change the list of referrers all the time, and it did not stay written",
        "wait until nobody else attaches anything to that image, then run it again",
    )
