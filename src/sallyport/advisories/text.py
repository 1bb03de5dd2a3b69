"""Words of strangers, made fit to be kept, compared and shown."""

from __future__ import annotations

import re

from sallyport.advisories.model import EVIDENCE_LIMIT

# C0, C1, what turns a line of text around, and halves of a character that cannot be encoded:
# a terminal must not obey an advisory, and a file must be able to hold it.
_UNFIT = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
_CVE = re.compile(r"(?<![A-Za-z0-9])CVE-([0-9]{4})-([0-9]{4,19})(?![0-9])", re.IGNORECASE)
_NAME = re.compile(r"[!-~]{1,300}\Z")


def plain(text: str, limit: int = EVIDENCE_LIMIT) -> str:
    """At most ``limit`` characters without controls; line ends stay."""
    text = _UNFIT.sub(" ", text[: 2 * limit].replace("\r\n", "\n")).strip()
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def cves_in(text: str) -> tuple[str, ...]:
    """Each CVE identifier that ``text`` names, once, in the order in which they stand."""
    return tuple(dict.fromkeys(f"CVE-{year}-{number}" for year, number in _CVE.findall(text)))


def is_name(text: str) -> bool:
    """Whether it can be an identifier, a package's name or a version: printable ASCII without spaces."""
    return _NAME.match(text) is not None
