"""How bad: CVSS vectors and the words of databases as one qualitative rating.

Sources: CVSS 3.1 specification, 7.1 (base equations), 7.4 (values), Appendix A (round up), 5 (rating);
Debian security tracker, "Severity levels". Version 2 and 4 vectors are left unrated.
"""

from __future__ import annotations

import re

from sallyport.advisories.model import Severity

_VECTOR = re.compile(r"CVSS:3\.[01]((?:/[A-Z]{1,3}:[A-Z])+)\Z")
_VALUES = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "S": {"U": 0.0, "C": 1.0},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PR_WHEN_CHANGED = {"N": 0.85, "L": 0.68, "H": 0.5}
_WORDS = {
    "critical": Severity.CRITICAL,
    "high": Severity.HIGH,
    "important": Severity.HIGH,
    "medium": Severity.MEDIUM,
    "moderate": Severity.MEDIUM,
    "low": Severity.LOW,
    "negligible": Severity.NEGLIGIBLE,
    "unimportant": Severity.NEGLIGIBLE,
}


def cvss3_base(vector: str) -> float | None:
    """The base score of a version 3 vector, 0.0 to 10.0; None where it is none, or not whole."""
    found = _VECTOR.match(vector)
    if found is None:
        return None
    metrics = [item.split(":") for item in found[1][1:].split("/")]
    letters = dict(metrics)
    if len(letters) != len(metrics):
        return None
    try:
        value = {name: values[letters[name]] for name, values in _VALUES.items()}
    except KeyError:
        return None
    changed = letters["S"] == "C"
    privileges = _PR_WHEN_CHANGED[letters["PR"]] if changed else value["PR"]
    base = 1 - (1 - value["C"]) * (1 - value["I"]) * (1 - value["A"])
    impact = 7.52 * (base - 0.029) - 3.25 * (base - 0.02) ** 15 if changed else 6.42 * base
    if impact <= 0:
        return 0.0
    exploitability = 8.22 * value["AV"] * value["AC"] * privileges * value["UI"]
    return _round_up(min(10.0, (1.08 if changed else 1.0) * (impact + exploitability)))


def _round_up(score: float) -> float:
    # In whole hundred-thousandths, as Appendix A asks: 4.000000001 is 4.0, not 4.1.
    whole = round(score * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (whole // 10_000 + 1) / 10


def rate_score(score: float) -> Severity:
    """Source: CVSS 3.1, section 5, table 14."""
    limits = ((9.0, Severity.CRITICAL), (7.0, Severity.HIGH), (4.0, Severity.MEDIUM), (0.1, Severity.LOW))
    return next((severity for limit, severity in limits if score >= limit), Severity.NEGLIGIBLE)


def rate_vector(vector: str) -> Severity:
    """UNKNOWN where the vector is none of version 3."""
    score = cvss3_base(vector)
    return Severity.UNKNOWN if score is None else rate_score(score)


def rate_word(word: object) -> Severity:
    """A database's own word; UNKNOWN for "not yet assigned", "end-of-life" and what is not known here."""
    return _WORDS.get(word.strip().lower(), Severity.UNKNOWN) if isinstance(word, str) else Severity.UNKNOWN


def worst(*severities: Severity) -> Severity:
    """The highest; UNKNOWN only where nobody rates."""
    return max(severities, key=lambda severity: severity.rank, default=Severity.UNKNOWN)
