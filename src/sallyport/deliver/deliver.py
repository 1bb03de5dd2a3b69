"""Plans what images need at a destination, and sends it: an image first, what is said about it next, its tags last."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sallyport.deliver.classic import merge, shared
from sallyport.deliver.model import Attachment, Delivered, Item, Planned
from sallyport.engine import Executor, Inline, Progress, Silent
from sallyport.errors import SallyportError, StorageError
from sallyport.oci import BlobReader, Digest, Manifest, load_manifest, reachable
from sallyport.registry import PushPlan, RegistryClient, carry_out, plan_push

_SILENT = Silent()
_INLINE = Inline()


def plan_item(
    client: RegistryClient,
    there: str,
    item: Item,
    blobs: BlobReader,
    *,
    known: Collection[Digest] = (),
    executor: Executor = _INLINE,
) -> Planned:
    """What ``item`` needs in their repository ``there``; every manifest and blob that is not ``known`` is asked for.

    Raises:
        as :func:`sallyport.registry.plan_push`.
    """
    image = plan_push(client, there, item.tags, blobs, item.descriptor, known=known, executor=executor)
    attached = tuple((one, _plan_attachment(client, there, one, blobs, executor=executor)) for one in item.attached)
    return Planned(item, f"{client.registry}/{there}:{item.tags[0]}", image, attached)


def send_item(
    client: RegistryClient,
    planned: Planned,
    blobs: BlobReader,
    *,
    mount_from: Mapping[Digest, str],
    progress: Progress = _SILENT,
    executor: Executor = _INLINE,
) -> int:
    """Do what is planned; returns the bytes sent.

    The image goes by its digest, then its signatures, then its tags: whoever sees a tag finds them there.

    Raises:
        as :func:`sallyport.registry.push_image`.
    """
    digest = str(planned.item.descriptor.digest)
    unnamed = replace(planned.image, names=((digest, client.head(planned.image.repository, digest)),))
    sent = carry_out(client, unnamed, blobs, mount_from=mount_from, progress=progress, executor=executor)
    for attachment, plan in planned.attached:
        sent += _send_attachment(client, attachment, plan, blobs)
    return sent + carry_out(client, replace(planned.image, manifests=(), blobs=()), blobs)


def deliver(
    client: RegistryClient,
    names: Mapping[str, str],
    items: Sequence[Item],
    blobs: BlobReader,
    *,
    dry_run: bool = False,
    absent: Collection[str] = (),
    progress: Progress = _SILENT,
    executor: Executor = _INLINE,
) -> tuple[Delivered, ...]:
    """Bring every item to ``names[item.repository]``; one that fails holds up no other.

    A dry run does not ask for their repositories in ``absent``: they would only be made, and products say of what
    is not there that it is forbidden.

    Raises:
        StorageError: our own disk fails.
    """
    results: list[Delivered] = []
    held: dict[Digest, str] = {}  # where over there a blob is, so that it is taken over rather than sent again
    known: dict[str, set[Digest]] = {}  # what is in which of their repositories by now, or would be
    said: dict[str, set[tuple[Digest, str]]] = {}  # and what is attached there
    for whole in items:
        there = names[whole.repository]
        attached = said.setdefault(there, set())
        # Several tags of one image have the same signatures.
        new = tuple(one for one in whole.attached if (one.descriptor.digest, one.tag) not in attached)
        item = replace(whole, attached=new)
        reference = f"{client.registry}/{there}:{item.tags[0]}"
        digest = item.descriptor.digest
        mine = known.setdefault(there, set())
        try:
            if dry_run and there in absent:
                size = _size(item, blobs, mine)
                results.append(Delivered(item.name, reference, digest, size, "to send"))
            else:
                planned = plan_item(client, there, item, blobs, known=mine, executor=executor)
                if planned.there:
                    results.append(Delivered(item.name, reference, digest, 0, "there"))
                elif dry_run:
                    results.append(Delivered(item.name, reference, digest, planned.bytes, "to send"))
                else:
                    sent = send_item(client, planned, blobs, mount_from=held, progress=progress, executor=executor)
                    results.append(Delivered(item.name, reference, digest, sent, "sent"))
            attached.update((one.descriptor.digest, one.tag) for one in new)
            mine.update(one.digest for one in reachable(blobs, item.descriptor))
        except StorageError:
            raise
        except SallyportError as error:
            results.append(
                Delivered(item.name, reference, digest, 0, "failed", error.message, error.mend, error.exit_code)
            )
        else:
            held.update(dict.fromkeys(mine, there))
    return tuple(results)


def _size(item: Item, blobs: BlobReader, known: Collection[Digest]) -> int:
    everything = [item.descriptor, *(one.descriptor for one in item.attached)]
    sizes = {below.digest: below.size for one in everything for below in reachable(blobs, one)}
    return sum(size for digest, size in sizes.items() if digest not in known)


def _plan_attachment(
    client: RegistryClient, there: str, one: Attachment, blobs: BlobReader, *, executor: Executor
) -> PushPlan:
    plan = plan_push(client, there, (one.tag,) if one.tag else (), blobs, one.descriptor, executor=executor)
    if not (one.tag and shared(one.tag) and plan.wanted and plan.names[0][1] is not None):
        return plan
    theirs, ours = client.manifest(there, one.tag), load_manifest(blobs, one.descriptor)
    if isinstance(theirs, Manifest) and isinstance(ours, Manifest) and merge(theirs, ours) is None:
        # Others signed it, too, and ours are among theirs already.
        return replace(plan, names=((one.tag, one.descriptor),), blobs=(), manifests=())
    return plan


def _send_attachment(client: RegistryClient, one: Attachment, plan: PushPlan, blobs: BlobReader) -> int:
    if plan.empty:
        return 0
    if not (one.tag and shared(one.tag) and plan.names[0][1] is not None):
        return carry_out(client, plan, blobs)
    theirs, ours = client.manifest(plan.repository, one.tag), load_manifest(blobs, one.descriptor)
    if not isinstance(theirs, Manifest) or not isinstance(ours, Manifest):
        return carry_out(client, plan, blobs)
    sent = carry_out(client, replace(plan, names=((one.tag, one.descriptor),)), blobs)
    merged = merge(theirs, ours)
    if merged is None:
        return sent
    config = merged.manifest.config
    if not client.has_blob(plan.repository, config.digest):
        sent += client.push_blob(plan.repository, config.digest, config.size, lambda: [merged.config])
    client.push_manifest(plan.repository, one.tag, merged.manifest)
    return sent + len(merged.manifest.raw)
