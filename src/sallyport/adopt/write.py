"""What was adopted as a part of sallyport.yaml; pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sallyport.adopt.model import Adopted, MirrorEntry, RegistryEntry
from sallyport.discover import quoted


def render(adopted: Adopted, *, source: str) -> str:
    """The section ``outside`` as YAML; remarks say what was lost, and from which lines the rest comes."""
    lines = [f"# From {_plain(source)} ({adopted.kind})."]
    lines += [
        f"# Not carried over: line {lost.line}, {_plain(lost.setting)}: {_plain(lost.why)}" for lost in adopted.lost
    ]
    lines += ["outside:"]
    mirror = [line for entry in adopted.mirror for line in _mirror(entry)]
    lines += ["  mirror:", *mirror] if mirror else ["  mirror: []"]
    registries = [line for entry in adopted.registries.values() for line in _registry(entry)]
    lines += ["  registries:", *registries] if registries else []
    return "\n".join(lines) + "\n"


def _mirror(entry: MirrorEntry) -> Iterable[str]:
    yield f"    - from: {quoted(entry.source)}  # line {entry.line}"
    for name, values in (
        ("tags", entry.tags),
        ("digests", entry.digests),
        ("deny", entry.deny),
        ("platforms", entry.platforms),
    ):
        yield from _list(name, values)
    if not entry.attachments:
        yield "      attachments: false"
    if entry.to:
        yield f"      to: {quoted(entry.to)}"


def _registry(entry: RegistryEntry) -> Iterable[str]:
    yield f"    - name: {quoted(entry.name)}  # line {entry.line}"
    if entry.address:
        yield f"      address: {quoted(entry.address)}"
    if entry.plain_http is not None:
        yield f"      plain-http: {str(entry.plain_http).lower()}"
    for name, path in entry.certificates.items():
        yield f"      {name}: {quoted(path)}"
    if entry.mirrors:
        yield "      mirrors:"
        yield from (f"        - address: {quoted(address)}" for address in entry.mirrors)


def _list(name: str, values: Sequence[str]) -> Iterable[str]:
    if values:
        yield f"      {name}: [{', '.join(map(quoted, values))}]"


def _plain(text: str) -> str:
    """In one line, so that a remark stays a remark."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
