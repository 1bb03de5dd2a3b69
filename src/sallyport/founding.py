"""Takes a new site -> gives it keys and trust, before its first run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sallyport.bundle import RootKeys, TrustStore, add_root, fingerprint, init_root
from sallyport.errors import ConflictError, UsageError
from sallyport.sign import FileSigner, PublicKey, Purpose
from sallyport.site import Site

OUTSIDE = (Purpose.RELEASE, Purpose.SCAN, Purpose.SNAPSHOT, Purpose.TIMESTAMP)
INSIDE = (Purpose.ADMISSION, Purpose.RECEIPT)
ROOT_VALID = timedelta(days=5 * 365)
_LIMIT = 1024 * 1024  # bytes of a root file


@dataclass(frozen=True, slots=True)
class KeyLine:
    """One key of a site."""

    purpose: str
    path: Path  # of the public half
    id: str


def roots_folder(site: Site) -> Path:
    """Where the outside keeps its chain of roots."""
    return site.keys.folder / "roots"


def trust_folder(site: Site) -> Path:
    """Where the inside keeps the root that it trusts and how far it has come."""
    return site.keys.folder / "trust"


def root_files(site: Site) -> tuple[Path, ...]:
    """The outside's roots, oldest first; none before its trust was founded."""
    return tuple(sorted(roots_folder(site).glob("[1-9]*.root.json"), key=lambda path: int(path.name.split(".")[0])))


def is_trusting(site: Site) -> bool:
    """Whether the inside has pinned a root."""
    return any(trust_folder(site).glob("*.root.json"))


def create_keys(site: Site) -> tuple[KeyLine, ...]:
    """Make this side's missing keys; people (root holders, approvers) make theirs with ``key new``."""
    purposes = OUTSIDE if site.config.side == "outside" else INSIDE
    site.keys.create(purposes)
    return tuple(
        KeyLine(purpose.value, site.keys.path(purpose).with_suffix(".pub"), site.keys.public(purpose).id)
        for purpose in purposes
    )


def new_key(path: Path, passphrase: str | None) -> KeyLine:
    """Make one key for a person."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return KeyLine("person", path.with_suffix(".pub"), FileSigner.generate(path, passphrase).public.id)


def read_public(path: Path) -> PublicKey:
    """A public key's file.

    Raises:
        UsageError: it cannot be read.
        MalformedError: it is no ECDSA P-256 key.
    """
    return PublicKey(_read(path, "public key").decode("ascii", errors="replace"))


def found_trust(
    site: Site,
    root_keys: Sequence[Path],
    approvers: Sequence[Path],
    *,
    root_threshold: int,
    approver_threshold: int,
    passphrase: str | None = None,
) -> tuple[Path, str]:
    """Write the destination's first root; returns its file and the fingerprint to be read to the inside.

    Raises:
        ConflictError: there is a root already.
    """
    site.must_be("outside", "key root")
    if root_files(site):
        raise ConflictError(
            f"{site.config.destination} has a root already, in {roots_folder(site)}",
            "the inside trusts it: rotate it instead of founding another",
        )
    signers = [FileSigner.load(path, passphrase) for path in root_keys]
    keys = RootKeys(
        root=tuple(signer.public for signer in signers),
        targets=tuple(read_public(path) for path in approvers),
        snapshot=(site.keys.public(Purpose.SNAPSHOT),),
        timestamp=(site.keys.public(Purpose.TIMESTAMP),),
        root_threshold=root_threshold,
        targets_threshold=approver_threshold,
    )
    raw = init_root(site.config.destination, keys, signers, expires=site.clock.now() + ROOT_VALID)
    path = add_root(roots_folder(site), raw)
    site.store.state.append("founded", site.config.destination, {"root": fingerprint(raw)})
    return path, f"sha256:{fingerprint(raw)}"


def pin_trust(site: Site, root_file: Path, expected: str) -> None:
    """Import the outside's root on the inside, once, by its fingerprint.

    Raises:
        WrongFingerprintError: it is another root than the one that was read out.
        TrustExistsError: one is pinned already.
    """
    site.must_be("inside", "key trust")
    trust = TrustStore.create(trust_folder(site), _read(root_file, "root"), expect=expected)
    if trust.destination != site.config.destination:
        raise UsageError(
            f"the root is for {trust.destination}, and this is {site.config.destination}",
            f"remove {trust_folder(site)} and pin the root of this destination",
        )
    site.store.state.append("trusted", site.config.destination, {"root": expected})


def _read(path: Path, what: str) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_LIMIT)
    except OSError as error:
        raise UsageError(f"cannot read the {what} {path}: {error.strerror}", "name an existing file") from error
