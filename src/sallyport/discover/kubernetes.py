"""Images in Kubernetes objects; pure.

In every object, of whatever kind: ``image: name`` (containers, initContainers, ephemeralContainers, custom
resources), ``image:`` with registry, repository, tag, digest or reference below it, ``repository`` beside ``tag`` or
``digest``, settings whose names end in Image, environment variables RELATED_IMAGE_…, and arguments
``--name=registry/repository:tag``.
"""

from __future__ import annotations

import re

from sallyport.discover.documents import Leaf, Map, Seq, Value, read_documents, walk
from sallyport.discover.model import Finds

NEEDED = re.compile(r"image|repository", re.IGNORECASE)  # documents without it name none
# A registry's host, a path, and a tag or digest: nothing else looks so.
_WHOLE = re.compile(
    r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d{1,5})?/[a-z0-9._/-]+(?::[A-Za-z0-9_][\w.-]{0,127}|@sha256:[0-9a-f]{64})\Z"
)
_DEFINITION = "CustomResourceDefinition"  # describes fields, names no images


def scan_kubernetes(text: str, where: str, finds: Finds, *, line: int = 1) -> None:
    """Every object of ``text``.

    Raises:
        MalformedError, OversizeError: see :func:`read_documents`.
    """
    for document in read_documents(text, where, line=line, needing=NEEDED):
        scan_objects(document, where, finds)


def scan_objects(document: Value, where: str, finds: Finds) -> None:
    """One document: an object, or a list of them."""
    if isinstance(document, Seq):
        for item in document.items:
            scan_objects(item, where, finds)
    elif isinstance(document, Map):
        if document.text("kind").endswith("List") and document.list("items"):
            for item in document.list("items"):
                scan_objects(item, where, finds)
        elif document.text("kind") != _DEFINITION:
            scan_fields(document, where, finds)


def scan_fields(document: Value, where: str, finds: Finds, *, tag: str = "", registry: str = "") -> None:
    """Every image-like field; ``tag`` is for those that say none, ``registry`` takes the place of theirs."""
    for mapping in walk(document):
        _scan_map(mapping, where, finds, tag, registry)


def _scan_map(mapping: Map, where: str, finds: Finds, tag: str, registry: str) -> None:
    image = mapping.items.get("image")
    if isinstance(image, Leaf) and image.text:
        said = mapping.text("tag") or mapping.text("imageTag")
        text = image.text
        if said and ":" not in text.rpartition("/")[2] and "@" not in text:
            text = f"{text}:{said}"
        if not _is_flag(text):
            finds.image(_placed(text, mapping.text("registry"), registry), image.where or where, image.line)
    elif isinstance(image, Map) and (reference := image.leaf("reference")) is not None and reference.text:
        finds.image(reference.text, reference.where or where, reference.line)
    _scan_pair(mapping, where, finds, tag, registry)
    for name, value in mapping.items.items():
        if name.endswith(("Image", "_image", "-image")) and isinstance(value, Leaf) and _looks_whole(value.text):
            finds.image(value.text, value.where or where, value.line, quiet=True)
    related = mapping.leaf("value")
    if mapping.text("name").startswith("RELATED_IMAGE_") and related is not None:
        finds.image(related.text, related.where or where, related.line)
    for name in ("args", "command"):
        for item in mapping.list(name):
            if isinstance(item, Leaf) and "=" in item.text and _WHOLE.match(item.text.partition("=")[2]):
                finds.image(item.text.partition("=")[2], item.where or where, item.line, quiet=True)


def _scan_pair(mapping: Map, where: str, finds: Finds, tag: str, registry: str) -> None:
    """``repository`` and what stands beside it."""
    repository = mapping.leaf("repository") or (mapping.leaf("name") if "tag" in mapping.items else None)
    digest = mapping.text("digest") or mapping.text("sha")
    beside = "registry" in mapping.items or "pullPolicy" in mapping.items or "tag" in mapping.items
    if repository is None or not repository.text or "://" in repository.text or "image" in mapping.items:
        return
    if not (beside or digest):
        return
    said = mapping.text("tag") or tag
    text = _placed(repository.text, mapping.text("registry"), registry)
    if digest:
        text += f"@{digest}" if ":" in digest else f"@sha256:{digest}"
    elif said and ":" not in text.rpartition("/")[2]:
        text += f":{said}"
    finds.image(text, repository.where or where, repository.line, quiet=repository is mapping.leaf("name"))


def _placed(text: str, own: str, instead: str) -> str:
    """``text`` at its registry, where that is said beside it or for the whole chart."""
    place = instead or own
    if not place or "{{" in text:
        return text
    first, slash, rest = text.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return f"{place}/{rest}" if instead else text
    return f"{place}/{text}"


def _is_flag(text: str) -> bool:
    return text.lower() in {"true", "false"}


def _looks_whole(text: str) -> bool:
    return "/" in text and ":" in text.rpartition("/")[2] and " " not in text and "://" not in text
