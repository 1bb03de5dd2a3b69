"""Step 13: say what the inside holds, so that the next bundle can leave it out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from sallyport.bundle import FORMAT, RECEIPT_SUFFIX, Position, Receipt, Released, receipt_name, sign_receipt
from sallyport.engine import write_file
from sallyport.oci import Digest, Index, decode, load_manifest
from sallyport.sign import Signer
from sallyport.store import Store

RECEIVED = "received"
"""The kind of the facts that name every image ever imported from a bundle, by ``repository:tag@digest``."""
_FOLDER = "receipts"


def make_receipt(
    store: Store, *, destination: str, position: Position, now: datetime, refused: Sequence[str] = ()
) -> Receipt:
    """What ``store`` holds now: every blob that a held manifest needs, and every imported image still under its tag.

    Blobs were proven when they came in. What nothing holds is not listed: garbage collection may take it.
    """
    holds: set[Digest] = set()
    for held in {held.descriptor.digest: held.descriptor for held in store.state.manifests()}.values():
        if not store.blobs.has(held.digest):
            continue
        manifest = load_manifest(store.blobs, held)
        below = manifest.manifests if isinstance(manifest, Index) else manifest.blobs
        holds.add(held.digest)
        holds.update(descriptor.digest for descriptor in below if store.blobs.has(descriptor.digest))
    imported = []
    for name, raw in store.state.facts(RECEIVED):
        released = decode(raw, Released, what=f"the release {name}")
        tag = store.state.tag(released.repository, released.tag)
        if tag is not None and tag.descriptor.digest == released.descriptor.digest:
            imported.append(name)
    return Receipt(FORMAT, destination, position, now, tuple(sorted(holds)), tuple(sorted(imported)), tuple(refused))


def keep_receipt(store: Store, receipt: Receipt, signer: Signer) -> Path:
    """Sign the receipt and keep it under ``receipts/``; one of the same position is replaced."""
    path = store.root / _FOLDER / receipt_name(receipt.destination, receipt.position)
    write_file(path, sign_receipt(receipt, signer))
    return path


def receipts_of(store: Store) -> Iterator[Path]:
    """Every receipt that this inside has written, to be carried back."""
    folder = store.root / _FOLDER
    if folder.is_dir():
        yield from sorted(path for path in folder.iterdir() if path.name.endswith(RECEIPT_SUFFIX))
