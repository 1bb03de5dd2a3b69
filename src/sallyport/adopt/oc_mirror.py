"""oc-mirror's ImageSetConfiguration, v1alpha2 and v2alpha1. Source: OpenShift's documentation, "Image set
configuration parameters".
"""

from __future__ import annotations

from dataclasses import replace

from sallyport.adopt.model import Adopted
from sallyport.discover import Leaf, Map, Value
from sallyport.errors import SallyportError
from sallyport.oci import Reference

KIND = "ImageSetConfiguration"
VERSIONS = ("mirror.openshift.io/v1alpha2", "mirror.openshift.io/v2alpha1")
_NOT_HERE = {
    "archiveSize": "a bundle is as large as what it carries",
    "storageConfig": "the store is a folder or bucket of its own: store: and storage:",
}
_NOT_IN_MIRROR = {
    "platform": "releases of a platform are not resolved: list their images with oc adm release info, and mirror those",
    "operators": "operator catalogs are not resolved: mirror the catalog and the relatedImages of its bundles by name",
    "helm": "for the images of charts: sallyport discover CHART --yaml",
    "samples": "samples are not resolved: name their images",
}


def read_oc_mirror(document: Map, adopted: Adopted) -> None:
    version = document.text("apiVersion")
    if version not in VERSIONS:
        adopted.lose(document.line, f"apiVersion {version[:60]}", f"only these are known: {', '.join(VERSIONS)}")
    mirror = document.map("mirror")
    for item in mirror.list("additionalImages"):
        if isinstance(item, Map):
            _read_image(item, adopted)
    for blocked in mirror.list("blockedImages"):
        _block(blocked, adopted)
    for name, value in mirror.items.items():
        if name not in {"additionalImages", "blockedImages"}:
            _lose_each(name, value, adopted)
    for name, value in document.items.items():
        if name not in {"apiVersion", "kind", "mirror", "metadata"}:
            adopted.lose(value.line, name, _NOT_HERE.get(name, "there is no such setting here"))


def _read_image(item: Map, adopted: Adopted) -> None:
    name = item.text("name")
    if name.startswith(("oci:", "file:")):
        adopted.lose(item.line, name[:120], "write it as from: oci:FOLDER, with to: and the tags")
        return
    adopted.image(name, item.line, to=item.text("targetRepo"))
    for key, value in item.items.items():
        if key == "targetTag":
            adopted.lose(value.line, f"{name}: targetTag", "tags keep their names here")
        elif key not in {"name", "targetRepo"}:
            adopted.lose(value.line, f"{name}: {key}", "there is no such setting for an image here")


def _block(value: Value, adopted: Adopted) -> None:
    """Blocked images become ``deny`` of the repository that they lie in."""
    text = value.text("name") if isinstance(value, Map) else value.text if isinstance(value, Leaf) else ""
    try:
        reference = Reference.parse(text)
    except SallyportError:
        adopted.lose(value.line, f"blockedImages {text[:80]}", "it is no reference: leave what it means out yourself")
        return
    name = f"{reference.registry}/{reference.repository}"
    denied = str(reference.digest) if reference.digest else reference.tag or "*"
    hit = False
    for place, entry in enumerate(adopted.mirror):
        if entry.source == name:
            hit = True
            adopted.mirror[place] = replace(entry, deny=(*entry.deny, denied))
    if not hit:
        adopted.lose(value.line, f"blockedImages {text[:80]}", "nothing that is mirrored here lies there")


def _lose_each(name: str, value: Value, adopted: Adopted) -> None:
    why = _NOT_IN_MIRROR.get(name, "there is no such setting here")
    if isinstance(value, Map) and name == "helm":
        for key in ("repositories", "local"):
            for chart in value.list(key):
                adopted.lose(
                    chart.line, f"helm.{key} {chart.text('name') if isinstance(chart, Map) else ''}".strip(), why
                )
    elif isinstance(value, Map) and name == "platform":
        for item in value.list("channels") or [value]:
            adopted.lose(item.line, f"platform {item.text('name') if isinstance(item, Map) else ''}".strip(), why)
    elif name == "operators" and not isinstance(value, Leaf):
        for item in value.items if not isinstance(value, Map) else [value]:
            adopted.lose(item.line, f"operators {item.text('catalog') if isinstance(item, Map) else ''}".strip(), why)
    else:
        adopted.lose(value.line, name, why)
