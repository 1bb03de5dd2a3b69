"""The files that make a bundle's folder an OCI image layout. Source: OCI image-spec 1.1, image-layout.md."""

from __future__ import annotations

import re
from dataclasses import replace

from sallyport.bundle.model import Contents, Released
from sallyport.oci import REF_NAME, Descriptor, build_index, render_json

LAYOUT_FILE = "oci-layout"
INDEX_FILE = "index.json"
CONTENTS_FILE = "bundle.json"
LAYOUT = render_json({"imageLayoutVersion": "1.0.0"})

# Source: OCI image-spec 1.1, annotations.md, the grammar of org.opencontainers.image.ref.name.
_COMPONENT = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
_REF = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*\Z")


def ref_name(repository: str, name: str, descriptor: Descriptor) -> str:
    """What other tools call an entry: ``repository:tag``, as in ``skopeo inspect oci:FOLDER:repository:tag``.

    skopeo splits at the first colon, so the folder must have none; it refuses names outside the annotation's
    grammar, which is narrower than that of repositories and tags (no ``__``), so those go by their digest.
    """
    text = f"{repository}:{name}"
    return text if _REF.match(text) else str(descriptor.digest)


def render_index(contents: Contents) -> bytes:
    """``index.json``: every released image and everything attached to one, in the order of the statement."""
    entries: list[Descriptor] = []
    for one in contents.released:
        entries.append(_named(one, one.tag, one.descriptor))
        entries.extend(
            _named(one, at.tag, at.descriptor) if at.tag else replace(at.descriptor, annotations={})
            for at in one.attached
        )
    return build_index(entries).raw


def _named(one: Released, name: str, descriptor: Descriptor) -> Descriptor:
    return replace(descriptor, annotations={REF_NAME: ref_name(one.repository, name, descriptor)})
