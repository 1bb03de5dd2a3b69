"""The words stay true: reference pages are what the code says, links lead somewhere, command lines parse."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import shlex
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest
from ruamel.yaml import YAML

from sallyport import errors
from sallyport.advisories import Means
from sallyport.catalog import Bill, Distribution, Package
from sallyport.config import Config, schema
from sallyport.errors import SallyportError
from sallyport.ledger import Ledger
from sallyport.match import scan
from sallyport.oci import Digest, Platform

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
MEND = "the code has changed: run `python docs/generate.py` and commit what it writes"


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


generate: Any = load("sallyport_docs_generate", ROOT / "docs" / "generate.py")
VERBS = generate.verbs()


def words() -> Iterator[Path]:
    """Every page that people read."""
    yield from sorted(ROOT.glob("*.md"))
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted((ROOT / "requirements").glob("*.md"))


PAGES = list(words())


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(path: Path) -> str:
    """A page without its code blocks."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return "\n".join(line for line in text.splitlines() if not line.startswith("    "))


# --- the reference ------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == generate.PAGES[name](), MEND


def test_every_verb_and_every_option_stands_in_the_reference() -> None:
    text = (REFERENCE / "cli.md").read_text(encoding="utf-8")
    assert VERBS
    for verb in VERBS:
        section = text.partition(f"\n## sallyport {verb.name}\n")[2].partition("\n## ")[0]
        assert section, f"{verb.name} is missing"
        for word in verb.words:
            assert f"`{word}`" in section, f"{word} of {verb.name} is missing"


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_the_help_of_a_verb_has_an_example_that_parses_and_its_exit_codes(verb: Any) -> None:
    example, codes = generate.example_of(verb.help), generate.codes_of(verb.help)
    assert example, "the help lacks 'Example:'"
    assert example.startswith(f"sallyport {verb.name}")
    assert parses(example) == ""
    assert codes, "the help lacks 'Exit codes:'"
    known = generate.exit_codes()
    assert {int(code) for code in re.findall(r"(?:^|, )(\d+) ", codes)} <= set(known)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_option_says_what_it_is_for(verb: Any) -> None:
    for parameter in (*verb.arguments, *verb.options):
        assert parameter.help, f"{verb.name} says nothing about {parameter.name}"


def test_every_setting_stands_in_the_reference_with_its_meaning() -> None:
    text = (REFERENCE / "configuration.md").read_text(encoding="utf-8")
    published = schema()["$defs"]
    names = {
        name for section in published.values() for name in section.get("properties", {}) if section["type"] == "object"
    }
    listed = {re.sub(r".*\.", "", path) for path in re.findall(r"^\| `([a-z0-9.\[\]-]+)` \|", text, re.MULTILINE)}
    assert names <= listed
    for setting in generate.settings():
        assert setting.meaning, f"describe {setting.path} beside its type in src/sallyport/config/"


def test_every_error_has_a_sentence_and_stands_in_the_reference() -> None:
    text = (REFERENCE / "errors.md").read_text(encoding="utf-8")
    classes = generate.error_classes()
    own = [item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, SallyportError)]
    assert set(own) <= set(classes)
    for cls in classes:
        assert cls.__doc__, f"{cls.__name__} has no docstring"
        assert f"`{cls.__name__}`" in text
        assert cls.exit_code in generate.exit_codes()


def test_every_kind_of_fact_that_the_ledger_keeps_is_described() -> None:
    source = inspect.getsource(Ledger)
    kinds = set(re.findall(r'_(?:put|one|all)\("([a-z.]+)"', source))
    assert kinds == {kind.strip("`") for kind, _, _ in generate.ledger_facts()}


# --- links --------------------------------------------------------------------------------


def links(path: Path) -> Iterator[str]:
    yield from re.findall(r"\]\(([^)\s]+)\)", prose(path))


def anchors(path: Path) -> set[str]:
    """As GitHub names them."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower()
        found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if "://" in link or link.startswith("mailto:"):
            continue
        path, _, anchor = link.partition("#")
        target = page if not path else (page.parent / path).resolve()
        assert target.exists(), f"{link} leads nowhere"
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no such heading"


def test_every_page_is_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        waiting += [(page.parent / link.partition("#")[0]).resolve() for link in links(page) if "://" not in link]
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} <= seen


# --- command lines ------------------------------------------------------------------------


def parses(line: str, *, whole: bool = True) -> str:
    """Why the command line does not parse; empty where it does. Nothing is run. A mention need not be ``whole``."""
    found = shlex.split(line, comments=True)[1:]
    for number, word in enumerate(found):
        if word in {"&&", "||", "|", ";", ">", "2>", "&"}:
            found = found[:number]
            break
    command = generate.program()
    while hasattr(command, "commands") and found and not found[0].startswith("-"):
        if found[0] not in command.commands:
            return f"there is no verb {found[0]!r}"
        command = command.commands[found.pop(0)]
    if hasattr(command, "commands"):
        options = {word for option in command.params for word in option.opts} | {"--help"}
        return "".join(f"no option {word}" for word in found if word not in options)
    if found == ["--help"]:
        return ""
    try:
        command.make_context("sallyport", found)
    except Exception as error:
        if type(error).__name__ == "MissingParameter" and not whole:
            return ""
        if type(error).__module__.startswith(("typer", "click")):
            return str(error) or type(error).__name__
        raise
    return ""


def command_lines(path: Path) -> Iterator[str]:
    """What stands in code blocks."""
    text = path.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```(?:bash|sh|ini)$\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    indented = "\n".join(line.strip() if line.startswith("    ") else "" for line in text.splitlines())
    for block in (blocks, indented):
        joined = re.sub(r"\\\n\s*", " ", block)
        yield from re.findall(
            r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:ExecStart=)?(?:\S*/)?(sallyport(?: .*)?)$", joined, re.MULTILINE
        )


def mentions(path: Path) -> Iterator[str]:
    """Commands in running text, often by their verb alone."""
    yield from (" ".join(line.split()) for line in re.findall(r"`(sallyport [^`<]+)`", prose(path)))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_command_lines_parse(page: Path) -> None:
    for line in command_lines(page):
        # "sallyport patch a=1 b=2" is what a patched image's history says.
        usage = "[OPTIONS]" in line or re.match(r"sallyport patch \S+=", line)
        wrong = "" if usage else parses(line)
        assert not wrong, f"{line}: {wrong}"
    for line in mentions(page):
        assert parses(line, whole=False) == "", line


def test_a_wrong_command_line_would_be_seen() -> None:
    assert parses("sallyport run --config outside") == ""
    assert parses("sallyport walk")
    assert parses("sallyport run --backwards")
    assert parses("sallyport key root")
    assert parses("sallyport receive one two")
    assert parses("sallyport status --events many")


def test_commands_that_errors_and_comments_recommend_parse() -> None:
    for path in sorted((ROOT / "src").rglob("*")):
        if path.suffix in {".py", ".yaml"}:
            for line in re.findall(r"(?:[`']|: )(sallyport [a-z][a-z -]*)[`'\"]", path.read_text()):
                assert parses(line, whole=False) == "", f"{path.relative_to(ROOT)}: {line}"


# --- snippets -----------------------------------------------------------------------------


def snippets(kind: str) -> Iterator[Any]:
    for page in PAGES:
        found = re.findall(rf"^```{kind}$\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
        yield from (
            pytest.param(text, id=f"{page.relative_to(ROOT)}-{number}") for number, text in enumerate(found, start=1)
        )


@pytest.mark.parametrize("text", list(snippets("yaml")))
def test_settings_on_a_page_are_valid(text: str) -> None:
    found = YAML(typ="safe").load(text)
    if "apiVersion" in found:
        return
    waivers = found.get("policy", {}).get("waivers", ())
    assert all(isinstance(waiver["expires"], date) for waiver in waivers)
    # A part of a file: what the file must have besides is added, nothing is overwritten.
    whole = {"side": "outside", "destination": "plant-3"} | found
    msgspec.convert(whole, Config, strict=True)


@pytest.mark.parametrize("text", list(snippets("json")))
def test_json_on_a_page_is_json(text: str) -> None:
    msgspec.json.decode(text)


def test_the_advisory_source_of_the_how_to_works(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "howto" / "add-an-advisory-source.md").read_text(encoding="utf-8")
    code = re.search(r"^```python$\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    plant = re.search(r"^    (as of .*?)\n\n", page, re.MULTILINE | re.DOTALL)
    assert code is not None
    assert plant is not None
    (tmp_path / "plant_advisories.py").write_text(code[1])
    (tmp_path / "plant.txt").write_text(re.sub(r"^ +", "", plant[1], flags=re.MULTILINE) + "\nnonsense\n")
    source = load("plant_advisories", tmp_path / "plant_advisories.py").make(Means("plant.txt", tmp_path))
    image = Digest.of(b"an image")
    bill = Bill(
        image,
        Platform("linux", "amd64"),
        Distribution("debian", "12", "bookworm", "Debian 12"),
        tuple(
            Package("deb", name, version, "amd64", of, version, image, "var/lib/dpkg/status")
            for name, version, of in (
                ("libssl3", "3.0.20-1~deb12u2", "openssl"),
                ("nginx", "1.22.1-9+deb12u9", "nginx"),
                ("zlib1g", "1:1.2.13.dfsg-1", "zlib"),
            )
        ),
    )
    feed = source.feed((bill,))
    found = scan(bill, (feed,), now=feed.as_of, side="outside")
    assert [(finding.id, finding.package.name, finding.fixed) for finding in found.findings] == [
        ("PLANT-1", "nginx", "1.22.1-9+deb12u12"),
        ("PLANT-2", "libssl3", None),
    ]
    assert [one.source for one in found.sources] == ["plantlist"]
    assert len(feed.problems) == 1


# --- what must not stand anywhere ---------------------------------------------------------

# In pieces, so that this file holds none of them. Names of registries of packages: the address of a mirror is the
# site's own to say, and a build must not ask a host that nobody named.
INDEXES = [
    ".".join(parts)
    for parts in (
        ("deb", "debian", "org"),
        ("ftp", "debian", "org"),
        ("security", "debian", "org"),
        ("archive", "ubuntu", "com"),
        ("security", "ubuntu", "com"),
        ("pypi", "org"),
        ("pypi", "python", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("rubygems", "org"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("sum", "golang", "org"),
        ("repo1", "maven", "org"),
        ("repo", "maven", "apache", "org"),
        ("dl-cdn", "alpinelinux", "org"),
        ("conda", "anaconda", "org"),
    )
]
SKIPPED = {".git", ".venv", ".demo", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


def repository_files() -> Iterator[Path]:
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.endswith(".egg-info")]
        yield from (Path(folder) / name for name in files if not name.startswith(".coverage"))


def test_no_host_of_a_package_index_is_named_anywhere() -> None:
    pattern = re.compile(rb"\b(?:" + b"|".join(re.escape(name).encode() for name in INDEXES) + rb")\b")
    for path in repository_files():
        found = [name.decode() for name in pattern.findall(path.read_bytes())]
        assert found == [], f"{path.relative_to(ROOT)} names it"
