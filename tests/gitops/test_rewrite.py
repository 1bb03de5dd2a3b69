"""Only the names of images change; a person's file stays a person's file."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from sallyport.errors import MalformedError, UsageError
from sallyport.gitops import PinTo, rewrite
from sallyport.oci import Digest, Reference

DIGEST = Digest.of(b"web")
WEB = PinTo(Reference("harbor.example:5000", "apps/web", "12-20260711.1", DIGEST))
TOOL = PinTo(Reference("harbor.example:5000", "tools/tool", "", Digest.of(b"tool")), "20260711")
PINS = {"harbor.example:5000/apps/web": WEB, "debian": WEB, "registry.example/tool": TOOL}
PINNED = f"harbor.example:5000/apps/web:12-20260711.1@{DIGEST}"

DEPLOYMENT = """\
# Owned by the web team.  Ask before you touch it.
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}   # flow style

spec:
    template:
        spec:
            initContainers:
            - name: prepare
              image:   'debian:12'     # quoted, with a comment
            containers:
              - image: harbor.example:5000/apps/web:stable
                name: web
                args: ["--image", "debian:12"]
              - name: sidecar
                image: "other.example/debian:12"
"""


def changed_lines(before: str, after: str) -> list[tuple[str, str]]:
    lines = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    return list(
        zip(
            [line[2:] for line in lines if line.startswith("- ")],
            [line[2:] for line in lines if line.startswith("+ ")],
            strict=True,
        )
    )


def test_a_deployment_keeps_its_comments_and_layout() -> None:
    result, changes = rewrite(DEPLOYMENT, PINS, what="web.yaml")

    assert changed_lines(DEPLOYMENT, result) == [
        (
            "              image:   'debian:12'     # quoted, with a comment",
            f"              image:   '{PINNED}'     # quoted, with a comment",
        ),
        (
            "              - image: harbor.example:5000/apps/web:stable",
            f"              - image: {PINNED}",
        ),
    ]
    assert [(change.line, change.before, change.after) for change in changes] == [
        (11, "debian:12", PINNED),
        (13, "harbor.example:5000/apps/web:stable", PINNED),
    ]


def test_pinning_twice_changes_nothing() -> None:
    once, _ = rewrite(DEPLOYMENT, PINS, what="web.yaml")
    assert rewrite(once, PINS, what="web.yaml") == (once, ())


def test_many_documents_and_deep_templates() -> None:
    text = """\
---
apiVersion: batch/v1
kind: CronJob
spec:
  jobTemplate:
    spec:
      template:
        spec:
          containers: [{name: job, image: debian:11}]
---
# an empty document
---
apiVersion: v1
kind: Pod
spec:
  containers:
  - image: docker.io/library/debian@sha256:%s
...
---
services:
  web:
    image: debian
""" % ("0" * 64)
    result, changes = rewrite(text, PINS, what="all.yaml")
    assert len(changes) == 3
    assert result.count(PINNED) == 3
    assert f"containers: [{{name: job, image: {PINNED}}}]" in result


def test_line_ends_of_windows_and_a_byte_order_mark_stay() -> None:
    text = "\ufeffkind: Pod\r\nspec:\r\n  containers:\r\n  - image: debian:12\r\n    name: x\r\n"
    result, _ = rewrite(text, PINS, what="pod.yaml")
    assert result == text.replace("debian:12", PINNED)


def test_anchors_and_aliases() -> None:
    text = """\
x-web: &web debian:12
a: {image: *web}
b: {image: *web}
c: &c
  image: &mine debian:11
d:
  <<: *c
  e: *mine
"""
    result, changes = rewrite(text, PINS, what="compose.yaml")
    assert result == text.replace("debian:12", PINNED).replace("debian:11", PINNED)
    assert len(changes) == 2


def test_a_kustomization_gets_name_tag_and_digest() -> None:
    text = """\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [base]   # keep
images:
  - name: debian  # the base's name
    newTag: "12"
  - name: other
    newTag: v1
  - {name: registry.example/tool, newTag: v1}
# the end
"""
    result, changes = rewrite(text, PINS, what="overlays/kustomization.yaml")
    assert (
        result
        == f"""\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [base]   # keep
images:
  - name: debian  # the base's name
    newTag: "12-20260711.1"
    digest: {DIGEST}
    newName: harbor.example:5000/apps/web
  - name: other
    newTag: v1
  - {{name: registry.example/tool, newTag: "20260711", digest: {TOOL.digest}, newName: harbor.example:5000/tools/tool}}
# the end
"""
    )
    assert [change.before for change in changes] == ["debian:12", "registry.example/tool:v1"]
    assert rewrite(result, PINS, what="overlays/kustomization.yaml") == (result, ())


def test_a_kustomization_is_pinned_again_in_place() -> None:
    text = f"""\
images:
- digest: sha256:{"1" * 64}
  name: debian
  newName: harbor.example:5000/apps/web
  newTag: 11-20250101.1"""
    result, changes = rewrite(text, PINS, what="kustomization.yml")
    assert result == text.replace("1" * 64, DIGEST.hex).replace("11-20250101.1", '"12-20260711.1"')
    assert changes[0].before == f"harbor.example:5000/apps/web:11-20250101.1@sha256:{'1' * 64}"


def test_an_images_list_elsewhere_is_not_a_kustomization() -> None:
    text = "kind: Node\nstatus:\n  images:\n  - name: debian\n"
    assert rewrite(text, PINS, what="node.yaml") == (text, ())


@pytest.mark.parametrize(
    "text",
    [
        "image: {repository: debian, tag: 12}\n",
        "image: [debian]\n",
        "image: ${DEBIAN_IMAGE:-debian}\n",
        "image:\n",
        "image: 12 # debian\n",
        "- debian:12\n",
        "? {image: x}\n: debian\n",
        "? [a, b]\n: {image: debianx}\n",
        "",
        "# debian\n",
    ],
)
def test_what_is_no_image_of_ours_is_left_alone(text: str) -> None:
    assert rewrite(text, PINS, what="x.yaml") == (text, ())


def test_a_helm_template_that_names_none_of_our_images_is_left_alone() -> None:
    text = "{{- if .Values.debian }}\nimage: {{ .Values.image }}\n{{- end }}\n"
    assert rewrite(text, PINS, what="templates/web.yaml") == (text, ())


def test_a_file_that_names_our_image_and_is_no_yaml_is_refused() -> None:
    text = "{{- if .Values.x }}\n  image: debian:12\n{{- end }}\n"
    with pytest.raises(MalformedError, match=r"templates/web\.yaml, line 1"):
        rewrite(text, PINS, what="templates/web.yaml")


def test_nesting_that_never_ends_is_refused() -> None:
    with pytest.raises(MalformedError):
        rewrite("image: debian\n" + "[" * 20_000, PINS, what="bomb.yaml")


def test_aliases_of_aliases_are_looked_at_once() -> None:
    text = "a0: &a0 {image: debian:1}\n"
    for level in range(1, 60):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n"
    result, changes = rewrite(text, PINS, what="bomb.yaml")
    assert len(changes) == 1
    assert PINNED in result


@pytest.mark.parametrize("text", ["image: >-\n  debian:12\n", 'image: "deb\\x69an:12"\n'])
def test_a_name_that_cannot_be_exchanged_in_place_is_named(text: str) -> None:
    """Better a stop with a line number than an image that silently stays old."""
    with pytest.raises(UsageError, match="line 1"):
        rewrite(f"{text}# debian\n", PINS, what="x.yaml")


def test_a_pin_needs_digest_and_tag() -> None:
    with pytest.raises(UsageError, match="no digest"):
        PinTo(Reference("harbor.example", "web", "1"))
    with pytest.raises(UsageError, match="no tag"):
        PinTo(Reference("harbor.example", "web", "", DIGEST))


words = st.text("abc:#-'\" {}[],&*|>%@`\n", max_size=12)


@settings(max_examples=100, deadline=None)
@example([("image", "&:"), ("image", "&:")])  # an anchor that is set again
@given(st.lists(st.tuples(st.sampled_from(["image", "name", "# image", "-  image", "x"]), words), max_size=6))
def test_any_text_is_rewritten_right_or_refused(lines: list[tuple[str, str]]) -> None:
    text = "image: debian:12\n" + "".join(f"{key}: {value}\n" for key, value in lines)
    try:
        result, changes = rewrite(text, PINS, what="x.yaml")
    except MalformedError:
        return
    assert changes[0].line == 1
    assert result == text.replace("debian:12", PINNED, 1)


@settings(max_examples=60, deadline=None)
@given(
    st.recursive(
        st.sampled_from(["debian:12", "debian", "text", "other.example/x:1", "5", ""]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["image", "images", "name", "x"]), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_the_result_reads_as_the_same_document_with_images_exchanged(document: object) -> None:
    import io

    def exchanged(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {name: exchanged(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [exchanged(item) for item in value]
        return PINNED if key == "image" and value in {"debian:12", "debian"} else value

    out = io.StringIO()
    # No two values are one object, or the writer would make anchors of them.
    YAML(typ="safe", pure=True).dump({"top": document}, out)
    result, _ = rewrite(out.getvalue(), PINS, what="x.yaml")
    assert YAML(typ="safe", pure=True).load(result) == {"top": exchanged(document)}
