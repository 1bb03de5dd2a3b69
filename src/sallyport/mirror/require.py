"""What must be attached to an image before it may come; pure.

Sources: cosign's tag scheme; the artifact types of sigstore bundles, notation signatures, CycloneDX and SPDX bills;
in-toto's provenance predicate types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from sallyport.errors import UnsignedError
from sallyport.mirror.upstream import Piece, Tree
from sallyport.oci import Descriptor, Manifest, Reference

_PREDICATE = ("predicateType", "dev.sigstore.bundle.predicateType", "in-toto.io/predicate-type")
_SIGNATURES = ("application/vnd.dev.sigstore.bundle", "application/vnd.cncf.notary.signature")
_COSIGN_SIGN = "https://sigstore.dev/cosign/sign/"
_BILLS = ("cyclonedx", "spdx")
_WHAT = {"signature": "no signature", "bill": "no bill of materials", "provenance": "no provenance"}


def check_required(required: Sequence[str], tree: Tree, cosign: Mapping[str, Descriptor], what: Reference) -> None:
    """Whether each of ``required`` is attached to the image, or to one that its index names; not whether it holds.

    Raises:
        UnsignedError: something is missing.
    """
    said = {kind for piece in tree.pieces if piece.subject is not None or _stated(piece) for kind in _kinds(piece)}
    if any(name.endswith(".sig") for name in cosign):
        said.add("signature")
    if any(name.endswith(".sbom") for name in cosign):
        said.add("bill")
    missing = [kind for kind in required if kind not in said]
    if missing:
        raise UnsignedError(
            f"{what} has {' and '.join(_WHAT[kind] for kind in missing)} attached, and require: asks for it",
            "ask its publisher to attach it, or take that out of require:",
        )


def _stated(piece: Piece) -> bool:
    """Whether it is a statement that a build tool put beside an image, in the same index."""
    return isinstance(piece.document, Manifest) and any(
        "in-toto" in layer.media_type for layer in piece.document.layers
    )


def _kinds(piece: Piece) -> Iterator[str]:
    document = piece.document
    notes = [document.annotations]
    if isinstance(document, Manifest):
        notes += [layer.annotations for layer in document.layers]
    predicates = [value for note in notes for key in _PREDICATE if (value := note.get(key, ""))]
    kind = document.artifact_type or piece.descriptor.artifact_type
    if kind.startswith(_SIGNATURES) and (not predicates or any(text.startswith(_COSIGN_SIGN) for text in predicates)):
        yield "signature"
    for text in (kind, *predicates):
        if any(name in text.lower() for name in _BILLS):
            yield "bill"
        if "provenance" in text.lower():
            yield "provenance"
