"""The YAML of ``skopeo sync --src yaml``. Source: skopeo-sync(1), "YAML file content"."""

from __future__ import annotations

from sallyport.adopt.model import Adopted, MirrorEntry, RegistryEntry, is_digest
from sallyport.adopt.patterns import every_tag, from_regex, from_semver
from sallyport.discover import Leaf, Map, Seq
from sallyport.oci import is_tag

_KNOWN = {"images", "images-by-tag-regex", "images-by-semver", "credentials", "tls-verify", "cert-dir"}


def read_skopeo(document: Map, adopted: Adopted) -> None:
    for registry, about in document.items.items():
        if not isinstance(about, Map):
            adopted.lose(about.line, registry, "nothing is said about this registry")
            continue
        _read_images(registry, about, adopted)
        for name, value in about.map("images-by-tag-regex").items.items():
            if isinstance(value, Leaf) and (tag := from_regex(value.text, value.line, adopted, anchored=False)):
                adopted.mirror.append(MirrorEntry(value.line, f"{registry}/{name}", (tag,)))
        for name, value in about.map("images-by-semver").items.items():
            if isinstance(value, Leaf) and (tags := from_semver(value.text, value.line, adopted)):
                adopted.mirror.append(MirrorEntry(value.line, f"{registry}/{name}", tags))
        for name, value in about.items.items():
            if name == "credentials":
                adopted.lose(value.line, f"{registry}: credentials", "logins are kept by: skopeo login or docker login")
            elif name == "cert-dir" and isinstance(value, Leaf):
                adopted.registry(RegistryEntry(value.line, registry, certificates={"ca": f"{value.text}/ca.crt"}))
                adopted.lose(
                    value.line,
                    f"{registry}: cert-dir",
                    "ca: is one file here: check that it names the right one of them",
                )
            elif name == "tls-verify" and isinstance(value, Leaf) and value.text.lower() == "false":
                adopted.lose(
                    value.line,
                    f"{registry}: tls-verify",
                    "certificates are always verified here: name the registry's authority with ca:, "
                    "or say plain-http: true where it speaks no TLS",
                )
            elif name not in _KNOWN:
                adopted.lose(value.line, f"{registry}: {name}", "it is no setting of skopeo sync")


def _read_images(registry: str, about: Map, adopted: Adopted) -> None:
    for name, value in about.map("images").items.items():
        leaves = [item for item in value.items if isinstance(item, Leaf)] if isinstance(value, Seq) else []
        said = [leaf.text for leaf in leaves]
        tags = tuple(text for text in said if is_tag(text))
        digests = tuple(text for text in said if is_digest(text))
        for leaf in leaves:
            if leaf.text not in tags and leaf.text not in digests:
                adopted.lose(leaf.line, leaf.text[:120], "it is neither a tag nor a digest")
        if tags or digests or not leaves:
            adopted.mirror.append(
                MirrorEntry(value.line, f"{registry}/{name}", tags if leaves else every_tag(()), digests)
            )
