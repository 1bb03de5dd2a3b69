"""Reads a maintainer script into a tree, without running any of it.

Source: POSIX.1-2017, Shell Command Language, 2.3 to 2.10, as far as Debian Policy 10.4 lets
scripts use it. What is beyond that (``[[``, arrays, ``${x//}``, ``function``) is an error: a script
that is not understood to the last character counts as not understood.
"""

from __future__ import annotations

import re

from sallyport.errors import MalformedError
from sallyport.patch.shell_tree import (
    Case,
    Chain,
    Command,
    For,
    Function,
    Group,
    If,
    Literal,
    Pipeline,
    Redirect,
    Redirected,
    Script,
    Simple,
    While,
    Word,
)
from sallyport.patch.shell_words import WordReader

LIMIT = 1024 * 1024
"""Characters of one script; real ones stay under a hundred thousand."""
_DEPTH = 60
_RESERVED_WORD = re.compile(r"(?:if|then|elif|else|fi|case|esac|in|for|while|until|do|done|[{}!])(?=[\s;&|<>()]|\Z)")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_OPERATORS = re.compile(r"&&|\|\||;;|[;&|()\n]")
_REDIRECT = re.compile(r"([0-9]?)(<<-?|>>|>\||<>|[<>]&|[<>])")


def parse_shell(text: str) -> Script:
    """The tree of ``text``.

    Raises:
        MalformedError: not understood; the message names the line.
    """
    if len(text) > LIMIT:
        raise MalformedError("a maintainer script is absurdly long", "look at it: no honest package needs one")
    try:
        parser = _Parser(text)
        script = parser.script(())
        parser.end()
    except RecursionError as error:
        raise MalformedError("a maintainer script nests too deep", "look at it before using the package") from error
    return script


class _Parser(WordReader):
    # --- blanks, operators, reserved words ---------------------------------------------------

    def _blanks(self) -> None:
        text = self._text
        while self._at < len(text):
            if text[self._at] in " \t\r":
                self._at += 1
            elif text.startswith("\\\n", self._at):
                self._at += 2
            elif text[self._at] == "#":
                end = text.find("\n", self._at)
                self._at = len(text) if end < 0 else end
            else:
                return

    def _newlines(self) -> None:
        while True:
            self._blanks()
            if not self._text.startswith("\n", self._at):
                return
            self._at = self._jumps.pop(self._at, self._at + 1)

    def _operator(self) -> str:
        """The operator that stands here, not consumed; empty for none, and at the end."""
        self._blanks()
        found = _OPERATORS.match(self._text, self._at)
        return found.group() if found else ""

    def _reserved(self) -> str:
        self._blanks()
        found = _RESERVED_WORD.match(self._text, self._at)
        return found.group() if found else ""

    def _expect(self, word: str) -> None:
        self._newlines()
        if not self._text.startswith(word, self._at):
            raise self._error(f"{word!r} is missing")
        self._at += len(word)

    # --- lists -------------------------------------------------------------------------------

    def script(self, until: tuple[str, ...]) -> Script:
        """Commands up to one of ``until`` (reserved words or operators), not consumed, or the end."""
        self._depth += 1
        if self._depth > _DEPTH:
            raise self._error("it nests too deep")
        chains: list[Chain] = []
        while True:
            self._newlines()
            if self._at >= len(self._text) or self._reserved() in until or self._operator() in until:
                break
            chains.append(self._chain())
            operator = self._operator()
            if operator in (";", "&"):
                self._at += len(operator)
            elif operator not in ("\n", *until) and self._at < len(self._text) and self._reserved() not in until:
                raise self._error("a command does not end where it should")
        self._depth -= 1
        return tuple(chains)

    def _body(self, until: tuple[str, ...]) -> Script:
        """Like :meth:`script`, and not empty."""
        script = self.script(until)
        if not script:
            raise self._error("a command is missing")
        return script

    def _chain(self) -> Chain:
        links = [("", self._pipeline())]
        while (operator := self._operator()) in ("&&", "||"):
            self._at += 2
            self._newlines()
            links.append((operator, self._pipeline()))
        return Chain(tuple(links))

    def _pipeline(self) -> Pipeline:
        negated = False
        while self._reserved() == "!":
            self._at += 1
            negated = not negated
        commands = [self._command()]
        while self._operator() == "|":
            self._at += 1
            self._newlines()
            commands.append(self._command())
        return Pipeline(tuple(commands), negated)

    # --- commands ----------------------------------------------------------------------------

    def _command(self) -> Command:
        word = self._reserved()
        compound: Command
        if word == "if":
            compound = self._if()
        elif word == "case":
            compound = self._case()
        elif word == "for":
            compound = self._for()
        elif word in ("while", "until"):
            self._at += len(word)
            condition = self._body(("do",))
            compound = While(condition, self._loop_body())
        elif word == "{":
            self._at += 1
            compound = Group(self._body(("}",)), subshell=False)
            self._expect("}")
        elif self._operator() == "(":
            self._at += 1
            compound = Group(self._body((")",)), subshell=True)
            self._expect(")")
        elif word:
            raise self._error(f"{word!r} is not expected")
        else:
            return self._simple()
        redirects = self._redirects()
        return Redirected(compound, redirects) if redirects else compound

    def _if(self) -> If:
        branches: list[tuple[Script, Script]] = []
        otherwise: Script | None = None
        self._at += 2
        while True:
            condition = self._body(("then",))
            self._expect("then")
            branches.append((condition, self._body(("elif", "else", "fi"))))
            if self._reserved() != "elif":
                break
            self._at += 4
        if self._reserved() == "else":
            self._at += 4
            otherwise = self._body(("fi",))
        self._expect("fi")
        return If(tuple(branches), otherwise)

    def _case(self) -> Case:
        self._at += 4
        self._blanks()
        word = self._word()
        self._expect("in")
        items: list[tuple[tuple[Word, ...], Script]] = []
        while True:
            self._newlines()
            if self._reserved() == "esac":
                self._at += 4
                return Case(word, tuple(items))
            if self._operator() == "(":
                self._at += 1
            patterns = [self._pattern()]
            while self._operator() == "|":
                self._at += 1
                patterns.append(self._pattern())
            self._expect(")")
            items.append((tuple(patterns), self.script((";;", "esac"))))
            if self._operator() == ";;":
                self._at += 2

    def _pattern(self) -> Word:
        self._blanks()
        return self._word()

    def _for(self) -> For:
        self._at += 3
        self._blanks()
        found = _NAME.match(self._text, self._at)
        if found is None:
            raise self._error("a loop has no variable")
        self._at = found.end()
        words: list[Word] | None = None
        self._newlines()
        if self._reserved() == "in":
            self._at += 2
            words = []
            while self._operator() not in (";", "\n"):
                self._blanks()
                words.append(self._word())
        if self._operator() == ";":
            self._at += 1
        return For(found.group(), None if words is None else tuple(words), self._loop_body())

    def _loop_body(self) -> Script:
        self._expect("do")
        body = self._body(("done",))
        self._expect("done")
        return body

    def _simple(self) -> Command:
        self._blanks()
        start = self._at
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            self._blanks()
            if self._at >= len(self._text):
                break
            if redirect := self._redirect():
                redirects.append(redirect)
                continue
            if operator := self._operator():
                if operator == "(" and len(words) == 1 and not assignments:
                    return self._function(words[0])
                break
            if not words and (found := _ASSIGNMENT.match(self._text, self._at)):
                self._at = found.end()
                assignments.append((found.group(1), self._word(empty=True)))
                continue
            if not words and self._text.startswith(("[[", "function "), self._at):
                raise self._error("this is bash, not a shell that Debian Policy 10.4 asks for")
            words.append(self._word())
        if not (assignments or words or redirects):
            raise self._error("a command is missing")
        return Simple(tuple(assignments), tuple(words), tuple(redirects), self._text[start : self._at].strip())

    def _function(self, word: Word) -> Function:
        name = word[0].text if len(word) == 1 and isinstance(word[0], Literal) else ""
        if not _FUNCTION_NAME.match(name):
            raise self._error("a function has a strange name")
        self._expect("(")
        self._expect(")")
        self._newlines()
        return Function(name, self._command())

    # --- redirections ------------------------------------------------------------------------

    def _redirects(self) -> tuple[Redirect, ...]:
        redirects: list[Redirect] = []
        self._blanks()
        while redirect := self._redirect():
            redirects.append(redirect)
            self._blanks()
        return tuple(redirects)

    def _redirect(self) -> Redirect | None:
        found = _REDIRECT.match(self._text, self._at)
        if found is None:
            return None
        operator = found.group(2)
        self._at = found.end()
        self._blanks()
        if not operator.startswith("<<"):
            return Redirect(operator, self._word())
        return Redirect("<<", self._here_document(strip=operator == "<<-"))

    def _here_document(self, *, strip: bool) -> Word:
        """Its text, which starts on the next line; reading goes on behind the delimiter on this one."""
        text = self._text
        quoted = text[self._at : self._at + 1] in ("'", '"', "\\")
        delimiter = "".join(part.text for part in self._word() if isinstance(part, Literal))
        line_end = text.find("\n", self._at)
        if line_end < 0:
            raise self._error("a here-document has no text")
        at = self._jumps.get(line_end, line_end + 1)
        lines: list[str] = []
        while True:
            if at >= len(text):
                raise self._error("a here-document has no end")
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            line = text[at:end].lstrip("\t") if strip else text[at:end]
            at = end + 1
            if line == delimiter:
                break
            lines.append(f"{line}\n")
        self._jumps[line_end] = min(at, len(text))
        body = "".join(lines)
        return (Literal(body, quoted=True),) if quoted else _Parser(body, self._depth).document()
