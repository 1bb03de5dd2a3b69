"""Writes docs/reference from the code: verbs, settings, errors, exit codes, journal.

Run it after a change of any of them: ``python docs/generate.py``. ``tests/test_docs.py`` makes the same pages in
memory and compares.
"""

# ruff: noqa: INP001 - a script beside the pages that it writes, and no package

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import typer

import sallyport
from sallyport import config, errors
from sallyport.cli.main import build_app

HERE = Path(__file__).parent
SOURCE = Path(sallyport.__file__).parent
WIDTH = 120  # of a line of prose
GENERATED = "<!-- Written by docs/generate.py from the code. Change the code, then run: python docs/generate.py -->"


CLI = """\
Every verb also takes `--help`. Data goes to stdout, talk to stderr: progress is drawn only on a terminal, and
`NO_COLOR` is honoured. `SALLYPORT_CONFIG` names the configuration file for all verbs, `SALLYPORT_KEY_PASSPHRASE`
holds the passphrase of key files that have one, and `SALLYPORT_DEBUG=1` shows the traceback of a defect. What the
exit codes mean: [exit-codes.md](exit-codes.md)."""
CONFIGURATION = """\
`sallyport.yaml` is YAML in UTF-8. `sallyport init` writes a commented one for either side. Paths are relative to the
file. A setting that is not listed here is an error, and so is a value of another type; the message names the file,
the line and the setting. Editors can check it while you write: its JSON schema is
[sallyport.schema.json](sallyport.schema.json)."""
ERRORS = """\
All errors form one tree. Each has a message, which says what is wrong and where, and a mend, which says what to do.
The command line prints both on stderr, as `error:` and `mend:`, and ends with the exit code of the family
([exit-codes.md](exit-codes.md)). With `--json` the same stands on stdout as an object with `error` (the name below),
`message`, `mend` and `exit-code`."""
STATE = """\
Both stand in `state.db` in the store's folder, a SQLite database. The journal says what happened, the facts say what
is so now."""
CHAIN = """\
Lines are only added. A line has `sequence`, `at` (UTC, whole seconds), `verb`, `subject`, `detail` (an object of
texts), `previous` and `digest`. `digest` is the SHA-256 over the canonical JSON (keys sorted, no blanks) of the six
others; `previous` is the digest of the line before, and `sha256:` with 64 zeros for the first. So a line that was
changed, moved or taken out shows. The newest digest is kept beside the lines, so that lines cut off at the end show
too. Somebody who can rewrite the whole file can rewrite both; a report that was carried away before then names a
digest that the file no longer has."""
LOOK = """\
`sallyport verify --store` and `sallyport audit` check the chain. `sallyport status --events 50` shows the last lines,
and with `--json` their details."""


# --- verbs --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb or sub-verb of the command line."""

    name: str  # "key root"
    help: str
    arguments: tuple[Any, ...]
    options: tuple[Any, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """What may stand on its line as an option."""
        return tuple(word for option in self.options for word in (*option.opts, *option.secondary_opts))


def program() -> Any:
    """The command line as the parser sees it."""
    app = build_app()
    assert isinstance(app, typer.Typer)
    return typer.main.get_command(app)


def verbs() -> tuple[Verb, ...]:
    """Every verb in the order of the pipeline; a group's own verbs stand by their two words."""
    return tuple(_verbs(program(), ""))


def _verbs(group: Any, before: str) -> Iterator[Verb]:
    for name, command in group.commands.items():
        full = f"{before}{name}"
        if hasattr(command, "commands"):
            yield from _verbs(command, f"{full} ")
        else:
            parts: dict[str, list[Any]] = {"argument": [], "option": []}
            for parameter in command.params:
                parts[parameter.param_type_name].append(parameter)
            yield Verb(full, command.help or "", tuple(parts["argument"]), tuple(parts["option"]))


def cli_page() -> str:
    """docs/reference/cli.md."""
    root = program()
    lines = [
        "# The command line",
        GENERATED,
        _paragraphs(_without_codes(root.help)),
        CLI,
        _rows(
            ("verb", "what it does"),
            [(f"[`{verb.name}`](#sallyport-{verb.name.replace(' ', '-')})", _first(verb.help)) for verb in verbs()],
        ),
        "## sallyport",
        _rows(
            ("option", "default", "meaning"),
            [_option(option) for option in root.params],
        ),
    ]
    for verb in verbs():
        usage = " ".join([f"sallyport {verb.name}", *_usage(verb)])
        lines += [f"## sallyport {verb.name}", f"    {usage}", _paragraphs(verb.help)]
        rows = [_argument(argument) for argument in verb.arguments] + [_option(option) for option in verb.options]
        lines.append(_rows(("option", "default", "meaning"), rows))
    return _page(lines)


def _usage(verb: Verb) -> Iterator[str]:
    yield "[OPTIONS]"
    for argument in verb.arguments:
        name = argument.name.upper()
        yield name if argument.required else f"[{name}]"


def _argument(argument: Any) -> tuple[str, str, str]:
    return f"`{argument.name.upper()}`", _default(argument), str(argument.help or "")


def _option(option: Any) -> tuple[str, str, str]:
    names = ", ".join(f"`{name}`" for name in sorted((*option.opts, *option.secondary_opts), key=len, reverse=True))
    meaning = str(option.help or "")
    if option.envvar:
        meaning += f" Or set `{option.envvar}`."
    return names, _default(option), meaning


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    if getattr(parameter, "is_flag", False):
        return "off"
    value = parameter.default
    if value is None or value == "" or callable(value):
        return ""
    return f"`{getattr(value, 'value', value)}`"


def example_of(text: str) -> str:
    """The example in a verb's help."""
    found = re.search(r"^Example: (.+)$", text, re.MULTILINE)
    return found[1].strip() if found else ""


def codes_of(text: str) -> str:
    """The exit codes in a verb's help, as one line."""
    found = re.search(r"^Exit codes: (.+?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else ""


def _without_codes(text: str) -> str:
    return text.partition("\n\nExit codes:")[0]


def _first(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.partition("\n\n")[0].split()))


def _paragraphs(text: str) -> str:
    """Help as Markdown: the example as code."""
    done = []
    for paragraph in text.strip().split("\n\n"):
        line = " ".join(paragraph.split())
        example = line.removeprefix("Example: ")
        done.append(line if example == line else f"Example:\n\n    {example}")
    return "\n\n".join(done)


# --- settings -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of the file, by its full name."""

    path: str  # "outside.mirror[].from"
    type: str
    default: str
    meaning: str


def settings() -> tuple[Setting, ...]:
    """Every setting in the order of the file."""
    return tuple(_settings(msgspec.inspect.type_info(config.Config), ""))


def _settings(section: Any, before: str) -> Iterator[Setting]:
    for field in section.fields:
        described, kind = _unwrap(field.type)
        path = f"{before}{field.encode_name}"
        inner = _section(kind)
        yield Setting(path, _type(kind), _value(field), described)
        if inner is not None:
            yield from _settings(inner, f"{path}{'[]' if isinstance(kind, msgspec.inspect.VarTupleType) else ''}.")


def _unwrap(kind: Any) -> tuple[str, Any]:
    described = ""
    while isinstance(kind, msgspec.inspect.Metadata):
        described = described or str((kind.extra_json_schema or {}).get("description", ""))
        kind = kind.type
    return described, kind


def _section(kind: Any) -> Any:
    """The section that a setting holds, or a list of which it is; None where it holds plain values."""
    kind = _unwrap(kind)[1]
    if isinstance(kind, msgspec.inspect.VarTupleType):
        return _section(kind.item_type)
    if isinstance(kind, msgspec.inspect.UnionType):
        return next((inner for member in kind.types if (inner := _section(member)) is not None), None)
    return kind if isinstance(kind, msgspec.inspect.StructType) else None


def _type(kind: Any) -> str:
    kind = _unwrap(kind)[1]
    of = msgspec.inspect
    match kind:
        case of.VarTupleType():
            return f"list of {_type(kind.item_type)}s" if _section(kind) is None else "list of sections"
        case of.UnionType():
            return " or ".join(
                _type(member) for member in kind.types if not isinstance(_unwrap(member)[1], of.NoneType)
            )
        case of.StructType():
            return "section"
        case of.LiteralType():
            return ", ".join(str(value) for value in kind.values)
        case of.EnumType():
            return ", ".join(str(member.value) for member in kind.cls)
        case of.IntType():
            return "number" if kind.ge is None else f"number from {kind.ge}"
        case of.BoolType():
            return "true, false"
        case of.DateType():
            return "date"
        case of.StrType():
            return "text"
    raise AssertionError(kind)


def _value(field: Any) -> str:
    if field.required:
        return "required"
    value = field.default
    if value is None or value in ((), "") or isinstance(value, config.Section):
        return ""
    if isinstance(value, tuple):
        return f"`[{', '.join(value)}]`"
    return f"`{getattr(value, 'value', value)}`"


def configuration_page() -> str:
    """docs/reference/configuration.md."""
    lines = [
        "# The configuration file",
        GENERATED,
        CONFIGURATION,
        "`[]` stands for each item of a list. An empty default means: nothing, or what the meaning says.",
    ]
    groups: dict[str, list[Setting]] = {}
    titles = {"": "The whole file"}
    for setting in settings():
        section, _, _ = setting.path.rpartition(".")
        groups.setdefault(section, []).append(setting)
    for section, members in groups.items():
        lines.append(f"## {titles.get(section, f'`{section}`')}")
        if section:
            lines.append(_sections()[section])
        lines.append(
            _rows(
                ("setting", "type", "default", "meaning"),
                [(f"`{one.path}`", one.type, one.default, one.meaning) for one in members],
            )
        )
    lines += [
        "## Values",
        _rows(
            ("kind", "how it is written"),
            [
                ("a span of time (`max-age`)", _description(config.Duration)),
                ("an address to listen on (`listen`)", _description(config.Address)),
                ("a date (`expires`)", "2027-01-31"),
            ],
        ),
        "## Environment",
        _rows(
            ("variable", "what it does"),
            [
                ("`SALLYPORT_CONFIG`", "the configuration file, where `--config` does not name one"),
                ("`SALLYPORT_KEY_PASSPHRASE`", "the passphrase of key files that have one"),
                ("`SALLYPORT_APT_MIRROR`", "a Debian mirror, where `outside.archive.mirror` is empty"),
                ("`SALLYPORT_APT_SECURITY_MIRROR`", "its security archive, where `outside.archive.security` is empty"),
                (
                    "`http_proxy`, `https_proxy`, `no_proxy`",
                    "proxies; for the archive, apt's own where none of them is set",
                ),
                ("`SALLYPORT_DEBUG`", "shows the traceback of a defect"),
                ("`NO_COLOR`, `COLUMNS`", "no colour; the width of tables in a pipe, 160 when unset"),
            ],
        ),
    ]
    return _page(lines)


def _sections() -> Mapping[str, str]:
    """The docstring of each section by its path."""

    def walk(section: Any, before: str) -> Iterator[tuple[str, str]]:
        for field in section.fields:
            kind = _unwrap(field.type)[1]
            inner = _section(kind)
            if inner is not None:
                path = f"{before}{field.encode_name}{'[]' if isinstance(kind, msgspec.inspect.VarTupleType) else ''}"
                yield path, str(inner.cls.__doc__)
                yield from walk(inner, f"{path}.")

    return dict(walk(msgspec.inspect.type_info(config.Config), ""))


def _description(annotated: Any) -> str:
    return str(annotated.__metadata__[0].description)


# --- errors -------------------------------------------------------------------------------


def error_classes() -> tuple[type[errors.SallyportError], ...]:
    """Every error of the package, wherever it stands: the tree in depth, siblings by exit code and file."""
    for module in pkgutil.walk_packages(sallyport.__path__, "sallyport."):
        # Alembic runs that file itself, with a context that is there only then.
        if "migrations" not in module.name:
            importlib.import_module(module.name)
    return tuple(_below(errors.SallyportError))


def _below(root: type[errors.SallyportError]) -> Iterator[type[errors.SallyportError]]:
    yield root
    # Tests make subclasses too; these are nobody's business.
    own = [child for child in root.__subclasses__() if child.__module__.startswith("sallyport.")]
    for child in sorted(own, key=lambda cls: (cls.exit_code, cls.__module__ != "sallyport.errors", _place(cls))):
        yield from _below(child)


def _place(cls: type) -> tuple[str, int]:
    tree = ast.parse(Path(str(sys.modules[cls.__module__].__file__)).read_text(encoding="utf-8"))
    line = next((node.lineno for node in tree.body if isinstance(node, ast.ClassDef) and node.name == cls.__name__), 0)
    return cls.__module__, line


def errors_page() -> str:
    """docs/reference/errors.md."""
    rows = []
    for cls in error_classes():
        depth = len([base for base in cls.__mro__ if issubclass(base, errors.SallyportError)]) - 1
        indent = "&nbsp;&nbsp;" * depth
        room = cls.__module__.removeprefix("sallyport.").partition(".")[0]
        rows.append(
            (
                f"{indent}`{cls.__name__}`",
                str(cls.exit_code),
                "yes" if cls.retryable else "no",
                f"`{room}`",
                _first(cls.__doc__ or ""),
            )
        )
    return _page(
        [
            "# Errors",
            GENERATED,
            ERRORS,
            "*Again* says whether the same command may succeed if it is run again with nothing else changed.",
            _rows(("error", "exit code", "again", "room", "when"), rows),
        ]
    )


# --- exit codes ---------------------------------------------------------------------------


def exit_codes() -> Mapping[int, str]:
    """Every exit code with its meaning, as the docstring of errors.py says."""
    table = re.search(r"^====.*?\n(.+?)^====", errors.__doc__ or "", re.MULTILINE | re.DOTALL)
    assert table is not None
    found = re.findall(r"^(\d+) +(.+)$", table[1], re.MULTILINE)
    return {int(code): meaning for code, meaning in found}


def exit_codes_page() -> str:
    """docs/reference/exit-codes.md."""
    families = {
        code: [errors.SallyportError] if code == errors.SallyportError.exit_code else [] for code in exit_codes()
    }
    for cls in error_classes():
        if cls.__base__ is errors.SallyportError:
            families[cls.exit_code].append(cls)
    return _page(
        [
            "# Exit codes",
            GENERATED,
            "A script may rely on these. Which error has which: [errors.md](errors.md).",
            _rows(
                ("code", "meaning", "errors, with those below them"),
                [
                    (str(code), meaning, ", ".join(f"`{cls.__name__}`" for cls in families[code]))
                    for code, meaning in exit_codes().items()
                ],
            ),
            "What each verb says about its own:",
            _rows(("verb", "exit codes"), [(f"`{verb.name}`", codes_of(verb.help)) for verb in verbs()]),
        ]
    )


# --- the journal --------------------------------------------------------------------------

JOURNAL: Mapping[str, tuple[str, str, str]] = {
    "founded": ("outside", "the destination", "`key root` wrote its first root; `root` is the fingerprint"),
    "trusted": ("inside", "the destination", "`key trust` pinned that root; `root` is the fingerprint"),
    "mirrored": ("outside", "upstream's name with digest", "a tag that was new or had moved was copied"),
    "dropped": ("outside", "repository:tag", "nothing selects the tag any more; its releases stay"),
    "expired": ("both", "repository:tag@digest", "`gc --retention` let the tag go; `rule` is its place in the file"),
    "scanned": (
        "outside",
        "repository:tag@digest",
        "an image was scanned, and something differs from its last scan, if only a source's date",
    ),
    "patched": ("outside", "repository:tag@digest", "a patched image was made; the digest is the patched one's"),
    "judged": ("both", "repository:tag@digest", "the gate gave another verdict than before"),
    "released": ("outside", "repository:tag@digest", "an image was signed and got its immutable tag"),
    "bundled": ("outside", "the bundle's name", "a bundle was sealed on the medium"),
    "imported": ("inside", "repository:tag@digest", "an image was let in under its immutable tag, and signed"),
    "noted": (
        "inside",
        "the bundle's name",
        "something that a person should know: about clocks, or a receipt that the medium would not take",
    ),
    "received": ("inside", "the bundle's name", "a bundle was received to the end; the receipt exists"),
    "delivered": ("both", "repository:tag@digest", "a destination got an image that was not there"),
    "admitted": ("outside", "upstream's name with digest", "the gateway fetched an image, and it passed"),
    "denied": ("outside", "upstream's name with digest", "the gateway fetched an image, and it did not pass"),
    "quarantined": ("both", "the blob's digest", "reading a blob again found it damaged; its bytes were moved away"),
    "uploaded": ("both", "repository@digest", "a client sent a blob to the registry"),
    "mounted": ("both", "repository@digest", "a client took a blob over from another repository"),
    "pushed": ("both", "repository@digest", "a client pushed a manifest"),
    "tagged": ("both", "repository:tag@digest", "a client set a tag; `before` is what it named"),
    "deleted": ("both", "repository:tag, repository@digest", "a client deleted a tag, a manifest or a blob"),
    "promoted": ("both", "repository:tag", "a channel was moved to that tag"),
    "pinned": ("inside", "the commit", "digests were committed to Git"),
}
"""What the code cannot say: side, subject and meaning. The verbs and the details are read from the code."""


def journal_verbs() -> Mapping[str, tuple[str, ...]]:
    """Every verb that the code writes to the journal, with the names of its details."""
    found: dict[str, tuple[str, ...]] = {}
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCE.rglob("*.py"))}
    functions = {
        node.name: node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }
    for tree in trees.values():
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                if isinstance(call.func, ast.Attribute) and call.func.attr == "append" and len(call.args) == 3:  # noqa: PLR2004
                    verb, _, detail = call.args
                    assert isinstance(verb, ast.Constant)
                    found[str(verb.value)] = tuple(_keys(detail, function, functions))
    # What clients of the registry do is told by one call for all of it, in serving.py.
    clients = {"uploaded": (), "mounted": ("from",), "pushed": (), "tagged": ("before",), "deleted": ()}
    return found | {verb: ("by", *more) for verb, more in clients.items()}


def _keys(detail: ast.expr, function: ast.FunctionDef, functions: Mapping[str, ast.FunctionDef]) -> Iterator[str]:
    if isinstance(detail, ast.Dict):
        yield from (str(key.value) for key in detail.keys if isinstance(key, ast.Constant))
    elif isinstance(detail, ast.Name):
        for node in ast.walk(function):
            if (
                isinstance(node, ast.Assign)
                and isinstance(target := node.targets[0], ast.Name)
                and target.id == detail.id
            ):
                yield from _keys(node.value, function, functions)
    elif isinstance(detail, ast.Call) and isinstance(detail.func, ast.Attribute):
        maker = functions[detail.func.attr]
        for node in ast.walk(maker):
            if isinstance(node, ast.Return) and node.value is not None:
                yield from _keys(node.value, maker, functions)


def ledger_facts() -> Iterator[tuple[str, str, str]]:
    """The table in ledger.py's docstring: kind, key, value."""
    from sallyport import ledger

    lines = (ledger.__doc__ or "").splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("===")]
    second, third = (found.start() for found in list(re.finditer("=+", lines[rules[0]]))[1:])
    for line in lines[rules[1] + 1 : rules[2]]:
        cells = (line[:second], line[second:third], line[third:])
        kind, key, value = (re.sub(r"``([^`]+)``|:class:`([^`]+)`", r"`\1\2`", cell.strip()) for cell in cells)
        yield kind, key, value


FACTS: tuple[tuple[str, str, str, str], ...] = (
    (
        "`mirrored`",
        "`mirror`",
        "what is wanted of an upstream tag",
        "what the tag named there and here, so that one HEAD is enough",
    ),
    ("`position`", "`bundle`", "destination", "the last position that was given out; never given out twice"),
    ("`received`", "`receive`", "repository:tag@digest", "a release that came in a bundle"),
    ("`layer`", "`receive`", "layer's digest", "the content (diff_id) that the layer was proven to have"),
    ("`registry.uploaded`", "`registry`", "repository@digest", "a blob that was pushed to that repository"),
    (
        "`gateway.vetted`",
        "`serve gateway`",
        "repository and name",
        "what was admitted, and when upstream was last asked",
    ),
    ("`store.scrub`", "`serve`", "`position`", "how far the reading of every blob again has come"),
    ("`composed`", "`demo`", "`release`", "which point release the demonstration's upstream was made from"),
)
"""Facts that a room keeps for itself."""


def journal_page() -> str:
    """docs/reference/journal.md."""
    details = journal_verbs()
    assert set(details) == set(JOURNAL), f"describe in JOURNAL: {set(details) ^ set(JOURNAL)}"
    return _page(
        [
            "# The journal and the facts",
            GENERATED,
            STATE,
            "## The journal",
            CHAIN,
            LOOK,
            _rows(
                ("verb", "side", "subject", "detail", "when it is written"),
                [
                    (f"`{verb}`", side, subject, ", ".join(f"`{key}`" for key in details[verb]), meaning)
                    for verb, (side, subject, meaning) in JOURNAL.items()
                ],
            ),
            "A step that finds its work done writes nothing: a second run with nothing new adds no line.",
            "## What the steps leave for each other",
            "Each fact has a kind, a key and a value. The value is canonical JSON; reading it back is strict.",
            _rows(("kind", "key", "value"), list(ledger_facts())),
            "## What a room keeps for itself",
            _rows(("kind", "room", "key", "value"), list(FACTS)),
        ]
    )


# --- writing ------------------------------------------------------------------------------


def _rows(headers: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [headers, tuple("---" for _ in headers), *(tuple(_cell(cell) for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    """``text`` as it stands: outside of code no sign of it is Markdown's or HTML's."""
    pieces = text.replace("|", "\\|").split("`")
    pieces[::2] = [re.sub(r"([*<])", r"\\\1", piece) for piece in pieces[::2]]
    return "`".join(pieces)


def _page(parts: list[str]) -> str:
    return "\n\n".join(_wrapped(part) for part in parts if part) + "\n"


def _wrapped(part: str) -> str:
    paragraphs = part.split("\n\n")
    return "\n\n".join(
        text if text.startswith(("|", "#", "    ", "<!--")) else textwrap.fill(text, WIDTH, break_on_hyphens=False)
        for text in paragraphs
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "configuration.md": configuration_page,
    "errors.md": errors_page,
    "exit-codes.md": exit_codes_page,
    "journal.md": journal_page,
}


def pages() -> Mapping[Path, str]:
    """Every page by its path."""
    return {HERE / "reference" / name: make() for name, make in PAGES.items()}


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")
