"""Images of a running cluster, as kubectl tells them."""

from __future__ import annotations

from typing import Any

from sallyport.discover.model import Finds, read_reference
from sallyport.engine import run_program
from sallyport.errors import MalformedError, OversizeError, SallyportError, UnreachableError
from sallyport.oci import Reference

_WHAT = "pods,replicationcontrollers,deployments.apps,statefulsets.apps,daemonsets.apps,jobs.batch,cronjobs.batch"
_TIMEOUT_S = 300.0
_OUTPUT = 512 * 1024 * 1024  # bytes
_KINDS = (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses"),
          ("ephemeralContainers", "ephemeralContainerStatuses"))  # fmt: skip


def scan_cluster(context: str, finds: Finds) -> None:
    """Every pod and what makes pods; running ones by the digest that runs. ``context``: kubectl's; empty: its own.

    Raises:
        MissingProgramError: there is no kubectl.
        UnreachableError: it does not get to the cluster, or may not ask it.
        MalformedError, OversizeError: what it says is no list of objects.
    """
    import msgspec

    argv = ["kubectl", *(["--context", context] if context else []), "get", _WHAT, "--all-namespaces", "-o", "json"]
    ran = run_program(argv, timeout_s=_TIMEOUT_S, max_output=_OUTPUT)
    if ran.status:
        said = ran.stderr.decode("utf-8", "replace").strip()[-500:]
        raise UnreachableError(f"kubectl cannot ask the cluster: {said}", "try: kubectl get pods --all-namespaces")
    if len(ran.stdout) >= _OUTPUT:
        raise OversizeError(f"the cluster says over {_OUTPUT} bytes", "export its objects, and look at the files")
    try:
        items = msgspec.json.decode(ran.stdout, type=dict[str, Any])["items"]
        for item in items:
            _scan_object(item, finds)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise MalformedError("what kubectl says is no list of objects", "try: kubectl get pods -A -o json") from error


def _scan_object(item: dict[str, Any], finds: Finds) -> None:
    kind, meta, spec = str(item["kind"]), item["metadata"], item.get("spec") or {}
    where = f"cluster: {meta.get('namespace', '')}/{kind.lower()}/{meta['name']}"
    if kind == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    if kind != "Pod":
        spec = (spec.get("template") or {}).get("spec") or {}
    status = item.get("status") or {}
    for containers, statuses in _KINDS:
        running = {state["name"]: str(state.get("imageID") or "") for state in status.get(statuses) or ()}
        for container in spec.get(containers) or ():
            finds.image(_pinned(str(container["image"]), running.get(container["name"], "")), where, 0)


def _pinned(image: str, identity: str) -> str:
    """With the digest that runs, where the runtime says one of the same repository; some say the configuration's."""
    if "@" not in identity:
        return image
    try:
        named, runs = read_reference(image), read_reference(identity)
    except SallyportError:
        return image
    if (named.registry, named.repository) != (runs.registry, runs.repository):
        return image
    return str(Reference(named.registry, named.repository, named.tag, runs.digest))
