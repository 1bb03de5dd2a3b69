"""Images of a kustomization: as kustomize builds it where it is there, otherwise by reading what it names.

What has to be fetched from elsewhere is refused: it would be looked at here and be another thing tomorrow.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import basename, dirname, join, normpath

from sallyport.discover.documents import Leaf, Map, Seq, Value, read_documents
from sallyport.discover.files import Files, text_of
from sallyport.discover.kubernetes import scan_kubernetes
from sallyport.discover.model import Finds, Found
from sallyport.engine import run_program
from sallyport.errors import SallyportError, UsageError

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_REMOTE = re.compile(r"://|^git@|^[\w-]+(?:\.[\w-]+)+[/:].*//|[?]ref=|^github\.com/")
_ADDRESS = re.compile(r"(?:git::)?[a-z+]+://|git@")
_DEPTH = 32
_TIMEOUT_S = 120.0
_OUTPUT = 64 * 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class _Image:
    """An entry of ``images:``."""

    name: str
    new_name: str
    new_tag: str
    digest: str


class _Texts(Finds):
    """Images as they are written: that is what the names of ``images:`` are compared with."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[tuple[str, str, int, bool]] = []

    def image(self, text: str, where: str, line: int, *, quiet: bool = False) -> None:
        self.images.append((text.strip(), where, line, quiet))


@dataclass(slots=True)
class _Read:
    """What is read, and what was read already."""

    files: Files
    used: set[str] = field(default_factory=set)
    elsewhere: bool = False  # it may name what lies elsewhere, so that building it might fetch


def kustomization_of(files: Files, folder: str) -> str:
    """Its file in ``folder``; empty where there is none."""
    return next((path for name in NAMES if files.has(path := normpath(join(folder, name)))), "")


def scan_kustomize(files: Files, folder: str, finds: Finds, *, built_in: Path | None = None) -> frozenset[str]:
    """The images of the kustomization in ``folder``, and the files that it is made of.

    ``built_in``: the folder on this machine, so that kustomize can build it.

    Raises:
        UsageError: something remote, something missing, or a circle.
        MalformedError, OversizeError: a file of it is broken.
    """
    read = _Read(files)
    texts = _Texts()
    _scan(read, folder, texts, _DEPTH)
    own = Finds()
    own.noted.update(texts.noted)
    for text, where, line, quiet in texts.images:
        own.image(text, where, line, quiet=quiet)
    finds.noted.update(own.noted)
    found = list(own.found)
    path = kustomization_of(files, folder)
    if read.elsewhere:
        finds.note(path, 0, "it names an address, so it is read and not built: nothing is fetched")
    built = _build(built_in, finds, path) if built_in is not None and not read.elsewhere else None
    if built is not None:
        places = {item.reference: item for item in found}
        start = Found("", path, 1)
        found = [replace(places.get(item.reference, start), reference=item.reference) for item in built]
    for item in found:
        finds.found[item] = None
    return frozenset(read.used)


def _build(folder: Path, finds: Finds, where: str) -> list[Found] | None:
    for program in (("kustomize", "build"), ("kubectl", "kustomize")):
        if shutil.which(program[0]) is None:
            continue
        try:
            ran = run_program([*program, str(folder)], timeout_s=_TIMEOUT_S, max_output=_OUTPUT)
            if ran.status == 0:
                built = Finds()
                scan_kubernetes(text_of(ran.stdout, where), f"{where}, built", built)
                return list(built.found)
            said = ran.stderr.decode("utf-8", "replace").strip().splitlines()
            finds.note(
                where, 0, f"{program[0]} cannot build it ({(said or ['no reason given'])[-1][:300]}): read without"
            )
        except SallyportError as error:
            finds.note(where, 0, f"{error.message}: read without {program[0]}")
        return None
    return None


def _scan(read: _Read, folder: str, finds: _Texts, depth: int, *, component: bool = False) -> None:
    """Add what the kustomization makes to ``finds``; a component changes what is there already, too."""
    path = kustomization_of(read.files, folder)
    if not path:
        raise UsageError(f"there is no kustomization in {folder or '.'}", f"name a folder with a {NAMES[0]}")
    if depth <= 0:
        raise UsageError(f"{path}: kustomizations go in a circle, or over {_DEPTH} deep", "take the circle out")
    read.used.add(path)
    below = finds if component else _Texts()
    images: list[_Image] = []
    for document in read_documents(text_of(read.files.read(path), path), path):
        if isinstance(document, Map):
            _scan_one(read, path, document, below, depth)
            images += _images(document)
    changed = [(_changed(text, images), where, line, quiet) for text, where, line, quiet in below.images]
    if component:
        finds.images = changed
    else:
        finds.images += changed
        finds.noted.update(below.noted)


def _scan_one(read: _Read, path: str, document: Map, finds: _Texts, depth: int) -> None:
    for key in ("resources", "bases", "crds", "patchesStrategicMerge", "components"):
        for item in document.list(key):
            if isinstance(item, Leaf) and key == "patchesStrategicMerge" and "\n" in item.text:
                scan_kubernetes(item.text, path, finds, line=item.line + 1)
            elif isinstance(item, Leaf):
                _follow(read, path, item, finds, depth, component=key == "components")
    for item in document.list("patches"):
        inline = item.leaf("patch") if isinstance(item, Map) else None
        if inline is not None:
            scan_kubernetes(inline.text, path, finds, line=inline.line + 1)
        elif isinstance(item, Map) and (named := item.leaf("path")) is not None:
            _follow(read, path, named, finds, depth)
    for key in ("generators", "transformers", "validators"):
        for item in document.list(key):
            if isinstance(item, Leaf) and "\n" not in item.text:
                target = normpath(join(dirname(path), item.text))
                here = read.files.has(target) or bool(kustomization_of(read.files, target))
                read.elsewhere = read.elsewhere or not here
    read.elsewhere = read.elsewhere or any(map(_ADDRESS.match, _texts(document)))
    for key in ("helmCharts", "generators", "transformers"):
        if key in document.items:
            finds.note(path, document.items[key].line, f"{key} is not read: build it, and look at the result")


def _texts(value: Value) -> Iterator[str]:
    """Every scalar in it."""
    for item in value.items.values() if isinstance(value, Map) else value.items if isinstance(value, Seq) else ():
        yield from _texts(item)
    if isinstance(value, Leaf):
        yield value.text


def _follow(read: _Read, path: str, leaf: Leaf, finds: _Texts, depth: int, *, component: bool = False) -> None:
    """What the kustomization ``path`` names: a file, or a folder with another one."""
    name, files = leaf.text, read.files
    target = normpath(join(dirname(path), name))
    here = f"{path}, line {leaf.line}: {name[:120]!r}"
    if _REMOTE.search(name) and not files.has(target):
        raise UsageError(
            f"{here} lies elsewhere, and nothing is fetched",
            "copy it beside the kustomization and name the copy, or build it and look at the result",
        )
    if name.startswith("/"):
        raise UsageError(f"{here} is an absolute path", "write it from the kustomization")
    if files.has(target):
        read.used.add(target)
        scan_kubernetes(text_of(files.read(target), target), target, finds)
    elif kustomization_of(files, target):
        _scan(read, target, finds, depth - 1, component=component)
    else:
        raise UsageError(f"{here} is not there", "add it, or take the line out")


def _images(document: Map) -> list[_Image]:
    return [
        _Image(item.text("name"), item.text("newName"), item.text("newTag"), item.text("digest"))
        for item in document.list("images")
        if isinstance(item, Map) and item.text("name")
    ]


def _changed(text: str, images: list[_Image]) -> str:
    """As the images transformer does: each entry whose name is the image's, one after the other."""
    for image in images:
        name, at, digest = text.partition("@")
        tag = ""
        if ":" in name.rpartition("/")[2]:
            name, _, tag = name.rpartition(":")
        if name != image.name:
            continue
        tag, digest = (f":{tag}" if tag else ""), at + digest
        if image.new_tag and image.digest:
            tag, digest = f":{image.new_tag}", f"@{image.digest}"
        elif image.new_tag:
            tag, digest = f":{image.new_tag}", ""
        elif image.digest:
            tag, digest = "", f"@{image.digest}"
        text = f"{image.new_name or name}{tag}{digest}"
    return text


def roots(files: Files, names: tuple[str, ...]) -> tuple[str, ...]:
    """Folders of those kustomizations among ``names`` that no other one names."""
    folders = {dirname(name) for name in names if basename(name) in NAMES}
    named: set[str] = set()
    for folder in folders:
        path = kustomization_of(files, folder)
        try:
            documents = read_documents(text_of(files.read(path), path), path)
        except SallyportError:
            continue  # it is told when it is scanned
        for document in documents:
            for key in ("resources", "bases", "components") if isinstance(document, Map) else ():
                for item in document.list(key) if isinstance(document, Map) else ():
                    target = normpath(join(folder, getattr(item, "text", "") or "."))
                    named.add("" if target == "." else target)
    return tuple(sorted(folders - named)) or tuple(sorted(folders))
