"""Sign and verify metadata through python-tuf's Metadata API. Source: TUF 1.0.31, 5 (the client workflow).

Not its ngclient: that one takes files from the network into a cache, and this reads a sealed folder in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sallyport.bundle.errors import MalformedMetadataError, UnsignedBundleError, WronglySignedError
from sallyport.bundle.profile import MARK, ROOT_LIMIT, RootFile, read_shape
from sallyport.oci import Digest, parse_json, render_json
from sallyport.sign import PublicKey, Signer, tuf_key, tuf_signer

if TYPE_CHECKING:
    from tuf.api.metadata import Metadata, MetaFile, Root, TargetFile  # type: ignore[attr-defined]

TARGETS = "targets"
SNAPSHOT = "snapshot"
TIMESTAMP = "timestamp"
ROOT = "root"
_KEEP = "do not use it; keep the medium as evidence, and ask the outside which keys sign now"


def parse(raw: bytes) -> Metadata[Any]:
    """python-tuf's view of a file that has passed :func:`~sallyport.bundle.profile.read_shape`.

    Raises:
        MalformedMetadataError: the library does not accept it.
    """
    from tuf.api.metadata import Metadata

    try:
        value: Any = parse_json(raw, what="metadata", limit=len(raw))
        return Metadata.from_dict(value)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise MalformedMetadataError(f"metadata: {str(error)[:200]}", _KEEP) from error


def render(metadata: Metadata[Any]) -> bytes:
    """The one form in which metadata is written: canonical JSON, signatures in the order of their keys."""
    value = metadata.to_dict()
    value["signatures"] = sorted(value["signatures"], key=lambda signature: str(signature["keyid"]))
    return render_json(value)


def sign_metadata(raw: bytes, signers: Sequence[Signer]) -> bytes:
    """Add signatures; one that is there already is made again, and comes out the same.

    Raises:
        MalformedMetadataError: it is no metadata that could be signed.
    """
    from tuf.api.exceptions import RepositoryError

    metadata = parse(raw)
    try:
        for signer in signers:
            metadata.sign(tuf_signer(signer), append=True)
        return render(metadata)
    except RepositoryError as error:
        raise MalformedMetadataError(f"the metadata cannot be signed: {str(error)[:200]}", _KEEP) from error


def verify_role(root: Metadata[Root], role: str, metadata: Metadata[Any], *, what: str) -> None:
    """Prove that ``metadata`` is signed for ``role`` by those whom ``root`` names, and by nobody else.

    Raises:
        UnsignedBundleError: there is no signature in it.
        WronglySignedError: one does not verify or is by another key, or there are fewer than the threshold.
    """
    if not metadata.signatures:
        raise UnsignedBundleError(f"{what} is not signed", "let the approvers and the pipeline sign, then seal again")
    result = root.signed.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    _every_one(metadata, set(result.signed), set(result.signed) | set(result.unsigned), role, what)
    _enough(len(result.signed), result.threshold, f"{what} ({role})")


def verify_root(previous: Metadata[Root] | None, root: Metadata[Root], *, what: str) -> None:
    """Prove that ``root`` is signed by its own and by the ``previous`` root's keys, each to their threshold.

    Raises:
        UnsignedBundleError, WronglySignedError: as for :func:`verify_role`.
    """
    if not root.signatures:
        raise UnsignedBundleError(f"{what} is not signed", "let the root's holders sign it")
    payload = root.signed_bytes
    own = root.signed.get_verification_result(ROOT, payload, root.signatures)
    before = own if previous is None else previous.signed.get_verification_result(ROOT, payload, root.signatures)
    known = set(own.signed) | set(own.unsigned) | set(before.signed) | set(before.unsigned)
    _every_one(root, set(own.signed) | set(before.signed), known, ROOT, what)
    _enough(len(own.signed), own.threshold, f"{what} (its own root keys)")
    _enough(len(before.signed), before.threshold, f"{what} (the previous root's keys)")


def _every_one(metadata: Metadata[Any], good: set[str], known: set[str], role: str, what: str) -> None:
    # A surplus signature that nobody checks would be a place where a flipped bit goes unseen.
    for keyid in metadata.signatures:
        if keyid not in known:
            raise WronglySignedError(f"{what} has a signature by {keyid[:16]}, which is no key of {role}", _KEEP)
        if keyid not in good:
            raise WronglySignedError(
                f"{what}: the signature by {keyid[:16]} does not verify; the file was changed after it was signed",
                _KEEP,
            )


def _enough(signed: int, threshold: int, what: str) -> None:
    if signed < threshold:
        raise WronglySignedError(
            f"{what} has {signed} of {threshold} signatures", "let more of those who hold a key for it sign"
        )


# --- making -------------------------------------------------------------------------------


def build_root(
    destination: str,
    version: int,
    expires: datetime,
    keys: dict[str, tuple[Sequence[PublicKey], int]],
) -> bytes:
    """An unsigned root; ``keys`` maps each role to its keys and threshold."""
    from tuf.api.metadata import Metadata, Role, Root  # type: ignore[attr-defined]

    tuf = {key.id: tuf_key(key) for members, _ in keys.values() for key in members}
    roles = {
        role: Role(list(dict.fromkeys(tuf[key.id].keyid for key in members)), threshold)
        for role, (members, threshold) in keys.items()
    }
    root = Root(
        version,
        expires=expires,
        keys={key.keyid: key for key in tuf.values()},
        roles=roles,
        consistent_snapshot=False,
        unrecognized_fields={MARK: {"destination": destination}},
    )
    raw = render(Metadata(root))
    read_shape(raw, RootFile, what="the root", limit=ROOT_LIMIT)
    return raw


def build_targets(
    files: dict[str, bytes], *, version: int, expires: datetime, destination: str, epoch: int, root: int
) -> bytes:
    """Unsigned targets that name ``files`` by path, length and digest."""
    from tuf.api.metadata import Metadata, TargetFile, Targets  # type: ignore[attr-defined]

    targets: dict[str, TargetFile] = {
        path: TargetFile(len(data), {"sha256": Digest.of(data).hex}, path) for path, data in files.items()
    }
    mark = {MARK: {"destination": destination, "epoch": epoch, "root": root}}
    return render(Metadata(Targets(version, expires=expires, targets=targets, unrecognized_fields=mark)))


def build_snapshot(targets: bytes, *, version: int, expires: datetime) -> bytes:
    """An unsigned snapshot that names ``targets.json``."""
    from tuf.api.metadata import Metadata, Snapshot  # type: ignore[attr-defined]

    return render(Metadata(Snapshot(version, expires=expires, meta={"targets.json": _meta(version, targets)})))


def build_timestamp(snapshot: bytes, *, version: int, expires: datetime) -> bytes:
    """An unsigned timestamp that names ``snapshot.json``."""
    from tuf.api.metadata import Metadata, Timestamp  # type: ignore[attr-defined]

    return render(Metadata(Timestamp(version, expires=expires, snapshot_meta=_meta(version, snapshot))))


def _meta(version: int, raw: bytes) -> MetaFile:
    from tuf.api.metadata import MetaFile  # type: ignore[attr-defined]

    return MetaFile(version, len(raw), {"sha256": Digest.of(raw).hex})
