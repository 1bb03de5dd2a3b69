"""Images of the services of a Compose file; pure. Source: the Compose specification, "Interpolation"."""

from __future__ import annotations

from collections.abc import Mapping

from sallyport.discover.dockerfile import scan_dockerfile
from sallyport.discover.documents import Leaf, Map, Value, read_documents
from sallyport.discover.expand import expand
from sallyport.discover.model import Finds


def is_compose(document: Value) -> bool:
    """Whether it has services that say an image or how to build one."""
    return isinstance(document, Map) and any(
        isinstance(service, Map)
        and ("image" in service.items or "build" in service.items or "extends" in service.items)
        for service in document.map("services").items.values()
    )


def scan_compose(text: str, where: str, finds: Finds, *, environment: Mapping[str, str]) -> None:
    """Every service; ``environment`` is what the file ``.env`` beside it says.

    Raises:
        MalformedError, OversizeError: see :func:`read_documents`, :func:`scan_dockerfile`.
    """
    for document in read_documents(text, where):
        if not isinstance(document, Map):
            continue
        include = document.items.get("include")
        if include is not None:
            finds.note(where, include.line, "what include: names is not read: look at those files, too")
        for name, service in document.map("services").items.items():
            if isinstance(service, Map):
                _scan_service(name, service, where, finds, environment)


def _scan_service(name: str, service: Map, where: str, finds: Finds, environment: Mapping[str, str]) -> None:
    build, image = service.items.get("build"), service.leaf("image")
    if build is not None and not (isinstance(build, Leaf) and not build.text):
        finds.note(where, build.line, f"{name} is built, not pulled: look at its Dockerfile for what it builds on")
        inline = build.leaf("dockerfile_inline") if isinstance(build, Map) else None
        if inline is not None:
            scan_dockerfile(inline.text, where, finds, line=inline.line + 1)
    elif isinstance(image, Leaf):
        text, unset = expand(image.text, environment)
        if unset:
            finds.note(
                where, image.line, f"{image.text[:80]!r} needs {', '.join(unset)}: set it in .env beside the file"
            )
        else:
            finds.image(text, where, image.line)


def read_environment(text: str) -> dict[str, str]:
    """A ``.env`` file: ``NAME=value`` lines, quotes taken off, remarks left out."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if not equals or name.startswith("#"):
            continue
        value = value.strip()
        if value[:1] in ("'", '"') and value.find(value[0], 1) > 0:
            value = value[1 : value.find(value[0], 1)]
        else:
            value = value.partition(" #")[0].strip()
        found[name.strip()] = value
    return found
