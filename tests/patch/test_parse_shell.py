"""Reading maintainer scripts: all that Debian writes, and an error for the rest."""

from __future__ import annotations

import contextlib
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import MalformedError
from sallyport.patch.parse_shell import parse_shell
from sallyport.patch.shell_tree import Case, Function, Group, If, Literal, Redirected, Simple, While, commands_of


def words(text: str) -> list[list[str]]:
    """The literal words of every simple command."""
    return [
        ["".join(part.text if isinstance(part, Literal) else "$" for part in word) for word in command.words]
        for command in commands_of(parse_shell(text))
        if isinstance(command, Simple)
    ]


def test_words_quotes_and_continued_lines() -> None:
    assert words("echo 'a b' \"c d\" e\\ f \\\n  g # told\n") == [["echo", "a b", "c d", "e f", "g"]]


def test_an_empty_string_is_a_word() -> None:
    assert words("update-ca-certificates --hooksdir \"\" ''") == [["update-ca-certificates", "--hooksdir", "", ""]]


def test_lists_pipelines_and_background() -> None:
    assert words("a && b || c; d | e & f") == [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]


def test_compound_commands() -> None:
    script = parse_shell(
        """
case "$1" in
  (configure|reconfigure) a ;;
  remove) b
  ;;
  *) ;;
esac
if a; then b; elif c; then d; else e; fi
while read x; do f; done < /etc/x
for i in 1 2; do g; done
h() { i; }
( j ) >/dev/null 2>&1
"""
    )
    kinds = [type(chain.links[0][1].commands[0]) for chain in script]
    assert kinds == [Case, If, Redirected, type(script[3].links[0][1].commands[0]), Function, Redirected]
    redirected = script[2].links[0][1].commands[0]
    assert isinstance(redirected, Redirected)
    assert isinstance(redirected.command, While)
    last = script[5].links[0][1].commands[0]
    assert isinstance(last, Redirected)
    assert isinstance(last.command, Group)
    assert last.command.subshell


def test_here_documents_in_their_order() -> None:
    script = 'cat <<A <<-"B" | sed x\none $(two)\nA\n\tthree $(four)\n\tB\nfive\n'
    assert words(script) == [["cat"], ["sed", "x"], ["five"]]


def test_substitutions_nest() -> None:
    assert words('x=$(a "$(b `c "d"`)" $((1 + (2))) ${y:-$(e)})') == [[]]


def test_reserved_words_are_words_elsewhere() -> None:
    assert words("echo if then; case in in in) echo done;; esac") == [["echo", "if", "then"], ["echo", "done"]]


@pytest.mark.parametrize(
    "script",
    [
        "if a; then b",
        "echo 'no end",
        'echo "no end',
        "echo `no end",
        "echo $(no end",
        "echo ${no end",
        "cat <<EOF\nno end\n",
        "cat <<EOF",
        "[[ a == b ]]",
        "function f { a; }",
        "x=${y//a/b}",
        "a ;; b",
        "fi",
        "| a",
        "a && ",
        "f( { a; }",
        "echo \\",
        "a; }",
        "$((1",
        "if a; then fi",
        "( a ) b",
        "{ }",
        "( )",
    ],
)
def test_what_is_not_understood_is_an_error(script: str) -> None:
    with pytest.raises(MalformedError, match=r"line 1|ends"):
        parse_shell(script)


def test_the_line_is_named() -> None:
    with pytest.raises(MalformedError, match="line 3"):
        parse_shell("a\nb\n[[ c ]]\n")


def test_depth_and_length_are_bounded() -> None:
    with pytest.raises(MalformedError, match="deep"):
        parse_shell("(" * 5000)
    with pytest.raises(MalformedError, match="long"):
        parse_shell("a" * (1024 * 1024 + 1))
    with pytest.raises(MalformedError, match="deep"):
        parse_shell("$(" * 5000)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="ab =$'\"`\\(){};&|<>\n#!if then fi case esac do done", max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    with contextlib.suppress(MalformedError):
        parse_shell(text)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["a", "b;", "&&", "||", "|", "if a;", "then", "else", "fi", "( c )", "{ d; }", "! e"]),
        max_size=6,
    )
)
def test_what_is_understood_a_shell_understands(parts: list[str]) -> None:
    shell = shutil.which("dash") or shutil.which("sh")
    if shell is None:
        pytest.skip("no POSIX shell is installed")
    text = " ".join(parts)
    try:
        parse_shell(text)
    except MalformedError:
        return
    ran = subprocess.run([shell, "-n", "-c", text], capture_output=True, timeout=10, check=False)
    assert ran.returncode == 0, (text, ran.stderr)
