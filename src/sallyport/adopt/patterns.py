"""Other tools' selections of tags in our patterns; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sallyport.adopt.model import Adopted
from sallyport.oci import is_tag

_HYPHENS = re.compile(r"(\S+)\s+-\s+(\S+)")
_COMPARISON = re.compile(
    r"(?:>=|<=|>|<|=|\^|~)?v?(?:[xX*]|\d{1,9}(?:\.\d{1,9}){0,2}(?:(?:\.[xX*]){1,2}|-[0-9A-Za-z.-]+)?)\Z", re.ASCII
)
_LONGEST = 200  # signs of a pattern


def from_regex(text: str, line: int, adopted: Adopted, *, anchored: bool) -> str:
    """A regular expression as ``re:``, or as the tag that it is; empty where it cannot be.

    ``anchored``: it must fit the whole tag there, too.
    """
    plain = text.removeprefix("^").removesuffix("$").removesuffix("\\")
    if is_tag(plain) and "." not in plain and (anchored or text == f"^{plain}$"):
        return plain
    body = text if anchored else f".*(?:{text}).*"
    if not anchored and text.startswith("^") and text.endswith("$") and not text.endswith("\\$") and "|" not in text:
        body = text[1:-1]
    try:
        re.compile(body)
    except re.error as error:
        adopted.lose(line, text[:120], f"this regular expression is written another way here: {error}")
        return ""
    if re.search(r"\\[pPzQEC]|\[\[:|\(\?[imsU-]*[:)]", text):
        adopted.lose(line, text[:120], "this regular expression uses what is written another way here: write it anew")
        return ""
    if len(body) + 3 > _LONGEST:
        adopted.lose(line, text[:120], f"a pattern has at most {_LONGEST} signs here: split it")
        return ""
    return f"re:{body}"


def from_semver(text: str, line: int, adopted: Adopted) -> tuple[str, ...]:
    """A range of versions as ``semver:`` patterns, one for each ``||``; empty where it cannot be said."""
    found: list[str] = []
    for part in text.split("||"):
        said = _HYPHENS.sub(r">=\1 <=\2", part.replace(",", " ").strip())
        said = re.sub(r"(>=|<=|=>|=<|!=|>|<|=|\^|~)\s+", r"\1", said)
        said = said.replace("=>", ">=").replace("=<", "<=")
        words = said.split()
        if any(word.endswith("-0") for word in words):
            words = [word.removesuffix("-0") for word in words]
            adopted.lose(line, text[:120], "-0 asks for every pre-release: here a comparison names them: >=1.3.0-rc.1")
        bad = [word for word in words if not _COMPARISON.match(word)]
        if bad or not words:
            adopted.lose(line, text[:120], f"{(bad or ['nothing'])[0][:40]} is no comparison here: write it anew")
        elif len(" ".join(words)) > _LONGEST - len("semver:"):
            adopted.lose(line, text[:120], f"a pattern has at most {_LONGEST} signs here: split it")
        else:
            found.append(f"semver:{' '.join(words)}")
    return tuple(found)


def every_tag(tags: Sequence[str]) -> tuple[str, ...]:
    """No tags means all of them there."""
    return tuple(tags) or ("*",)
