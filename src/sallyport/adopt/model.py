"""The nouns of adoption."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sallyport.errors import SallyportError
from sallyport.oci import Digest, Platform, Reference, is_repository


@dataclass(frozen=True, slots=True, order=True)
class Lost:
    """A setting that was not carried over, or not whole."""

    line: int  # from 1
    setting: str
    why: str


@dataclass(frozen=True, slots=True)
class MirrorEntry:
    """An entry of ``outside.mirror``."""

    line: int  # of what it was made from
    source: str
    tags: tuple[str, ...] = ()
    digests: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    attachments: bool = True
    to: str = ""


@dataclass(frozen=True, slots=True)
class RegistryEntry:
    """An entry of ``outside.registries``."""

    line: int
    name: str
    address: str = ""
    plain_http: bool | None = None
    certificates: dict[str, str] = field(default_factory=dict)  # ca, certificate, key: files
    mirrors: tuple[str, ...] = ()

    @property
    def is_needed(self) -> bool:
        return bool(self.address or self.plain_http is not None or self.certificates or self.mirrors)


@dataclass(slots=True)
class Adopted:
    """What a configuration means here."""

    kind: str
    mirror: list[MirrorEntry] = field(default_factory=list)
    registries: dict[str, RegistryEntry] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)

    def lose(self, line: int, setting: str, why: str) -> None:
        self.lost.append(Lost(line, setting, why))

    def registry(self, entry: RegistryEntry) -> None:
        if entry.is_needed:
            self.registries[entry.name] = entry

    def image(
        self, text: str, line: int, *, platforms: Iterable[str] = (), to: str = "", deny: Iterable[str] = ()
    ) -> None:
        """One image by its reference, tag or digest; what is no reference is lost."""
        try:
            reference = Reference.parse(text.removeprefix("docker://"))
        except SallyportError as error:
            self.lose(line, text[:120], error.message)
            return
        self.mirror.append(
            MirrorEntry(
                line,
                f"{reference.registry}/{reference.repository}",
                () if reference.digest else (reference.tag or "latest",),
                (str(reference.digest),) if reference.digest else (),
                tuple(deny),
                self.platforms(platforms, line),
                to=self.repository(to, line, reference.repository) if to else "",
            )
        )

    def platforms(self, texts: Iterable[str], line: int) -> tuple[str, ...]:
        """Those that are platforms; ``all`` is none of them."""
        found: list[str] = []
        for text in texts:
            if text in {"", "all"}:
                continue
            try:
                found.append(str(Platform.parse(text)))
            except SallyportError as error:
                self.lose(line, f"platform {text[:60]}", error.message)
        return tuple(dict.fromkeys(found))

    def repository(self, target: str, line: int, source: str) -> str:
        """Our repository for a target elsewhere: its path, without its registry; empty where it is the source's."""
        try:
            repository = Reference.parse(target).repository
        except SallyportError:
            repository = target
        if not is_repository(repository):
            self.lose(line, target[:120], "it is no repository name here: the upstream's is kept")
            return ""
        return "" if repository == source else repository


def is_digest(text: str) -> bool:
    try:
        Digest.parse(text)
    except SallyportError:
        return False
    return True
