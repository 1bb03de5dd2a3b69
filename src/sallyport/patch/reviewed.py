"""Commands of maintainer scripts that a person read, with why they need nothing when an image is patched.

The key is the package and the command itself, as the script writes it, not the package alone: a new version
that does something else is unknown again. Add an entry only after reading the whole script, and say in the
reason what the command is for, so that the next reader can check it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sallyport.patch.model import Handling


@dataclass(frozen=True, slots=True)
class Review:
    """What becomes of a command, and why."""

    handling: Handling
    reason: str


_EXAMPLE_PAGE = Review(
    Handling.SKIPPED,
    "an example page, made when the package is first installed where there is none; an image without it serves its own",
)
REVIEWED: Mapping[str, Mapping[str, Review]] = MappingProxyType(
    {
        "nginx-common": {
            "mkdir -p /var/www/html": _EXAMPLE_PAGE,
            "cp /usr/share/nginx/html/index.html /var/www/html/index.nginx-debian.html": _EXAMPLE_PAGE,
        },
    }
)
