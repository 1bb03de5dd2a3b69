"""The tree of a shell script. Source: POSIX.1-2017, Shell Command Language, 2.9."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class Literal:
    """Characters as they stand; unquoted ones may be a pattern."""

    text: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Parameter:
    """``$name`` or ``${name<operator>word}``; the operator ``length`` stands for ``${#name}``."""

    name: str
    operator: str
    word: Word
    quoted: bool


@dataclass(frozen=True, slots=True)
class Substitution:
    """The output of a script."""

    script: Script
    quoted: bool


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A number; its words are kept because they may substitute commands."""

    word: Word


Part: TypeAlias = "Literal | Parameter | Substitution | Arithmetic"
Word: TypeAlias = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Redirect:
    """``operator`` without its number; a here-document's target is its text."""

    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Simple:
    """A command with its words; ``text`` is how the script writes it."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Pipeline:
    commands: tuple[Command, ...]
    negated: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """Pipelines joined by ``&&`` and ``||``; the first one's operator is empty."""

    links: tuple[tuple[str, Pipeline], ...]


@dataclass(frozen=True, slots=True)
class If:
    branches: tuple[tuple[Script, Script], ...]
    otherwise: Script | None


@dataclass(frozen=True, slots=True)
class Case:
    word: Word
    items: tuple[tuple[tuple[Word, ...], Script], ...]


@dataclass(frozen=True, slots=True)
class For:
    name: str
    words: tuple[Word, ...] | None  # None: the positional parameters
    body: Script


@dataclass(frozen=True, slots=True)
class While:
    """``until`` too: what is reached is the same."""

    condition: Script
    body: Script


@dataclass(frozen=True, slots=True)
class Group:
    body: Script
    subshell: bool


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    body: Command


@dataclass(frozen=True, slots=True)
class Redirected:
    """A compound command with its redirections."""

    command: Command
    redirects: tuple[Redirect, ...]


Command: TypeAlias = "Simple | If | Case | For | While | Group | Function | Redirected"
Script: TypeAlias = tuple[Chain, ...]


def commands_of(script: Script) -> Iterable[Command]:
    """Every command in the tree, not those inside substitutions."""
    for chain in script:
        for _, pipeline in chain.links:
            for command in pipeline.commands:
                yield from _inside(command)


def _inside(command: Command) -> Iterable[Command]:
    yield command
    match command:
        case Simple():
            pass
        case If(branches, otherwise):
            for condition, body in branches:
                yield from commands_of((*condition, *body))
            yield from commands_of(otherwise or ())
        case Case(_, items):
            for _, body in items:
                yield from commands_of(body)
        case For():
            yield from commands_of(command.body)
        case While(condition, body):
            yield from commands_of((*condition, *body))
        case Group(body):
            yield from commands_of(body)
        case Function(_, body) | Redirected(body):
            yield from _inside(body)
        case _:
            assert_never(command)
