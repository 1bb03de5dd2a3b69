"""regsync's YAML, version 1. Source: regclient's documentation of regsync, "Configuration File"."""

from __future__ import annotations

from sallyport.adopt.model import Adopted, MirrorEntry, RegistryEntry
from sallyport.adopt.patterns import every_tag, from_regex, from_semver
from sallyport.discover import Leaf, Map
from sallyport.errors import SallyportError
from sallyport.oci import Reference

_NOT_HERE = {
    "backup": "nothing is overwritten here: released tags are immutable",
    "interval": "one schedule counts for all: schedule: in sallyport.yaml",
    "schedule": "one schedule counts for all: schedule: in sallyport.yaml",
    "ratelimit": "what a registry says of its limits is always heeded",
    "mediaTypes": "every kind of manifest is mirrored",
    "hooks": "there are no hooks: call sallyport from what waits for it",
    "forceRecursive": "an image is always compared whole",
    "includeExternal": "layers that lie elsewhere are not mirrored",
    "referrerSource": "referrers come from the image's own repository",
    "referrerTarget": "referrers stay beside their image",
    "referrerFilters": "everything that is attached is mirrored",
    "parallel": "connections: of a registry says how many at a time",
    "skipDockerConfig": "the logins of container tools are always used",
    "cacheCount": "there is nothing to set",
    "cacheTime": "there is nothing to set",
    "userAgent": "there is nothing to set",
    "blobLimit": "there is nothing to set",
}
_READ = {"source", "target", "type", "tags", "tagSets", "platform", "platforms", "referrers", "digestTags", "fastCopy"}
_LOGIN = {"user", "pass", "token", "credHelper", "credExpire", "credHost"}
_CREDS = {"registry", "hostname", "tls", "regcert", "clientCert", "clientKey", "mirrors", "pathPrefix", *_LOGIN}


def read_regsync(document: Map, adopted: Adopted) -> None:
    for item in document.list("creds"):
        if isinstance(item, Map):
            _read_host(item, adopted)
    for name, value in document.map("defaults").items.items():
        adopted.lose(value.line, f"defaults: {name}", _NOT_HERE.get(name, "there is no such setting here"))
    for item in document.list("sync"):
        if isinstance(item, Map):
            _read_sync(item, adopted)
    for name, value in document.items.items():
        if name not in {"version", "creds", "defaults", "sync"} and not name.startswith("x-"):
            adopted.lose(value.line, name, "it is no setting of regsync")


def _read_host(item: Map, adopted: Adopted) -> None:
    name, host = item.text("registry"), item.text("hostname")
    files = {"ca": item.text("regcert"), "certificate": item.text("clientCert"), "key": item.text("clientKey")}
    certificates = {key: text for key, text in files.items() if text}
    for key in tuple(certificates):
        if "BEGIN" in certificates[key]:
            adopted.lose(item.line, f"{name}: {key}", "write the certificate into a file, and name the file")
            del certificates[key]
    if set(certificates) & {"certificate", "key"} == {"certificate"} or set(certificates) == {"key"}:
        adopted.lose(item.line, f"{name}: clientCert", "a certificate needs its key, and a key its certificate")
        certificates = {key: text for key, text in certificates.items() if key == "ca"}
    prefix = item.text("pathPrefix").strip("/")
    address = f"{host or name}/{prefix}" if prefix else host if host != name else ""
    mirrors = tuple(leaf.text for leaf in item.list("mirrors") if isinstance(leaf, Leaf))
    tls = item.text("tls")
    if tls == "insecure":
        adopted.lose(
            item.line, f"{name}: tls: insecure", "certificates are always verified: name the authority with ca:"
        )
    if not name:
        adopted.lose(item.line, "creds", "an entry without registry: says nothing")
        return
    adopted.registry(
        RegistryEntry(item.line, name, address, True if tls == "disabled" else None, certificates, mirrors)
    )
    for key, value in item.items.items():
        if key in _LOGIN:
            adopted.lose(value.line, f"{name}: {key}", "logins are kept by: docker login, or a credential helper")
        elif key not in _CREDS:
            adopted.lose(value.line, f"{name}: {key}", "there is no such setting for a registry here")


def _read_sync(item: Map, adopted: Adopted) -> None:
    source, kind = item.text("source"), item.text("type")
    for name, value in item.items.items():
        if name not in _READ:
            adopted.lose(value.line, f"{source}: {name}", _NOT_HERE.get(name, "there is no such setting here"))
    platforms = [item.text("platform"), *(leaf.text for leaf in item.list("platforms") if isinstance(leaf, Leaf))]
    if "{{" in source or "{{" in item.text("target"):
        adopted.lose(item.line, source, "templates are not filled in here: write the name out")
    elif source.startswith("ocidir:"):
        adopted.lose(item.line, source, "write it as from: oci:FOLDER, with to: and the tags")
    elif kind == "registry":
        adopted.lose(item.line, source, "a whole registry cannot be mirrored: name its repositories")
    elif kind == "image":
        adopted.image(source, item.line, platforms=platforms, to=_without_tag(item.text("target")))
        _tell_renamed(item, source, adopted)
    elif kind == "repository":
        _read_repository(item, source, platforms, adopted)
    else:
        adopted.lose(item.line, source, f"there is no type {kind or '(none)'} of synchronisation")


def _read_repository(item: Map, source: str, platforms: list[str], adopted: Adopted) -> None:
    try:
        reference = Reference.parse(source)
    except SallyportError as error:
        adopted.lose(item.line, source[:120], error.message)
        return
    sets = [item.map("tags"), *(part for part in item.list("tagSets") if isinstance(part, Map))]
    sets = [part for part in sets if part.items] or [Map(item.line)]
    to = adopted.repository(item.text("target"), item.line, reference.repository) if item.text("target") else ""
    for part in sets:
        allow = _patterns(part, "allow", adopted)
        ranges = tuple(
            pattern
            for leaf in part.list("semverRange")
            if isinstance(leaf, Leaf)
            for pattern in from_semver(leaf.text, leaf.line, adopted)
        )
        if ranges and allow:
            adopted.lose(part.line, f"{source}: allow", "beside semverRange: only the range selects here")
            allow = ()
        if (part.list("semverRange") or part.list("allow")) and not (ranges or allow):
            continue  # why is told; nothing must not become everything
        adopted.mirror.append(
            MirrorEntry(
                part.line,
                f"{reference.registry}/{reference.repository}",
                every_tag([*ranges, *allow]),
                deny=_patterns(part, "deny", adopted),
                platforms=adopted.platforms(platforms, item.line),
                to=to,
            )
        )


def _patterns(part: Map, key: str, adopted: Adopted) -> tuple[str, ...]:
    made = (
        from_regex(leaf.text, leaf.line, adopted, anchored=True) for leaf in part.list(key) if isinstance(leaf, Leaf)
    )
    return tuple(pattern for pattern in made if pattern)


def _without_tag(target: str) -> str:
    return target.rpartition(":")[0] if ":" in target.rpartition("/")[2] else target


def _tell_renamed(item: Map, source: str, adopted: Adopted) -> None:
    target = item.text("target")
    new = target.rpartition(":")[2] if ":" in target.rpartition("/")[2] else ""
    old = source.rpartition(":")[2] if ":" in source.rpartition("/")[2] else ""
    if new and new != (old or "latest"):
        adopted.lose(item.line, target, f"tags keep their names here: it is {old or 'latest'}, not {new}")
