from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sallyport.archives import parse_stanza, parse_stanzas, render_stanza
from sallyport.errors import MalformedError

TEXT = """Package: openssl
Depends: libc6 (>= 2.34),
 libssl3
Description: toolkit
 Long text.
 .
 More.
Conffiles:
 /etc/ssl/openssl.cnf fe1993ec22f6b8a46cb9706acd8fc68f
"""


def test_a_stanza_is_read_and_written_back_as_it_was() -> None:
    fields = parse_stanza(TEXT, what="x")
    assert fields["Depends"] == "libc6 (>= 2.34),\n libssl3"
    assert fields["Conffiles"] == "\n /etc/ssl/openssl.cnf fe1993ec22f6b8a46cb9706acd8fc68f"
    assert render_stanza(fields) == TEXT


def test_several_stanzas_are_parted_by_empty_lines() -> None:
    assert [s["Package"] for s in parse_stanzas("Package: a\n\n\nPackage: b\n \nPackage: c\n", what="x")] == [
        "a",
        "b",
        "c",
    ]
    assert list(parse_stanzas("\n\n", what="x")) == []


@pytest.mark.parametrize(
    "text", ["", " x", "Package", "Package: a\npackage: b", "#x: y", "-a: b", "a\x01: b", "Päckage: x"]
)
def test_what_is_no_stanza_is_refused(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_stanza(text, what="x")


NAME = st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,8}", fullmatch=True)
LINE = st.text(st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters="\x85\x7f"), max_size=12)
VALUE = st.tuples(LINE, st.lists(LINE.filter(bool).map(lambda line: f"\n {line}"), max_size=3)).map(
    lambda parts: parts[0] + "".join(parts[1])
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(NAME, VALUE, min_size=1, max_size=5))
@example({"A": "ends in a hard space\xa0"})
def test_what_is_written_is_read_back(fields: dict[str, str]) -> None:
    if len({name.lower() for name in fields}) < len(fields):
        return
    assert parse_stanza(render_stanza(fields), what="x") == fields
