"""What is known at one point of a script's run, and what a loop could make unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sallyport.patch.shell_tree import Chain, Command, For, Literal, Pipeline, Script, Simple, commands_of


class State:
    """What is known at one point of a run; an absent or None variable is unknown."""

    __slots__ = ("alive", "arguments", "functions", "variables")

    def __init__(
        self, variables: dict[str, str | None], arguments: list[str | None] | None, functions: dict[str, Command]
    ) -> None:
        self.variables, self.arguments, self.functions = variables, arguments, functions
        self.alive = True

    def copy(self) -> State:
        copy = State(dict(self.variables), self.arguments, dict(self.functions))
        copy.alive = self.alive
        return copy

    def become(self, others: Sequence[State]) -> None:
        """Know only what all of ``others`` that are alive agree on."""
        living = [other for other in others if other.alive]
        self.alive = bool(living)
        if not living:
            return
        first, *rest = living
        self.variables = {
            name: value
            for name, value in first.variables.items()
            if all(name in other.variables and other.variables[name] == value for other in rest)
        }
        self.functions = {name: body for other in living for name, body in other.functions.items()}
        self.arguments = first.arguments if all(other.arguments == first.arguments for other in rest) else None

    def forget(self, names: Iterable[str] | None) -> None:
        """Know these variables no longer; None: any."""
        if names is None:
            self.variables.clear()
            return
        for name in names:
            self.variables[name] = None


def assigned_names(script: Script, functions: Mapping[str, Command]) -> set[str] | None:
    """The variables that ``script`` could set; None: any."""
    names: set[str] = {"RET"}
    for command in commands_of((*script, *_bodies(functions))):
        if isinstance(command, For):
            names.add(command.name)
        if not isinstance(command, Simple):
            continue
        names.update(name for name, _ in command.assignments)
        literals = [word[0].text if len(word) == 1 and isinstance(word[0], Literal) else "" for word in command.words]
        if literals and literals[0] in ("eval", ".", ""):
            return None
        if literals and literals[0] in ("read", "local", "export", "readonly", "unset", "getopts"):
            for word in command.words[1:]:
                first = word[0] if word else None
                if not isinstance(first, Literal):
                    return None
                names.add(first.text.partition("=")[0])
    return names


def _bodies(functions: Mapping[str, Command]) -> Script:
    return tuple(Chain((("", Pipeline((body,), negated=False)),)) for body in functions.values())


def leaves_loop(script: Script) -> bool:
    """Whether a loop's body can break off."""
    words = (command.words for command in commands_of(script) if isinstance(command, Simple) and command.words)
    return any(word[0] in ((Literal("break", quoted=False),), (Literal("continue", quoted=False),)) for word in words)
