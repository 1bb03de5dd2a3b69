"""The words of a shell script: quotes, expansions, substitutions. Source: POSIX.1-2017, 2.2, 2.6."""

from __future__ import annotations

import re

from sallyport.errors import MalformedError
from sallyport.patch.shell_tree import Arithmetic, Literal, Parameter, Part, Script, Substitution, Word

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-]")
_PLAIN = re.compile(r"[^\s;&|<>()\"'`$\\]+")
_LENGTH = re.compile(r"#([A-Za-z0-9_@*]+)\}")
_BRACED = re.compile(r"[^}\s;&|<>()\"'`$\\]+|[\s;&|<>()]")
_EXPANSIONS = (":-", ":=", ":?", ":+", "%%", "##", "-", "=", "?", "+", "%", "#")


class WordReader:
    """Reads words at a place in a text; whoever reads commands adds :meth:`script`."""

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

    def script(self, until: tuple[str, ...]) -> Script:
        """Commands up to one of ``until``."""
        raise NotImplementedError

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
            if not self._text.startswith(")", self._at):
                raise self._error("a substitution has no end")
            self._at += 1
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
        parser = type(self)("".join(inner), self._depth)
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
        if text.startswith("#", self._at) and (found := _LENGTH.match(text, self._at)):
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
            brace = _BRACED.match(text, self._at)
            if brace is not None:
                self._at = brace.end()
                parts.append(Literal(brace.group(), quoted))
                continue
            parts.extend(self._part(quoted=quoted))
        self._at += 1
        return Parameter(found.group(), operator, tuple(parts), quoted)
