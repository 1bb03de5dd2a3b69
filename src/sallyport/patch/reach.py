"""Which commands of a maintainer script could run, given its arguments and the image; none is run.

Every value is known or not; a condition is true, false or unknown, and an unknown one reaches both
sides. What is reached is therefore never too little: where in doubt, a command counts as reached.
Sources: POSIX.1-2017, Shell Command Language; Debian Policy 6.5 (the arguments), 10.4 (the shell).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from sallyport.errors import MalformedError
from sallyport.oci import Kind
from sallyport.patch.parse_shell import parse_shell
from sallyport.patch.shell_state import State, assigned_names, leaves_loop
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
    Pipeline,
    Redirect,
    Redirected,
    Script,
    Simple,
    Substitution,
    While,
    Word,
)
from sallyport.patch.truth import Test, Tree, compare_versions

_STEPS = 200_000
_LOOP = 200
_CALLS = 20
_QUIET = frozenset({"/dev/null", "/dev/stderr", "/dev/stdout", "/dev/tty"})
_FOLDERS = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin", "sbin", "bin")
CONFMODULE = "/usr/share/debconf/confmodule"
_ARGUMENTS = (  # as many words as there are arguments
    (Parameter("@", "", (), quoted=False),),
    (Parameter("*", "", (), quoted=False),),
    (Literal("", quoted=True), Parameter("@", "", (), quoted=True)),
)
_SUCCEED = frozenset({"true", ":", "echo", "printf", "umask", "cd", "set", "local", "export", "readonly", "ischroot"})


@dataclass(frozen=True, slots=True)
class Reached:
    """A command that could run. An argument of None has a value that is not known beforehand."""

    argv: tuple[str | None, ...]
    writes: tuple[str | None, ...]  # files that it is redirected into
    text: str  # as the script writes it, on one line


@dataclass(frozen=True, slots=True)
class Call:
    """How dpkg calls a script."""

    arguments: tuple[str, ...]
    package: str
    architecture: str


def reach(text: str, call: Call, tree: Tree) -> tuple[Reached, ...]:
    """The commands of the script ``text`` that ``call`` could reach, each once, in order.

    Raises:
        MalformedError: the script is not understood, or too involved.
    """
    walk = _Walk(tree)
    variables: dict[str, str | None] = {
        "DPKG_ROOT": "",
        "DPKG_MAINTSCRIPT_PACKAGE": call.package,
        "DPKG_MAINTSCRIPT_ARCH": call.architecture,
    }
    try:
        walk.run(parse_shell(text), State(variables, list(call.arguments), {}))
    except RecursionError as error:
        raise MalformedError("the script nests too deep", "read it and decide by hand") from error
    return tuple(walk.reached)


class _Walk:
    def __init__(self, tree: Tree) -> None:
        self.reached: dict[Reached, None] = {}
        self._tree = tree
        self._steps = 0
        self._frames: list[list[State]] = []

    # --- commands ----------------------------------------------------------------------------

    def run(self, script: Script, state: State) -> bool | None:
        status: bool | None = True
        for chain in script:
            if not state.alive:
                break
            status = self._chain(chain, state)
        return status

    def _chain(self, chain: Chain, state: State) -> bool | None:
        status: bool | None = True
        for operator, pipeline in chain.links:
            if not state.alive:
                break
            stops = {"": None, "&&": False, "||": True}[operator]
            if operator and status is stops:
                continue
            if operator and status is None:
                taken = state.copy()
                result = self._pipeline(pipeline, taken)
                state.become([state.copy(), taken])
                status = result if result is stops else None
            else:
                status = self._pipeline(pipeline, state)
        return status

    def _pipeline(self, pipeline: Pipeline, state: State) -> bool | None:
        if len(pipeline.commands) == 1:
            status = self._command(pipeline.commands[0], state)
        else:
            for command in pipeline.commands:
                status = self._command(command, state.copy())
        return not status if pipeline.negated and status is not None else status

    def _command(self, command: Command, state: State) -> bool | None:
        self._steps += 1
        if self._steps > _STEPS:
            raise MalformedError("the script is too involved", "read it and decide by hand")
        match command:
            case Simple():
                return self._simple(command, state)
            case If():
                return self._if(command, state)
            case Case():
                return self._case(command, state)
            case For():
                return self._for(command, state)
            case While():
                state.forget(assigned_names((*command.condition, *command.body), state.functions))
                inside = state.copy()
                if self.run(command.condition, inside) is not False:
                    self.run(command.body, inside)
                state.become([state.copy(), inside])
                return None
            case Group(body, subshell):
                return self.run(body, state.copy() if subshell else state)
            case Function(name, body):
                state.functions[name] = body
                return True
            case Redirected(inner, redirects):
                writes = self._writes(redirects, state)
                if writes:
                    self._reach(Reached((), writes, "> " + " ".join(item or "?" for item in writes)))
                return self._command(inner, state)
            case _:
                assert_never(command)

    def _if(self, command: If, state: State) -> bool | None:
        ends: list[State] = []
        status: bool | None = True
        for condition, body in command.branches:
            truth = self.run(condition, state)
            if truth is False:
                continue
            taken = state.copy()
            status = self.run(body, taken)
            ends.append(taken)
            if truth is True:
                break
        else:
            if command.otherwise is not None:
                status = self.run(command.otherwise, state)
            ends.append(state.copy())
        state.become(ends)
        return status if len(ends) == 1 else None

    def _case(self, command: Case, state: State) -> bool | None:
        value = self._one(command.word, state)
        ends: list[State] = []
        for patterns, body in command.items:
            truths = [self._fits(value, pattern, state) for pattern in patterns]
            if all(truth is False for truth in truths):
                continue
            taken = state.copy()
            self.run(body, taken)
            ends.append(taken)
            if True in truths:
                break
        else:
            ends.append(state.copy())
        state.become(ends)
        return None

    def _fits(self, value: str | None, pattern: Word, state: State) -> bool | None:
        expression = ""
        for part in pattern:
            text = part.text if isinstance(part, Literal) else self._one((part,), state)
            if text is None:
                return None
            plain = getattr(part, "quoted", False)
            expression += re.escape(text) if plain else fnmatch.translate(text).removesuffix(r"\Z")
        if value is None:
            return True if pattern == (Literal("*", quoted=False),) else None
        return re.fullmatch(expression, value) is not None

    def _for(self, command: For, state: State) -> bool | None:
        words = state.arguments if command.words is None else self._fields(command.words, state)
        if words is not None and None not in words and len(words) <= _LOOP and not leaves_loop(command.body):
            for word in words:
                state.variables[command.name] = word
                self.run(command.body, state)
            return None
        state.forget(assigned_names(command.body, state.functions))
        state.variables[command.name] = None
        inside = state.copy()
        self.run(command.body, inside)
        state.become([state.copy(), inside])
        return None

    # --- simple commands ---------------------------------------------------------------------

    def _simple(self, command: Simple, state: State) -> bool | None:
        assigned = [(name, self._one(word, state)) for name, word in command.assignments]
        argv = self._fields(command.words, state)
        writes = self._writes(command.redirects, state)
        if not argv:
            state.variables.update(assigned)
            if writes:
                self._reach(Reached((), writes, _one_line(command.text)))
            return True
        name = argv[0]
        if name is not None and name in state.functions:
            if writes:
                self._reach(Reached((), writes, _one_line(command.text)))
            return self._call(state.functions[name], argv[1:], state)
        if name in ("exit", "return"):
            if name == "return" and self._frames:
                self._frames[-1].append(state.copy())
            state.alive = False
            return None
        self._reach(Reached(tuple(argv), writes, _one_line(command.text)))
        return self._builtin(argv, state)

    def _call(self, body: Command, arguments: list[str | None], state: State) -> bool | None:
        if len(self._frames) >= _CALLS:
            raise MalformedError("the script's functions call each other too deep", "read it and decide by hand")
        caller = state.arguments
        self._frames.append([])
        state.arguments = arguments
        status = self._command(body, state)
        returned = self._frames.pop()
        if returned:
            state.become([*returned, state.copy()])
            status = None
        state.arguments = caller
        return status

    def _builtin(self, argv: list[str | None], state: State) -> bool | None:
        """What the command does to the state, and whether it succeeds."""
        name, rest = argv[0], argv[1:]
        match name:
            case "[":
                return Test(rest[:-1], self._tree).truth() if rest and rest[-1] == "]" else None
            case "test":
                return Test(rest, self._tree).truth()
            case "false":
                return False
            case "command" | "which" | "type" | "hash":
                return self._found(rest)
            case "dpkg":
                return compare_versions(rest)
            case "getent":
                return self._known_account(rest)
            case "dpkg-statoverride":
                return self._overridden(rest)
            case "local" | "export" | "readonly":
                self._declare(rest, state)
            case "read" | "getopts":
                state.forget([*(word for word in rest if word and not word.startswith("-")), "OPTARG", "OPTIND"])
                return None
            case "unset":
                state.forget([word for word in rest if word])
            case "shift":
                state.arguments = None if state.arguments is None or rest else state.arguments[1:]
            case "set":
                if rest and rest[0] is not None and not rest[0].startswith(("-", "+")):
                    state.arguments = rest
                elif "--" in rest:
                    state.arguments = rest[rest.index("--") + 1 :]
            case "trap":
                self._trap(rest, state)
            case ".":
                state.forget(["RET"] if rest == [CONFMODULE] else None)
                return None
            case "eval" | None:
                state.forget(None)
                return None
            case _ if name.startswith("db_"):
                state.forget(["RET"])
                return None
            case _:
                return True if name in _SUCCEED else None
        return True

    def _declare(self, words: list[str | None], state: State) -> None:
        for word in words:
            if word is None:
                state.forget(None)
                continue
            variable, equals, value = word.partition("=")
            if equals:
                state.variables[variable] = value
            elif variable not in state.variables:
                state.variables[variable] = None

    def _trap(self, words: list[str | None], state: State) -> None:
        if not words or words[0] in ("-", ""):
            return
        if words[0] is not None and len(words) > 1:
            self.run(parse_shell(words[0]), state.copy())

    def _found(self, words: list[str | None]) -> bool | None:
        names = [word for word in words if word is None or not word.startswith("-")]
        if len(names) != 1 or names[0] is None:
            return None
        return find_program(self._tree, names[0]) is not None

    def _known_account(self, words: list[str | None]) -> bool | None:
        if len(words) != 2 or words[0] not in ("passwd", "group") or not words[1]:  # noqa: PLR2004 - database, key
            return None
        text = self._tree.text(f"etc/{words[0]}")
        if text is None:
            return None
        lines = (line.split(":") for line in text.splitlines())
        return any(words[1] in (fields[0], fields[2] if len(fields) > 2 else "") for fields in lines)  # noqa: PLR2004

    def _overridden(self, words: list[str | None]) -> bool | None:
        if len(words) != 2 or words[0] != "--list" or words[1] is None:  # noqa: PLR2004 - option, path
            return None
        text = self._tree.text("var/lib/dpkg/statoverride")
        return None if text is None else any(line.split()[3:] == [words[1]] for line in text.splitlines())

    def _diverter(self, path: str) -> str | None:
        """Who diverted ``path``; empty for nobody. Source: dpkg-divert(1), FILES."""
        lines = (self._tree.text("var/lib/dpkg/diversions") or "").splitlines()
        found = (lines[at + 2] for at in range(0, len(lines) - 2, 3) if lines[at] == path)
        return next(("LOCAL" if who == ":" else who for who in found), "")

    def _writes(self, redirects: Sequence[Redirect], state: State) -> tuple[str | None, ...]:
        writes: list[str | None] = []
        for redirect in redirects:
            target = self._one(redirect.target, state)
            if redirect.operator in ("<", "<<", "<&") or target in _QUIET:
                continue
            if redirect.operator == ">&" and target is not None and (target.isdigit() or target == "-"):
                continue
            writes.append(target)
        return tuple(writes)

    def _reach(self, reached: Reached) -> None:
        self.reached[reached] = None

    # --- words -------------------------------------------------------------------------------

    def _fields(self, words: Sequence[Word], state: State) -> list[str | None]:
        fields: list[str | None] = []
        for word in words:
            if word in _ARGUMENTS:
                fields.extend([None] if state.arguments is None else state.arguments)
                continue
            value = self._one(word, state)
            if value is None or _is_pattern(word):
                fields.append(None)
            elif any(isinstance(part, Parameter | Substitution) and not part.quoted for part in word):
                fields.extend(value.split() if "IFS" not in state.variables else [None])
            else:
                fields.append(value)
        return fields

    def _one(self, word: Word, state: State) -> str | None:
        """The word as one string, not split; None where a part of it is not known."""
        pieces = [self._piece(part, state) for part in word]
        known = [piece for piece in pieces if piece is not None]
        return "".join(known) if len(known) == len(pieces) else None

    def _piece(self, part: Literal | Parameter | Substitution | Arithmetic, state: State) -> str | None:
        match part:
            case Literal(text):
                return text
            case Arithmetic(word):
                self._one(word, state)
                return None
            case Substitution(script):
                return self._output(script, state)
            case Parameter():
                return self._parameter(part, state)
            case _:
                assert_never(part)

    def _output(self, script: Script, state: State) -> str | None:
        inside = state.copy()
        self.run(script, inside)
        if len(script) != 1 or len(script[0].links) != 1 or len(script[0].links[0][1].commands) != 1:
            return None
        command = script[0].links[0][1].commands[0]
        if not isinstance(command, Simple) or any(item.operator != ">" for item in command.redirects):
            return None
        match self._fields(command.words, state.copy()):
            case ["command", "-v", str(name)] | ["which", str(name)]:
                return find_program(self._tree, name) or ""
            case ["dpkg-divert", "--listpackage", str(path)]:
                return self._diverter(path)
            case ["echo", *words] if None not in words and words[:1] != ["-n"] and not command.redirects:
                return " ".join(word for word in words if word is not None)
            case _:
                return None

    def _parameter(self, part: Parameter, state: State) -> str | None:
        word = self._one(part.word, state) if part.word else ""
        value = self._value(part.name, state)
        if value is None or word is None:
            return None
        match part.operator:
            case "" | ":?" | "?":
                return value
            case "length":
                return str(len(value))
            case ":-":
                return value or word
            case ":=":
                state.variables[part.name] = value or word
                return value or word
            case ":+":
                return word if value else ""
            case "-" | "=" | "+":
                return None  # tells an empty variable from none, which is not kept here
            case operator:
                return _trimmed(value, word, operator)

    def _value(self, name: str, state: State) -> str | None:
        arguments = state.arguments
        if name in ("@", "*"):
            if arguments is None or None in arguments:
                return None
            return " ".join(argument for argument in arguments if argument is not None)
        if name == "#":
            return None if arguments is None else str(len(arguments))
        if name.isdigit():
            if name == "0" or arguments is None:
                return None
            return arguments[int(name) - 1] if int(name) <= len(arguments) else ""
        return state.variables.get(name)


def find_program(tree: Tree, name: str) -> str | None:
    """The absolute path of the program ``name`` in the image."""
    places = [name.lstrip("/")] if name.startswith("/") else [f"{folder}/{name}" for folder in _FOLDERS]
    for place in places:
        entry = tree.entry(place, follow=True)
        if entry is not None and entry.kind is Kind.FILE and entry.mode & 0o111:
            return f"/{place}"
    return None


def _one_line(text: str) -> str:
    """A command's text with continued lines joined."""
    return re.sub(r"\s*\\\n\s*", " ", text).strip()


def _is_pattern(word: Word) -> bool:
    return any(
        isinstance(part, Literal) and not part.quoted and re.search(r"[*?]|\[.+\]", part.text) is not None
        for part in word
    )


def _trimmed(value: str, pattern: str, operator: str) -> str:
    """``value`` without what ``pattern`` fits at its start (``#``) or end (``%``); doubled: the longest."""
    cuts = range(len(value) + 1)
    fits = re.compile(fnmatch.translate(pattern))
    if operator.startswith("#"):
        found = [cut for cut in cuts if fits.match(value[:cut])]
        return value[(max if operator == "##" else min)(found) :] if found else value
    found = [cut for cut in cuts if fits.match(value[cut:])]
    return value[: (min if operator == "%%" else max)(found)] if found else value
