"""The nouns of discovery, and what finding them means for mirroring."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from re import compile as compile_pattern
from typing import TypeAlias

from sallyport.errors import SallyportError
from sallyport.oci import Reference

_LONGEST = 512  # signs of a reference


@dataclass(frozen=True, slots=True, order=True)
class Found:
    """One image that something names."""

    reference: str  # whole: docker.io/library/debian:12; sallyport.oci.Reference reads it
    where: str  # file, relative to what was looked at; or cluster: …
    line: int  # from 1; 0 where there are no lines


@dataclass(frozen=True, slots=True, order=True)
class Noted:
    """Something that may have named an image, and why none was found in it."""

    where: str
    line: int  # from 1; 0 for the whole
    why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """One upstream repository, as mirroring selects from it; the arguments of a selector."""

    source: str  # registry/repository
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    to: str  # our repository; empty: as upstream's


Note: TypeAlias = Callable[[Noted], None]


class Finds:
    """Collects what scanners find and note, once each, in the order of finding."""

    def __init__(self) -> None:
        self.found: dict[Found, None] = {}
        self.noted: dict[Noted, None] = {}

    def image(self, text: str, where: str, line: int, *, quiet: bool = False) -> None:
        """``text`` names an image there; ``quiet`` where it was only a guess that it does."""
        text = text.strip()
        if not text:
            return
        if any(sign in text for sign in ("{{", "$(", "${", "<%")):
            self.note(where, line, f"{text[:80]!r} is filled in later: name the image yourself")
            return
        try:
            reference = read_reference(text)
        except SallyportError as error:
            if not quiet:
                self.note(where, line, error.message)
            return
        self.found[Found(str(reference), where, line)] = None

    def note(self, where: str, line: int, why: str) -> None:
        self.noted[Noted(where, line, why)] = None


def read_reference(text: str) -> Reference:
    """A reference with what is left out filled in: ``debian`` is ``docker.io/library/debian:latest``.

    Raises:
        UsageError, MalformedError: it is none.
    """
    for scheme in ("docker://", "oci://", "docker-pullable://"):
        text = text.removeprefix(scheme)
    reference = Reference.parse(text[:_LONGEST])
    # What clients have long called by several names is one registry.
    registry = "docker.io" if reference.registry in {"index.docker.io", "registry-1.docker.io"} else reference.registry
    repository = reference.repository
    if registry == "docker.io" and "/" not in repository:
        repository = f"library/{repository}"
    tag = reference.tag or ("" if reference.digest else "latest")
    return Reference(registry, repository, tag, reference.digest)


def chosen(found: Iterable[Found], only: Sequence[str]) -> tuple[Found, ...]:
    """Those whose registry/repository fits one of the globs ``only``; all where there are none."""
    globs = [compile_pattern(translate(glob)) for glob in only]
    return tuple(item for item in found if not globs or any(glob.match(_name(item)) for glob in globs))


def wanted(found: Iterable[Found], *, to: str = "") -> tuple[Wanted, ...]:
    """What to mirror so that all of ``found`` is here: one for each repository, by name.

    An image that is named by tag and digest is wanted by its digest, as those who pull it go by that. ``to`` is a
    prefix of our repositories.
    """
    tags: dict[str, set[str]] = {}
    digests: dict[str, set[str]] = {}
    for item in found:
        reference = Reference.parse(item.reference)
        name = f"{reference.registry}/{reference.repository}"
        tags.setdefault(name, set())
        digests.setdefault(name, set())
        if reference.digest is not None:
            digests[name].add(str(reference.digest))
        else:
            tags[name].add(reference.tag or "latest")
    return tuple(
        Wanted(
            name,
            tuple(sorted(tags[name])),
            tuple(sorted(digests[name])),
            f"{to.rstrip('/')}/{name.partition('/')[2]}" if to else "",
        )
        for name in sorted(tags)
    )


def _name(found: Found) -> str:
    reference = Reference.parse(found.reference)
    return f"{reference.registry}/{reference.repository}"
