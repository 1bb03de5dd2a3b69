"""image-syncer's YAML or JSON: rules of images, logins, or both in one file. Source: its README, "Configure Files"."""

from __future__ import annotations

from sallyport.adopt.model import Adopted, MirrorEntry, RegistryEntry, is_digest
from sallyport.adopt.patterns import every_tag, from_regex
from sallyport.discover import Leaf, Map, Seq, Value
from sallyport.errors import SallyportError
from sallyport.oci import Reference, is_tag


def read_image_syncer(document: Map, adopted: Adopted) -> None:
    if isinstance(document.items.get("images"), Map):
        _read_logins(document.map("auth"), adopted)
        _read_rules(document.map("images"), adopted)
        for name, value in document.items.items():
            if name not in {"auth", "images"}:
                adopted.lose(value.line, name, "it is no setting of image-syncer")
    elif is_logins(document):
        _read_logins(document, adopted)
    else:
        _read_rules(document, adopted)


def is_logins(document: Map) -> bool:
    """Whether it is the file of logins."""
    return bool(document.items) and all(
        isinstance(value, Map) and set(value.items) <= {"username", "password", "insecure"}
        for value in document.items.values()
    )


def _read_logins(logins: Map, adopted: Adopted) -> None:
    for name, value in logins.items.items():
        about = value if isinstance(value, Map) else Map(value.line)
        if "username" in about.items or "password" in about.items:
            adopted.lose(value.line, f"{name}: username", "logins are kept by: docker login, or a credential helper")
        if about.text("insecure").lower() == "true":
            adopted.lose(
                value.line,
                f"{name}: insecure",
                "taken as plain-http: where it speaks TLS, name its authority with ca: instead",
            )
            adopted.registry(RegistryEntry(value.line, name, plain_http=True))


def _read_rules(rules: Map, adopted: Adopted) -> None:
    for source, value in rules.items.items():
        targets = _targets(value)
        if len(targets) > 1:
            adopted.lose(value.line, source[:120], "it goes to one place here, the first: the others are for deliver:")
        _read_rule(source, targets[0] if targets else "", value.line, adopted)


def _targets(value: Value) -> list[str]:
    if isinstance(value, Seq):
        return [item.text for item in value.items if isinstance(item, Leaf)]
    return [value.text] if isinstance(value, Leaf) else []


def _read_rule(source: str, target: str, line: int, adopted: Adopted) -> None:
    name, tags = source, ""
    if "@" in source:
        name, _, tags = source.partition("@")
    elif "/:" not in source and ":/" in source:
        name, _, tags = source.partition(":")
    elif ":" in source.rpartition("/")[2]:
        name, _, tags = source.rpartition(":")
    try:
        reference = Reference.parse(name)
    except SallyportError as error:
        adopted.lose(line, source[:120], error.message)
        return
    renamed = target.rpartition(":")[2] if ":" in target.rpartition("/")[2] else ""
    if renamed and renamed != tags:
        adopted.lose(line, target[:120], f"tags keep their names here: not {renamed[:60]}")
    patterns: list[str] = []
    digests: list[str] = []
    for part in [tags] if tags.startswith("/") else filter(None, tags.split(",")):
        if part.startswith("/") and part.endswith("/") and len(part) > 1:
            pattern = from_regex(part[1:-1], line, adopted, anchored=False)
            patterns += [pattern] if pattern else []
        elif is_digest(part):
            digests.append(part)
        elif is_tag(part):
            patterns.append(part)
        else:
            adopted.lose(line, part[:120], "it is neither a tag nor a digest")
    if tags and not (patterns or digests):
        return  # why is told; nothing must not become everything
    place = target.rpartition(":")[0] if renamed else target
    adopted.mirror.append(
        MirrorEntry(
            line,
            f"{reference.registry}/{reference.repository}",
            tuple(patterns) if digests else every_tag(patterns),
            tuple(digests),
            to=adopted.repository(place, line, reference.repository) if place else "",
        )
    )
