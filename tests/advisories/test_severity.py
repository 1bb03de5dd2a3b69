"""CVSS 3 against published scores, and the words of databases."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.advisories import Severity, worst
from sallyport.advisories.severity import cvss3_base, rate_score, rate_vector, rate_word

# Published with the vectors: CVSS 3.1 examples document, section "Scores"; NVD for the CVEs named.
PUBLISHED = [
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),  # CVE-2013-1937
    ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),  # CVE-2013-0375
    ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),  # CVE-2014-3566
    ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),  # CVE-2012-1516
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),  # CVE-2014-0160
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),  # CVE-2014-6271
    ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:C/C:N/I:H/A:N", 6.8),  # CVE-2008-1447
    ("CVSS:3.1/AV:P/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 6.8),  # CVE-2014-2005
    ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:L/I:N/A:N", 4.3),  # CVE-2010-0467
    ("CVSS:3.1/AV:A/AC:L/PR:N/UI:N/S:C/C:H/I:N/A:H", 9.3),  # CVE-2012-1342 in form
    ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),  # CVE-2021-44228
    ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 7.8),
    ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
]


@pytest.mark.parametrize(("vector", "score"), PUBLISHED)
def test_published_scores(vector: str, score: float) -> None:
    assert cvss3_base(vector) == score


def test_temporal_and_environmental_metrics_do_not_change_the_base() -> None:
    assert cvss3_base("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H/E:P/RL:O/RC:C") == 9.8


@pytest.mark.parametrize(
    "vector",
    [
        "",
        "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
        "AV:N/AC:L/Au:N/C:P/I:P/A:P",
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H",
        "CVSS:3.1/AV:N/AV:L/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        "CVSS:3.1/AV:Q/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H\n",
    ],
)
def test_what_is_no_whole_vector_of_version_3_is_not_rated(vector: str) -> None:
    assert cvss3_base(vector) is None
    assert rate_vector(vector) is Severity.UNKNOWN


@pytest.mark.parametrize(
    ("score", "severity"),
    [
        (0.0, "negligible"),
        (0.1, "low"),
        (3.9, "low"),
        (4.0, "medium"),
        (6.9, "medium"),
        (7.0, "high"),
        (8.9, "high"),
        (9.0, "critical"),
        (10.0, "critical"),
    ],
)
def test_ratings(score: float, severity: str) -> None:
    assert rate_score(score).value == severity


LETTERS = st.fixed_dictionaries(
    {
        "AV": st.sampled_from("NALP"),
        "AC": st.sampled_from("LH"),
        "PR": st.sampled_from("NLH"),
        "UI": st.sampled_from("NR"),
        "S": st.sampled_from("UC"),
        "C": st.sampled_from("HLN"),
        "I": st.sampled_from("HLN"),
        "A": st.sampled_from("HLN"),
    }
)


@settings(max_examples=100, deadline=None)
@given(LETTERS)
def test_every_vector_has_a_score_of_one_decimal_and_worse_impact_never_scores_less(letters: dict[str, str]) -> None:
    def score(values: dict[str, str]) -> float:
        found = cvss3_base("CVSS:3.1/" + "/".join(f"{name}:{value}" for name, value in values.items()))
        assert found is not None
        return found

    found = score(letters)
    assert 0 <= found <= 10
    assert round(found, 1) == found
    assert score({**letters, "A": "H"}) >= found


def test_words() -> None:
    assert [rate_word(word) for word in ("HIGH", "Moderate", "unimportant", "not yet assigned", None, 3)] == [
        Severity.HIGH,
        Severity.MEDIUM,
        Severity.NEGLIGIBLE,
        Severity.UNKNOWN,
        Severity.UNKNOWN,
        Severity.UNKNOWN,
    ]
    assert worst() is Severity.UNKNOWN
    assert worst(Severity.UNKNOWN, Severity.LOW, Severity.CRITICAL) is Severity.CRITICAL
