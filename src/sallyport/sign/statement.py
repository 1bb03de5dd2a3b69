"""What is said about an image. Source: in-toto attestation framework 1.0, statement.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sallyport.errors import MalformedError
from sallyport.oci import JSON, Digest, parse_json, render_json

STATEMENT_V1 = "https://in-toto.io/Statement/v1"
STATEMENT_V01 = "https://in-toto.io/Statement/v0.1"
LIMIT = 64 * 1024 * 1024
"""Bytes of one statement; a large bill of materials has a few million."""
_MEND = "ask its author for a statement about exactly one image"


@dataclass(frozen=True, slots=True)
class Statement:
    """A predicate about exactly one image; ``name`` is the reference by which its author knew it."""

    digest: Digest
    name: str
    predicate_type: str
    predicate: JSON = field(hash=False)
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)

    def render(self, *, version: str) -> bytes:
        """As JSON; cosign writes version 1 for signatures and 0.1 for attestations."""
        subject: dict[str, JSON] = {"digest": {self.digest.algorithm: self.digest.hex}}
        if self.name:
            subject["name"] = self.name
        if self.annotations:
            subject["annotations"] = dict(self.annotations)
        return render_json(
            {
                "_type": version,
                "subject": [subject],
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )

    @classmethod
    def parse(cls, raw: bytes, *, what: str) -> Statement:
        """Read a statement.

        Raises:
            MalformedError: not JSON, not a statement, or not about exactly one thing.
        """
        value = parse_json(raw, what=what, limit=LIMIT)
        if not isinstance(value, dict) or value.get("_type") not in (STATEMENT_V1, STATEMENT_V01):
            raise MalformedError(f"{what} is not an in-toto statement", _MEND)
        kind, subjects = value.get("predicateType"), value.get("subject")
        if not isinstance(kind, str) or not kind or "predicate" not in value:
            raise MalformedError(f"{what} has no predicate", _MEND)
        subject = subjects[0] if isinstance(subjects, list) and len(subjects) == 1 else None
        if not isinstance(subject, dict):
            raise MalformedError(f"{what} is not about exactly one image", _MEND)
        digests, name, annotations = subject.get("digest"), subject.get("name", ""), subject.get("annotations") or {}
        if not isinstance(digests, dict) or len(digests) != 1 or not isinstance(name, str):
            raise MalformedError(f"{what}: its subject has not exactly one digest", _MEND)
        ((algorithm, hexadecimal),) = digests.items()
        if not isinstance(hexadecimal, str):
            raise MalformedError(f"{what}: its subject's digest is not a string", _MEND)
        if not isinstance(annotations, dict):
            raise MalformedError(f"{what}: its subject's annotations are not an object", _MEND)
        texts = {key: item for key, item in annotations.items() if isinstance(item, str)}
        return cls(Digest(algorithm, hexadecimal), name, kind, value["predicate"], texts)
