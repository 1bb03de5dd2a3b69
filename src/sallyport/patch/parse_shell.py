"""Reads a maintainer script into a tree, without running any of it.

Source: POSIX.1-2017, Shell Command Language, 2.3 to 2.10, as far as Debian Policy 10.4 lets
scripts use it. What is beyond that (``[[``, arrays, ``${x//}``, ``function``) is an error: a script
that is not understood to the last character counts as not understood.
"""

from __future__ import annotations

import re

from sallyport.errors import MalformedError
from sallyport.patch.shell_tree import (
    Arithmetic,
    Case,
    Chain,
    Command,
    For,
    Function,
    Group,
    If,
    Literal,
    Parameter,
    Part,
    Pipeline,
    Redirect,
    Redirected,
    Script,
    Simple,
    Substitution,
    While,
    Word,
)

LIMIT = 1024 * 1024
"""Characters of one script; real ones stay under a hundred thousand."""
_DEPTH = 60
_RESERVED_WORD = re.compile(r"(?:if|then|elif|else|fi|case|esac|in|for|while|until|do|done|[{}!])(?=[\s;&|<>()]|\Z)")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_PLAIN = re.compile(r"[^\s;&|<>()\"'`$\\]+")
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_OPERATORS = re.compile(r"&&|\|\||;;|[;&|()\n]")
_REDIRECT = re.compile(r"([0-9]?)(<<-?|>>|>\||<>|[<>]&|[<>])")
_EXPANSIONS = (":-", ":=", ":?", ":+", "%%", "##", "-", "=", "?", "+", "%", "#")


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


class _Parser:
    def __init__(self, text: str, depth: int = 0) -> None:
        self._text = text
        self._at = 0
        self._depth = depth
        self._jumps: dict[int, int] = {}  # from the end of a line behind the here-documents that it announces

    def end(self) -> None:
        if self._at < len(self._text) or self._jumps:
            raise self._error("something stands where a command should")

    def _error(self, what: str) -> MalformedError:
        line = self._text.count("\n", 0, self._at) + 1
        return MalformedError(f"line {line}: {what}", "read the script and decide by hand")

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
            if (operator := self._operator()) in (";", "&"):
                self._at += len(operator)
            elif operator not in ("\n", "") and operator not in until:
                raise self._error(f"{operator!r} is not expected")
        self._depth -= 1
        return tuple(chains)

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
            condition = self.script(("do",))
            compound = While(condition, self._loop_body())
        elif word == "{":
            self._at += 1
            compound = Group(self.script(("}",)), subshell=False)
            self._expect("}")
        elif self._operator() == "(":
            self._at += 1
            compound = Group(self.script((")",)), subshell=True)
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
            condition = self.script(("then",))
            self._expect("then")
            branches.append((condition, self.script(("elif", "else", "fi"))))
            if self._reserved() != "elif":
                break
            self._at += 4
        if self._reserved() == "else":
            self._at += 4
            otherwise = self.script(("fi",))
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
        body = self.script(("done",))
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

    def document(self) -> Word:
        """All of the text as if between double quotes, save that a double quote is one."""
        return self._quoted("")

    # --- words -------------------------------------------------------------------------------

    def _word(self, *, empty: bool = False) -> Word:
        parts: list[Part] = []
        start = self._at
        while part := self._part(quoted=False):
            parts.extend(part)
        if self._at == start and not empty:
            raise self._error("a word is missing")
        return tuple(parts)

    def _part(self, *, quoted: bool) -> Word:
        """The next piece of a word outside of quotes; empty where the word ends."""
        text = self._text
        if self._at >= len(text):
            return ()
        character = text[self._at]
        if found := _PLAIN.match(text, self._at):
            self._at = found.end()
            return (Literal(found.group(), quoted),)
        if character == "'":
            end = text.find("'", self._at + 1)
            if end < 0:
                raise self._error("a quotation has no end")
            literal = Literal(text[self._at + 1 : end], quoted=True)
            self._at = end + 1
            return (literal,)
        if character == '"':
            self._at += 1
            # An empty string is a word too.
            return (Literal("", quoted=True), *self._quoted('"'))
        if character == "\\":
            if self._at + 1 >= len(text):
                raise self._error("the script ends in a backslash")
            escaped = text[self._at + 1]
            self._at += 2
            return (Literal("" if escaped == "\n" else escaped, quoted=True),)
        if character in "$`":
            return self._expansion(quoted=quoted)
        return ()

    def _quoted(self, end: str) -> Word:
        """Up to ``end``, which is consumed; an empty ``end`` is the end of the text."""
        parts: list[Part] = []
        text = self._text
        plain: list[str] = []

        def flush() -> None:
            if plain:
                parts.append(Literal("".join(plain), quoted=True))
                plain.clear()

        while True:
            if self._at >= len(text):
                if end:
                    raise self._error("a quotation has no end")
                break
            if end and text.startswith(end, self._at):
                self._at += len(end)
                break
            character = text[self._at]
            if character == "\\" and text[self._at + 1 : self._at + 2] in ("$", "`", '"', "\\", "\n"):
                plain.append(text[self._at + 1].replace("\n", ""))
                self._at += 2
            elif character in "$`":
                flush()
                parts.extend(self._expansion(quoted=True))
            else:
                plain.append(character)
                self._at += 1
        flush()
        return tuple(parts)

    def _expansion(self, *, quoted: bool) -> Word:
        text = self._text
        if text[self._at] == "`":
            return (Substitution(self._backquoted(), quoted),)
        if text.startswith("$((", self._at):
            self._at += 3
            return (Arithmetic(self._arithmetic()),)
        if text.startswith("$(", self._at):
            self._at += 2
            script = self.script((")",))
            self._expect(")")
            return (Substitution(script, quoted),)
        if text.startswith("${", self._at):
            self._at += 2
            return (self._braced(quoted=quoted),)
        found = _NAME.match(text, self._at + 1)
        if found is None:
            self._at += 1
            return (Literal("$", quoted=True),)
        name = found.group() if not found.group().isdigit() else found.group()[0]
        self._at += 1 + len(name)
        return (Parameter(name, "", (), quoted),)

    def _backquoted(self) -> Script:
        text = self._text
        self._at += 1
        inner: list[str] = []
        while True:
            if self._at >= len(text):
                raise self._error("a back quotation has no end")
            if text[self._at] == "`":
                self._at += 1
                break
            if text[self._at] == "\\" and text[self._at + 1 : self._at + 2] in ("`", "\\", "$"):
                self._at += 1
            inner.append(text[self._at])
            self._at += 1
        parser = _Parser("".join(inner), self._depth)
        script = parser.script(())
        parser.end()
        return script

    def _arithmetic(self) -> Word:
        parts: list[Part] = []
        open_brackets = 0
        text = self._text
        while self._at < len(text):
            if not open_brackets and text.startswith("))", self._at):
                self._at += 2
                return tuple(parts)
            character = text[self._at]
            if character in "$`":
                parts.extend(self._expansion(quoted=True))
                continue
            open_brackets += (character == "(") - (character == ")")
            if open_brackets < 0:
                break
            self._at += 1
        raise self._error("an arithmetic expression has no end")

    def _braced(self, *, quoted: bool) -> Parameter:
        text = self._text
        if text.startswith("#", self._at) and (found := re.compile(r"#([A-Za-z0-9_@*]+)\}").match(text, self._at)):
            self._at = found.end()
            return Parameter(found.group(1), "length", (), quoted)
        found = _NAME.match(text, self._at)
        if found is None:
            raise self._error("an expansion has no name")
        self._at = found.end()
        if text.startswith("}", self._at):
            self._at += 1
            return Parameter(found.group(), "", (), quoted)
        operator = next((item for item in _EXPANSIONS if text.startswith(item, self._at)), "")
        if not operator:
            raise self._error("an expansion is of a kind that only bash knows")
        self._at += len(operator)
        parts: list[Part] = []
        while not text.startswith("}", self._at):
            if self._at >= len(text):
                raise self._error("an expansion has no end")
            if text[self._at] == "'" and quoted:
                # Between double quotes a single quote is a character.
                parts.append(Literal("'", quoted=True))
                self._at += 1
                continue
            brace = re.compile(r"[^}\s;&|<>()\"'`$\\]+|[\s;&|<>()]").match(text, self._at)
            if brace is not None:
                self._at = brace.end()
                parts.append(Literal(brace.group(), quoted))
                continue
            parts.extend(self._part(quoted=quoted))
        self._at += 1
        return Parameter(found.group(), operator, tuple(parts), quoted)
