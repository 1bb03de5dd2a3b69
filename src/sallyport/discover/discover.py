"""Looks at a source, of a kind that is said or seen, and gives the images that it names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from posixpath import basename, dirname
from typing import Literal, TypeAlias, get_args

from sallyport.discover.cluster import scan_cluster
from sallyport.discover.compose import is_compose, read_environment, scan_compose
from sallyport.discover.dockerfile import scan_dockerfile
from sallyport.discover.documents import Map, read_documents
from sallyport.discover.files import Files, FolderFiles, MemoryFiles, read_file, text_of
from sallyport.discover.git import is_bare_repository, read_branch
from sallyport.discover.helm import is_chart_archive, read_archive, read_chart_archive, scan_chart
from sallyport.discover.kubernetes import NEEDED, scan_kubernetes, scan_objects
from sallyport.discover.kustomize import NAMES, kustomization_of, roots, scan_kustomize
from sallyport.discover.model import Finds, Found, Note, chosen
from sallyport.discover.plain import scan_plain
from sallyport.errors import SallyportError, UsageError

Kind: TypeAlias = Literal["auto", "kubernetes", "kustomize", "helm", "compose", "dockerfile", "list"]
KINDS: tuple[str, ...] = get_args(Kind)
_GZIP = b"\x1f\x8b"
_YAML = (".yaml", ".yml", ".json")
_DOCKERFILE = re.compile(
    r"(?:.*\.)?(?:[Dd]ockerfile|[Cc]ontainerfile)"
    r"(?:\.(?!(?:py|pyc|md|go|js|ts|rs|rb|java|html|j2|tmpl|tpl|ya?ml|json|txt|dockerignore|lock)\Z)[\w.-]+)?\Z"
)
_COMPOSE = re.compile(r"(?:docker-)?compose(?:[.-][\w.-]+)?\.ya?ml\Z")
_SERVICES = re.compile(r"^services:", re.MULTILINE)


def discover(
    source: str,
    *,
    kind: Kind = "auto",
    values: Sequence[Path] = (),
    only: Sequence[str] = (),
    note: Note | None = None,
    root: Path | None = None,
) -> tuple[Found, ...]:
    """The images that ``source`` names, by place.

    ``source`` is a file, a folder, ``cluster:`` or ``cluster:CONTEXT``, or ``git:FOLDER`` or ``git:FOLDER#BRANCH``;
    relative paths start at ``root``. ``only`` are globs of registry/repository. ``note`` is told what may have named an
    image and did not: in a folder, a file that is broken is told there, and the others are looked at all the same.

    Raises:
        UsageError: it is not there, or not of this kind; a kustomization that needs something from elsewhere.
        MalformedError, OversizeError: the file is broken; the message names file and line.
        MissingProgramError, UnreachableError: a cluster without kubectl, or out of its reach.
    """
    finds = Finds()
    if source == "cluster" or source.startswith("cluster:"):
        scan_cluster(source.partition(":")[2], finds)
    elif source.startswith("git:"):
        folder, _, branch = source.removeprefix("git:").partition("#")
        _scan_folder(read_branch(_path(folder, root), branch), finds, kind, ())
    else:
        path = _path(source, root)
        if path.is_dir():
            if kind == "auto" and is_bare_repository(path):
                _scan_folder(read_branch(path), finds, kind, ())
            else:
                _scan_folder(FolderFiles(path), finds, kind, values, on_disk=path)
        else:
            _scan_file(path, finds, kind, values)
    for item in sorted(finds.noted) if note is not None else ():
        if note is not None:
            note(item)
    return chosen(sorted(finds.found, key=lambda item: (item.where, item.line, item.reference)), only)


def _path(text: str, root: Path | None) -> Path:
    path = Path(text) if root is None else root / text
    if not text or not path.exists():
        raise UsageError(f"there is nothing at {path}", "name a file or a folder, or cluster: for the running cluster")
    return path


def _scan_file(path: Path, finds: Finds, kind: Kind, values: Sequence[Path]) -> None:
    """One file, which its user named: links that lead to it are followed."""
    path = path.resolve()
    files, name = FolderFiles(path.parent), path.name
    data = read_file(path, what=name)
    if kind == "helm" or (kind == "auto" and is_chart_archive(name)):
        if is_chart_archive(name):
            _scan_chart(read_chart_archive(data, name), "", finds, values, where=f"{name}!", on_disk=path)
        else:
            _scan_chart(files, "", finds, values, on_disk=path.parent)
    elif kind == "kustomize" or (kind == "auto" and name in NAMES):
        scan_kustomize(files, "", finds, built_in=path.parent)
    else:
        _scan_text(files, name, text_of(data, name), finds, kind if kind != "auto" else _kind_of(name, data))


def _kind_of(name: str, data: bytes) -> Kind:
    if _DOCKERFILE.match(name):
        return "dockerfile"
    if name.endswith(_YAML):
        return "kubernetes"  # or Compose: its content says
    first = re.search(rb"^[ \t]*([^\s#].*)$", data, re.MULTILINE)
    line = first[1].strip() if first else b""
    if re.match(rb"(?:FROM|ARG)\s", line, re.IGNORECASE):
        return "dockerfile"
    return "kubernetes" if re.match(rb"(?:---|[\w.-]+:(?:\s|\Z)|[{\[])", line) else "list"


def _scan_text(files: Files, name: str, text: str, finds: Finds, kind: Kind) -> None:
    """A file that stands for itself."""
    if kind == "dockerfile":
        scan_dockerfile(text, name, finds)
    elif kind == "list":
        scan_plain(text, name, finds)
    elif kind == "compose" or _COMPOSE.match(basename(name)) or _has_services(text, name):
        _scan_compose(files, name, text, finds)
    else:
        scan_kubernetes(text, name, finds)


def _has_services(text: str, name: str) -> bool:
    return bool(_SERVICES.search(text)) and any(map(is_compose, read_documents(text, name)))


def _scan_compose(files: Files, name: str, text: str, finds: Finds) -> None:
    beside = f"{dirname(name)}/.env".lstrip("/")
    environment = read_environment(text_of(files.read(beside), beside)) if files.has(beside) else {}
    scan_compose(text, name, finds, environment=environment)


def _scan_chart(
    files: Files,
    folder: str,
    finds: Finds,
    values: Sequence[Path],
    *,
    where: str = "",
    on_disk: Path | None = None,
) -> None:
    if not files.has(f"{folder}/Chart.yaml".lstrip("/")):
        raise UsageError(f"there is no chart in {folder or '.'}", "name a folder with a Chart.yaml, or a packed chart")
    texts = [(path.name, text_of(read_file(path), path.name)) for path in values]
    scan_chart(files, folder, finds, where=where, values=texts, on_disk=on_disk, value_paths=values)


def _scan_folder(
    files: Files, finds: Finds, kind: Kind, values: Sequence[Path], *, on_disk: Path | None = None
) -> None:
    """A folder: charts and kustomizations as a whole, then every other file by itself."""
    if kind == "helm":
        _scan_chart(files, "", finds, values, on_disk=on_disk)
        return
    if kind == "kustomize":
        scan_kustomize(files, "", finds, built_in=on_disk)
        return
    names = files.names()
    taken: set[str] = set()
    if kind == "auto":
        taken = _scan_units(files, names, finds, values, on_disk)
    for name in names:
        if name not in taken and _is_wanted(name, kind):
            _guarded(finds, name, lambda name=name: _scan_one(files, name, finds, kind))  # type: ignore[misc]


def _scan_units(
    files: Files, names: tuple[str, ...], finds: Finds, values: Sequence[Path], on_disk: Path | None
) -> set[str]:
    """Charts and kustomizations; gives the files that they are made of."""
    taken: set[str] = set()
    charts = sorted({dirname(name) for name in names if basename(name) == "Chart.yaml"}, key=len)
    for folder in charts:
        prefix = f"{folder}/" if folder else ""
        if f"{prefix}Chart.yaml" in taken:
            continue  # a chart in a chart
        taken.update(name for name in names if name.startswith(prefix))
        disk = on_disk / folder if on_disk is not None else None
        _guarded(
            finds,
            f"{prefix}Chart.yaml",
            lambda folder=folder, disk=disk: _scan_chart(files, folder, finds, values, on_disk=disk),  # type: ignore[misc]
        )
    rest = tuple(name for name in names if name not in taken)
    taken.update(name for name in rest if basename(name) in NAMES)
    for folder in roots(files, rest):
        disk = on_disk / folder if on_disk is not None else None

        def one(folder: str = folder, disk: Path | None = disk) -> None:
            taken.update(scan_kustomize(files, folder, finds, built_in=disk))

        _guarded(finds, kustomization_of(files, folder), one)
    return taken


def _is_wanted(name: str, kind: Kind) -> bool:
    last = basename(name)
    if kind == "list":
        return last.endswith(".txt")
    docker, text = bool(_DOCKERFILE.match(last)), last.endswith(_YAML)
    if kind == "auto":
        return docker or text or is_chart_archive(last)
    return docker if kind == "dockerfile" else text


def _scan_one(files: Files, name: str, finds: Finds, kind: Kind) -> None:
    data = files.read(name)
    if is_chart_archive(name):
        packed = read_archive(data, name) if data[:2] == _GZIP else MemoryFiles({})
        if packed.has("Chart.yaml"):  # otherwise it is somebody else's archive
            scan_chart(packed, "", finds, where=f"{name}!")
        return
    if kind == "auto":
        kind = "dockerfile" if _DOCKERFILE.match(basename(name)) else "kubernetes"
        if kind == "kubernetes" and not NEEDED.search(data.decode("utf-8", "replace")):
            return
        if kind == "kubernetes" and not _COMPOSE.match(basename(name)):
            _scan_unknown(files, name, text_of(data, name), finds)
            return
    _scan_text(files, name, text_of(data, name), finds, kind)


def _scan_unknown(files: Files, name: str, text: str, finds: Finds) -> None:
    """YAML that may be anything: only objects of Kubernetes and Compose files count."""
    documents = read_documents(text, name, needing=NEEDED)
    if any(map(is_compose, documents)):
        _scan_compose(files, name, text, finds)
        return
    for document in documents:
        if isinstance(document, Map) and "apiVersion" in document.items and "kind" in document.items:
            scan_objects(document, name, finds)


def _guarded(finds: Finds, where: str, scan: Callable[[], None]) -> None:
    """In a folder, what is broken is told, and the rest goes on."""
    try:
        scan()
    except SallyportError as error:
        finds.note(where, 0, error.message)
