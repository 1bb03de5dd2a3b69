"""Images of a Helm chart: as helm renders it where it is there, otherwise from its values and templates.

Without helm, ``repository`` and ``tag`` (the chart's appVersion where it is empty), ``image`` and their like are read
from the values, those of charts in ``charts/`` with what their parent sets for them; and ``image:`` lines of templates
that nothing fills in.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from posixpath import basename, dirname

from sallyport.discover.documents import Leaf, Map, Seq, Value, read_documents
from sallyport.discover.files import FILE_LIMIT, Files, MemoryFiles, text_of
from sallyport.discover.kubernetes import scan_fields, scan_kubernetes
from sallyport.discover.model import Finds
from sallyport.engine import run_program
from sallyport.errors import MalformedError, OversizeError, SallyportError
from sallyport.oci import CHUNK, Kind, TarLimits, decompress, read_tar

_SOURCE = re.compile(r"^# Source: (\S+)$", re.MULTILINE)
_IMAGE = re.compile(r"""^\s*(?:-\s+)?image:\s*["']?([^\s"'{}#]+)["']?\s*(?:#.*)?$""", re.MULTILINE)
_ARCHIVE = (".tgz", ".tar.gz")
_LIMITS = TarLimits(members=20_000, member_size=FILE_LIMIT, total=128 * 1024 * 1024)
_DEPTH = 8  # charts in charts
_TIMEOUT_S = 120.0
_OUTPUT = 64 * 1024 * 1024  # bytes
_MEND = "mend the chart, or render it and look at the result"


@dataclass(frozen=True, slots=True)
class _Chart:
    """One chart among files."""

    files: Files
    names: tuple[str, ...]  # of its own files and those of charts in it
    prefix: str  # its folder with a slash; empty: the files are the chart
    where: str  # what the files lie in, for people

    @property
    def shown(self) -> str:
        return self.where + self.prefix

    def map(self, name: str) -> Map:
        """Its file ``name``; empty where there is none."""
        path = self.prefix + name
        return (
            _map(text_of(self.files.read(path), self.where + path), self.where + path)
            if self.files.has(path)
            else Map(1)
        )


def is_chart_archive(name: str) -> bool:
    """By its name only."""
    return name.endswith(_ARCHIVE)


def read_chart_archive(data: bytes, what: str) -> MemoryFiles:
    """The files of a packed chart.

    Raises:
        DamagedError: no gzip, no honest archive, or no chart.
    """
    files = read_archive(data, what)
    if not files.has("Chart.yaml"):
        raise MalformedError(f"{what} is no packed chart", "name a chart: a folder or archive with a Chart.yaml")
    return files


def read_archive(data: bytes, what: str) -> MemoryFiles:
    """The files of an archive, without the folder that all of them lie in.

    Raises:
        DamagedError: no gzip, or no honest archive.
    """
    kept: dict[str, bytes] = {}
    chunks = decompress(
        (data[start : start + CHUNK] for start in range(0, len(data), CHUNK)), "gz", what=what, limit=_LIMITS.total
    )
    for entry, content in read_tar(chunks, what=what, limits=_LIMITS):
        if entry.kind is not Kind.FILE:
            continue
        _, slash, name = entry.path.strip("/").partition("/")
        if slash:
            kept[name] = b"".join(content)
    return MemoryFiles(kept)


def scan_chart(
    files: Files,
    folder: str,
    finds: Finds,
    *,
    where: str = "",
    values: Sequence[tuple[str, str]] = (),
    on_disk: Path | None = None,
    value_paths: Sequence[Path] = (),
) -> None:
    """The chart in ``folder``; ``values`` are names and texts of files that count more than its own.

    ``on_disk`` and ``value_paths``: the chart and those files on this machine, so that helm can render it.

    Raises:
        MalformedError, OversizeError: a file of it is broken.
    """
    prefix = f"{folder}/" if folder else ""
    chart = _map(text_of(files.read(f"{prefix}Chart.yaml"), where + prefix), f"{where}{prefix}Chart.yaml")
    if chart.text("type") == "library":
        return
    if on_disk is not None and _rendered(on_disk, value_paths, f"{where}{prefix}Chart.yaml", finds):
        return
    over: Value = Map(1)
    for name, text in values:
        over = _merged(over, _placed(_map(text, name), name))
    names = tuple(name for name in files.names() if name.startswith(prefix))
    _scan(_Chart(files, names, prefix, where), over if isinstance(over, Map) else Map(1), finds, "", _DEPTH)


def _rendered(chart: Path, values: Sequence[Path], where: str, finds: Finds) -> bool:
    if shutil.which("helm") is None:
        return False
    argv = ["helm", "template", "look", str(chart), *(part for path in values for part in ("--values", str(path)))]
    try:
        ran = run_program(argv, timeout_s=_TIMEOUT_S, max_output=_OUTPUT)
        if ran.status == 0:
            text = text_of(ran.stdout, where)
            found = Finds()
            for part in re.split(r"(?m)^---\s*$", text):
                source = _SOURCE.search(part)
                scan_kubernetes(part, f"{source[1]}, rendered" if source else where, found)
            finds.found.update({type(item)(item.reference, item.where, 0): None for item in found.found})
            finds.noted.update(found.noted)
            return True
        said = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        finds.note(where, 0, f"helm cannot render it ({(said or ['no reason given'])[-1][:300]}): its values are read")
    except SallyportError as error:
        finds.note(where, 0, f"{error.message}: its values are read")
    return False


def _scan(chart: _Chart, over: Map, finds: Finds, registry: str, depth: int) -> None:
    if depth <= 0:
        raise OversizeError(f"{chart.shown}: charts in charts, over {_DEPTH} deep", _MEND)
    about = chart.map("Chart.yaml")
    values = _merged(_placed(chart.map("values.yaml"), f"{chart.shown}values.yaml"), over)
    assert isinstance(values, Map)
    registry = values.map("global").text("imageRegistry") or registry
    dependencies = {
        item.text("alias") or item.text("name"): item
        for item in [*about.list("dependencies"), *chart.map("requirements.yaml").list("dependencies")]
        if isinstance(item, Map)
    }
    charts = _charts(chart)
    below = {*dependencies, *(name for name, _ in charts)}
    own = Map(values.line, {key: value for key, value in values.items.items() if key not in below})
    scan_fields(own, f"{chart.shown}values.yaml", finds, tag=about.text("appVersion"), registry=registry)
    for name in chart.names:
        inside = name.removeprefix(chart.prefix)
        if inside.startswith("templates/") and name.endswith((".yaml", ".yml", ".tpl")):
            _scan_template(text_of(chart.files.read(name), chart.where + name), chart.where + name, finds)
        elif inside.startswith("crds/") and name.endswith((".yaml", ".yml")):
            scan_kubernetes(text_of(chart.files.read(name), chart.where + name), chart.where + name, finds)
    present = {name for name, _ in charts}
    for item in dependencies.values():
        if item.text("name") not in present and not _is_off(item, values):
            why = f"the chart {item.text('name')} {item.text('version')} is not in charts/: run helm dependency update"
            finds.note(f"{chart.shown}Chart.yaml", item.line, why)
    for name, inner in charts:
        uses = [(key, item) for key, item in dependencies.items() if item.text("name") == name] or [(name, Map(1))]
        for key, item in uses:
            if not _is_off(item, values):
                _scan(inner, _handed_down(values, key), finds, registry, depth - 1)


def _handed_down(values: Map, key: str) -> Map:
    """What a chart's values set for the one below it that they call ``key``."""
    own = values.map(key)
    if "global" not in values.items:
        return own
    return Map(own.line, {**own.items, "global": _merged(own.map("global"), values.map("global"))})


def _charts(chart: _Chart) -> list[tuple[str, _Chart]]:
    """Those in ``charts/``, by name."""
    found: list[tuple[str, _Chart]] = []
    for name in chart.names:
        rest = name.removeprefix(f"{chart.prefix}charts/")
        if rest == name:
            continue
        if basename(rest) == "Chart.yaml" and rest.count("/") == 1:
            prefix = f"{dirname(name)}/"
            inside = tuple(path for path in chart.names if path.startswith(prefix))
            inner = _Chart(chart.files, inside, prefix, chart.where)
        elif "/" not in rest and is_chart_archive(rest):
            files = read_chart_archive(chart.files.read(name), chart.where + name)
            inner = _Chart(files, files.names(), "", f"{chart.where}{name}!")
        else:
            continue
        found.append((inner.map("Chart.yaml").text("name") or dirname(rest), inner))
    return found


def _is_off(dependency: Map, values: Map) -> bool:
    """Whether the first condition that the values know says so."""
    for condition in dependency.text("condition").split(","):
        value: Value | None = values
        for step in condition.strip().split("."):
            value = value.items.get(step) if isinstance(value, Map) else None
        if isinstance(value, Leaf):
            return value.text.lower() == "false"
    return False


def _scan_template(text: str, where: str, finds: Finds) -> None:
    for match in _IMAGE.finditer(text):
        finds.image(match[1], where, text.count("\n", 0, match.start(1)) + 1, quiet=True)


def _map(text: str, where: str) -> Map:
    documents = read_documents(text, where)
    return documents[0] if documents and isinstance(documents[0], Map) else Map(1)


def _placed(value: Value, where: str) -> Value:
    """With the file in every scalar, as values of several files become one."""
    if isinstance(value, Leaf):
        return Leaf(value.text, value.line, where)
    if isinstance(value, Seq):
        return Seq(value.line, [_placed(item, where) for item in value.items])
    return Map(value.line, {key: _placed(item, where) for key, item in value.items.items()})


def _merged(under: Value, over: Value) -> Value:
    """As helm merges values: mappings key by key, everything else as a whole."""
    if not (isinstance(under, Map) and isinstance(over, Map)):
        return over
    made = dict(under.items)
    for key, value in over.items.items():
        made[key] = _merged(made[key], value) if key in made else value
    return Map(over.line, made)
