"""Hauler's manifests: Images, Charts, Files. Source: Hauler's documentation, "Hauler Manifests"."""

from __future__ import annotations

from sallyport.adopt.model import Adopted
from sallyport.discover import Leaf, Map

GROUP = "content.hauler.cattle.io"
_TRUST = {
    "key", "certificate-identity", "certificate-identity-regexp", "certificate-oidc-issuer",
    "certificate-oidc-issuer-regexp", "certificate-github-workflow-repository", "use-tlog-verify",
}  # fmt: skip
_NOT_CHARTS = {
    "add-images": "for the chart's images: sallyport discover CHART --yaml",
    "add-dependencies": "name the charts that it depends on one by one",
}
_CHART = {"name", "repoURL", "version"}


def read_hauler(document: Map, adopted: Adopted) -> None:
    kind, spec = document.text("kind"), document.map("spec")
    notes = document.map("metadata").map("annotations")
    if kind == "Images":
        for item in spec.list("images"):
            if isinstance(item, Map):
                _read_image(item, notes, adopted)
    elif kind == "Charts":
        for item in spec.list("charts"):
            if isinstance(item, Map):
                _read_chart(item, adopted)
    elif kind == "Files":
        for item in spec.list("files"):
            path = item.text("path") if isinstance(item, Map) else ""
            adopted.lose(item.line, f"file {path[:100]}", "files are not mirrored: put it into an OCI artifact")
    else:
        adopted.lose(document.line, f"kind {kind[:60]}", "such collections are made by Hauler only: name their images")


def _read_image(item: Map, notes: Map, adopted: Adopted) -> None:
    name = item.text("name")
    registry = _noted(notes, "registry")
    first = name.partition("/")[0]
    if registry and not ("/" in name and ("." in first or ":" in first or first == "localhost")):
        name = f"{registry}/{name}"
    platform = item.text("platform") or _noted(notes, "platform")
    rewrite = item.text("rewrite").lstrip("/")
    target = rewrite.rpartition(":")[0] if ":" in rewrite.rpartition("/")[2] else rewrite
    adopted.image(name, item.line, platforms=[platform], to=target)
    if rewrite and target != rewrite:
        adopted.lose(item.line, f"{name}: rewrite", "tags keep their names here: only the repository is another")
    asked = sorted(set(item.items) & _TRUST) or [key for key in sorted(_TRUST) if _noted(notes, key)]
    if asked:
        adopted.lose(item.line, f"{name}: {', '.join(asked)}", "say whose signature it needs under outside.trust")
    for key, value in item.items.items():
        if key not in {"name", "platform", "rewrite", *_TRUST}:
            adopted.lose(value.line, f"{name}: {key}", "there is no such setting for an image here")


def _read_chart(item: Map, adopted: Adopted) -> None:
    name, address, version = item.text("name"), item.text("repoURL"), item.text("version")
    if address.startswith("oci://") and version:
        # A tag has no plus; publishers of charts write a low line for it.
        adopted.image(f"{address.removeprefix('oci://').rstrip('/')}/{name}:{version.replace('+', '_')}", item.line)
    elif address.startswith("oci://"):
        adopted.lose(item.line, f"chart {name[:100]}", "say which version: the newest one is another every day")
    else:
        adopted.lose(item.line, f"chart {name[:100]}", "only charts in an OCI registry are mirrored: push it to one")
    for key, value in item.items.items():
        if key not in _CHART and not (isinstance(value, Leaf) and value.text.lower() == "false"):
            why = _NOT_CHARTS.get(key, "there is no such setting for a chart here")
            adopted.lose(value.line, f"chart {name[:60]}: {key}", why)


def _noted(notes: Map, key: str) -> str:
    return notes.text(f"hauler.dev/{key}")
