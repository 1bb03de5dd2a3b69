"""Conditions of maintainer scripts with three truths: ``test`` about the image, and Debian's version order."""

from __future__ import annotations

from typing import Protocol

from sallyport.archives import compare_debian
from sallyport.errors import MalformedError
from sallyport.oci import Entry, Kind

_UNKNOWABLE = ("/proc", "/sys", "/dev")  # the machine's, not the image's
_COMPARISONS = {"lt": "<", "le": "<=", "eq": "=", "ne": "!", "ge": ">=", "gt": ">"}
_COMPARISONS |= {"<": "<=", "<<": "<", "<=": "<=", "=": "=", ">=": ">=", ">>": ">", ">": ">="}


class Tree(Protocol):
    """The image as a script would find it."""

    def entry(self, path: str, *, follow: bool) -> Entry | None:
        """What stands at the relative ``path``; None for nothing."""
        ...

    def text(self, path: str) -> str | None:
        """The content of a small database file such as ``etc/passwd``; None where it is not known."""
        ...


def compare_versions(words: list[str | None]) -> bool | None:
    """``dpkg --compare-versions``. Source: dpkg(1)."""
    if words[:1] != ["--compare-versions"]:
        return None
    operands = [word for word in words[1:] if word != "--"]
    if len(operands) != 3:  # noqa: PLR2004 - version, operator, version
        return None
    one, operator, other = operands
    if one is None or operator is None or other is None:
        return None
    sign = _COMPARISONS.get(operator.removesuffix("-nl"))
    if sign is None:
        return None
    if not one or not other:
        # No version is earlier than any, and with -nl later than any.
        order = (bool(one) - bool(other)) * (-1 if operator.endswith("-nl") else 1)
    else:
        try:
            order = compare_debian(one, other)
        except MalformedError:
            return None
    return {"<": order < 0, "<=": order <= 0, "=": order == 0, "!": order != 0, ">=": order >= 0, ">": order > 0}[sign]


class Test:
    """The expression of ``test``. Source: POSIX.1-2017, test; three truths."""

    _FILES = frozenset(f"-{letter}" for letter in "efdLhxrwsbcpSugk")
    _STRINGS = frozenset(("=", "==", "!="))
    _NUMBERS = frozenset(("-eq", "-ne", "-lt", "-le", "-gt", "-ge"))

    def __init__(self, words: list[str | None], tree: Tree) -> None:
        self._words, self._tree, self._at = words, tree, 0

    def truth(self) -> bool | None:
        if not self._words:
            return False
        truth = self._or()
        return truth if self._at == len(self._words) else None

    def _peek(self, ahead: int = 0) -> str | None:
        at = self._at + ahead
        return self._words[at] if at < len(self._words) else None

    def _or(self) -> bool | None:
        truth = self._and()
        while self._peek() == "-o":
            self._at += 1
            other = self._and()
            truth = True if True in (truth, other) else None if None in (truth, other) else False
        return truth

    def _and(self) -> bool | None:
        truth = self._not()
        while self._peek() == "-a":
            self._at += 1
            other = self._not()
            truth = False if False in (truth, other) else None if None in (truth, other) else True
        return truth

    def _not(self) -> bool | None:
        if self._peek() == "!" and self._at + 1 < len(self._words) and self._peek(1) not in self._STRINGS:
            self._at += 1
            truth = self._not()
            return None if truth is None else not truth
        return self._primary()

    def _primary(self) -> bool | None:
        left = len(self._words) - self._at
        word, operator = self._peek(), self._peek(1)
        if left >= 3 and operator is not None and operator in self._STRINGS | self._NUMBERS:  # noqa: PLR2004 - a op b
            other = self._peek(2)
            self._at += 3
            return None if word is None or other is None else self._binary(word, operator, other)
        if word == "(":
            self._at += 1
            truth = self._or()
            self._at += 1
            return truth
        if left > 1 and word is not None and (word in self._FILES or word in ("-n", "-z", "-t")):
            self._at += 2
            return self._unary(word, operator)
        self._at += 1
        return None if word is None else bool(word)

    def _binary(self, one: str, operator: str, other: str) -> bool | None:
        if operator in self._STRINGS:
            return (one == other) is (operator != "!=")
        try:
            first, second = int(one), int(other)
        except ValueError:
            return None
        return {
            "-eq": first == second, "-ne": first != second, "-lt": first < second,
            "-le": first <= second, "-gt": first > second, "-ge": first >= second,
        }[operator]  # fmt: skip

    def _unary(self, operator: str, operand: str | None) -> bool | None:
        if operand is None or operator == "-t":
            return None
        if operator in ("-n", "-z"):
            return bool(operand) is (operator == "-n")
        if not operand:
            return False
        if not operand.startswith("/") or operand.startswith(_UNKNOWABLE):
            return None
        entry = self._tree.entry(operand.strip("/"), follow=operator not in ("-L", "-h"))
        if entry is None:
            return False
        match operator:
            case "-e" | "-r" | "-w":
                return True
            case "-f":
                return entry.kind is Kind.FILE
            case "-d":
                return entry.kind is Kind.DIRECTORY
            case "-L" | "-h":
                return entry.kind is Kind.SYMLINK
            case "-x":
                return bool(entry.mode & 0o111)
            case "-s":
                return entry.kind is Kind.FILE and entry.size > 0
            case _:
                return None
