"""Step 12: let a passed image in. Each part may be done again: a kill between any two is gone on from."""

from __future__ import annotations

from collections.abc import Iterable

from sallyport.bundle import Released
from sallyport.errors import UsageError
from sallyport.oci import BlobReader, Descriptor, encode, walk
from sallyport.receive.quarantine import Quarantine
from sallyport.receive.receipt import RECEIVED
from sallyport.sign import attach, read_artifact
from sallyport.store import Store


def conflict(released: Released, store: Store) -> str:
    """Why the image cannot have its tag; empty where it can."""
    tag = store.state.tag(released.repository, released.tag)
    if tag is None or tag.descriptor.digest == released.descriptor.digest:
        return ""
    return f"{released.repository}:{released.tag} names {tag.descriptor.digest} here already, and never moves"


def admit(
    released: Released, descriptors: Iterable[Descriptor], quarantine: Quarantine, blobs: BlobReader, store: Store
) -> tuple[str, ...]:
    """Adopt the blobs, hold the manifests, attach what is about them, and set the immutable tag last.

    ``descriptors`` is everything below the release, what is referred to before what refers to it. Returns what
    could not be attached, and why; the image's own signatures come first, so they are not among it.
    """
    for descriptor in descriptors:
        quarantine.move_to(store.blobs, descriptor.digest, descriptor.size)
    for descriptor, manifest in walk(blobs, released.descriptor):
        subject = None if manifest.subject is None else manifest.subject.digest
        store.state.hold(released.repository, descriptor, subject=subject)
    notes = []
    for attached in released.attached:
        if attached.tag:
            # Held as it came, beside what it is merged with: the receipt names it, so it need not come again.
            store.state.hold(released.repository, attached.descriptor)
        try:
            # Merged with what the inside has attached by itself: its own signatures stay.
            attach(store, released.repository, read_artifact(blobs, attached.descriptor, tag=attached.tag))
        except UsageError as error:
            notes.append(f"{released.name}: {attached.descriptor.digest} was not attached: {error.message}")
    store.state.put_fact(RECEIVED, released.name, encode(released))
    # The tag last: whoever sees it finds everything there.
    store.state.set_tag(released.repository, released.tag, released.descriptor, immutable=True)
    return tuple(notes)
