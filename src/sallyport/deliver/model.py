"""The nouns of delivery."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from sallyport.oci import Descriptor, Digest
from sallyport.registry import PushPlan

Layout = Literal["path", "port", "subdomain"]


@dataclass(frozen=True, slots=True)
class Rename:
    """Another name over there for the repositories that a glob fits."""

    images: str
    to: str


@dataclass(frozen=True, slots=True)
class Settings:
    """How the configuration describes a destination."""

    name: str
    kind: str
    registry: str
    prefix: str = ""
    renames: tuple[Rename, ...] = ()
    api: str = ""
    create: bool = True
    robot: str = ""
    expire: timedelta | None = None
    layout: Layout = "path"
    token: str = field(default="", repr=False)  # of the management interface; the registry's login when empty
    plain_http: bool = False


@dataclass(frozen=True, slots=True)
class Attachment:
    """A signature or attestation that goes with an image."""

    descriptor: Descriptor
    subject: Digest
    tag: str = ""  # "sha256-….sig", or empty for a referrer


@dataclass(frozen=True, slots=True)
class Item:
    """An image, its names here, and what is attached to it."""

    repository: str
    tags: tuple[str, ...]
    descriptor: Descriptor
    attached: tuple[Attachment, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.repository}:{self.tags[0]}"


@dataclass(frozen=True, slots=True)
class Made:
    """Something beside images that a destination was given, or would be."""

    kind: str  # project, repository, immutability rule, robot account, tag expiry
    name: str
    secret: str = field(default="", repr=False)  # shown once; nobody can ask for it again
    problem: str = ""  # why it could not be made; images are delivered all the same
    repositories: tuple[str, ...] = ()  # theirs that are not there without it


@dataclass(frozen=True, slots=True)
class Planned:
    """What one image would need over there."""

    item: Item
    reference: str  # registry/repository:tag of the destination
    image: PushPlan
    attached: tuple[tuple[Attachment, PushPlan], ...]

    @property
    def bytes(self) -> int:
        return self.image.bytes + sum(plan.bytes for _, plan in self.attached)

    @property
    def there(self) -> bool:
        """Nothing is to be done."""
        return self.image.empty and all(plan.empty for _, plan in self.attached)

    @property
    def moves(self) -> tuple[str, ...]:
        """Tags that name another image there now."""
        digest = self.item.descriptor.digest
        return tuple(name for name, known in self.image.names if known is not None and known.digest != digest)


@dataclass(frozen=True, slots=True)
class Delivered:
    """One image at its destination, or why it is not."""

    name: str  # repository:tag, here
    reference: str  # registry/repository:tag, there
    digest: Digest
    bytes: int  # sent; in a dry run: to be sent
    state: Literal["there", "sent", "to send", "failed"]
    problem: str = ""
    mend: str = ""
    exit_code: int = 0
