"""Images that others name, found where they stand."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.cli.main import run_app
from sallyport.config import load_config
from sallyport.discover import KINDS, Found, Kind, Noted, discover, render_section, wanted
from sallyport.discover.compose import read_environment, scan_compose
from sallyport.discover.dockerfile import scan_dockerfile
from sallyport.discover.expand import expand
from sallyport.discover.kubernetes import scan_kubernetes
from sallyport.discover.model import Finds
from sallyport.errors import MalformedError, MissingProgramError, OversizeError, SallyportError, UsageError
from sallyport.gitops import init_repository
from sallyport.mirror import make_selector

DIGEST = "sha256:" + "a" * 64


@pytest.fixture(autouse=True)
def _bare_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No helm, kustomize or kubectl of this machine; a test brings its own in ``bin``."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def program(tmp_path: Path, name: str, script: str) -> None:
    path = tmp_path / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def places(found: tuple[Found, ...]) -> list[tuple[str, str, int]]:
    return [(item.reference, item.where, item.line) for item in found]


def names(found: tuple[Found, ...]) -> list[str]:
    return [item.reference for item in found]


POD = """\
# a remark
apiVersion: v1
kind: Pod
spec:
  initContainers:
    - image: registry.example/init:1
  containers:
    - name: one
      image: debian:12-slim
    - {name: two, image: 'registry.example:5000/app@%s'}
  ephemeralContainers:
    - image: registry.example/debug
  volumes:
    - image: {reference: registry.example/model:3}
---
apiVersion: apps/v1
kind: Deployment
spec: {template: {spec: {containers: [{image: nginx, args: ["--reloader=registry.example/reloader:v1", "--url=a.example/b"]}]}}}
""".replace("%s", DIGEST)


def test_workloads_say_their_images_with_file_and_line(tmp_path: Path) -> None:
    write(tmp_path, {"pod.yaml": POD})
    assert places(discover(str(tmp_path / "pod.yaml"))) == [
        ("registry.example/init:1", "pod.yaml", 6),
        ("docker.io/library/debian:12-slim", "pod.yaml", 9),
        (f"registry.example:5000/app@{DIGEST}", "pod.yaml", 10),
        ("registry.example/debug:latest", "pod.yaml", 12),
        ("registry.example/model:3", "pod.yaml", 14),
        ("docker.io/library/nginx:latest", "pod.yaml", 18),
        ("registry.example/reloader:v1", "pod.yaml", 18),
    ]


def test_custom_resources_lists_and_anchors_are_read_too(tmp_path: Path) -> None:
    text = """\
apiVersion: v1
kind: List
items:
  - apiVersion: db.example/v1
    kind: Database
    spec:
      base: &base
        repository: registry.example/postgres
      image:
        <<: *base
        tag: "16.2"
      sidecarImage: registry.example/sidecar:2
      env: [{name: RELATED_IMAGE_PROXY, value: "registry.example/proxy:4"}]
  - apiVersion: apiextensions.k8s.io/v1
    kind: CustomResourceDefinition
    spec: {image: none-of-it}
"""
    write(tmp_path, {"list.yaml": text, "same.json": json.dumps({"kind": "Pod", "apiVersion": "v1", "image": "a/b:1"})})
    assert names(discover(str(tmp_path))) == [
        "registry.example/postgres:16.2",
        "registry.example/sidecar:2",
        "registry.example/proxy:4",
        "docker.io/a/b:1",
    ]


def test_what_is_broken_is_named_and_in_a_folder_the_rest_goes_on(tmp_path: Path) -> None:
    write(tmp_path, {"good/pod.yaml": POD, "bad.yaml": "image: a\nkind: [Pod\nx: y\n", ".git/x.yaml": POD})
    (tmp_path / "link.yaml").symlink_to(tmp_path / "good" / "pod.yaml")
    with pytest.raises(MalformedError, match=r"bad\.yaml, line [23]"):
        discover(str(tmp_path / "bad.yaml"))
    noted: list[Noted] = []
    found = discover(str(tmp_path), note=noted.append)
    assert {item.where for item in found} == {"good/pod.yaml"}
    assert [item.where for item in noted] == ["bad.yaml"]


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["image: x", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    write(tmp_path, {"bomb.yaml": "\n".join(lines)})
    with pytest.raises(OversizeError):
        discover(str(tmp_path / "bomb.yaml"))
    write(tmp_path, {"deep.yaml": "image: " + "[" * 5000})
    with pytest.raises((MalformedError, OversizeError)):
        discover(str(tmp_path / "deep.yaml"))


DOCKERFILE = """\
# syntax=docker/dockerfile:1
# escape=`
ARG BASE=debian:${VERSION:-12}
ARG NONE
FROM --platform=$BUILDPLATFORM golang:1.25 AS Build
RUN --mount=type=bind,from=registry.example/tools:3,target=/t `
    # a remark
    --mount=type=cache,target=/c make
RUN <<EOF
FROM not-an-image
EOF
FROM $BASE as base
COPY --from=build /x /x
COPY --from=0 /y /y
COPY --chown=1 --from=registry.example/certs:1 /z /z
FROM ${NONE}
FROM scratch
COPY --from=base / /
"""


def test_a_dockerfile_builds_on_these(tmp_path: Path) -> None:
    write(tmp_path, {"Dockerfile": DOCKERFILE})
    noted: list[Noted] = []
    assert places(discover(str(tmp_path / "Dockerfile"), note=noted.append)) == [
        ("docker.io/docker/dockerfile:1", "Dockerfile", 1),
        ("docker.io/library/golang:1.25", "Dockerfile", 5),
        ("registry.example/tools:3", "Dockerfile", 6),
        ("docker.io/library/debian:12", "Dockerfile", 12),
        ("registry.example/certs:1", "Dockerfile", 15),
    ]
    assert [(item.line, "NONE" in item.why) for item in noted] == [(16, True)]


@pytest.mark.parametrize("text", ["", "RUN x", "FROM", "FROM a\nRUN <<EOF\nno end"])
def test_a_broken_dockerfile_is_named(text: str) -> None:
    with pytest.raises(MalformedError, match="Dockerfile, line"):
        scan_dockerfile(text, "Dockerfile", Finds())


COMPOSE = """\
services:
  db:
    image: postgres:${PG:-16}
  cache:
    image: "${REGISTRY}/redis:$TAG"
  ours:
    image: ours
    build:
      context: .
      dockerfile_inline: |
        FROM registry.example/base:1
  lost:
    image: ${NOWHERE:?say it}
"""


def test_compose_services_are_filled_in_from_env(tmp_path: Path) -> None:
    write(tmp_path, {"compose.yaml": COMPOSE, ".env": "# x\nREGISTRY='registry.example' # here\nexport TAG=7 # y\n"})
    noted: list[Noted] = []
    assert places(discover(str(tmp_path), note=noted.append)) == [
        ("docker.io/library/postgres:16", "compose.yaml", 3),
        ("registry.example/redis:7", "compose.yaml", 5),
        ("registry.example/base:1", "compose.yaml", 11),
    ]
    assert [item.line for item in noted] == [9, 13]


KUSTOMIZE = {
    "base/kustomization.yaml": "resources: [pod.yaml]\nimages: [{name: nginx, newTag: '1.25'}]\n",
    "base/pod.yaml": "apiVersion: v1\nkind: Pod\nspec: {containers: [{image: nginx}, {image: other:1}]}\n",
    "prod/kustomization.yaml": "resources:\n  - ../base\nimages:\n  - name: nginx\n    newName: registry.example/nginx\n"
    f"  - name: other\n    digest: {DIGEST}\n",
}


def test_a_kustomization_is_read_where_kustomize_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, KUSTOMIZE)
    expected = [
        (f"docker.io/library/other@{DIGEST}", "../base/pod.yaml", 3),
        ("registry.example/nginx:1.25", "../base/pod.yaml", 3),
    ]
    assert places(discover(str(tmp_path / "prod"), kind="kustomize")) == expected
    # Of a folder, the base counts only as what is made of it.
    assert names(discover(str(tmp_path))) == [f"docker.io/library/other@{DIGEST}", "registry.example/nginx:1.25"]


def test_images_are_changed_as_kustomize_changes_them(tmp_path: Path) -> None:
    files = {
        "base/kustomization.yaml": "resources: [all.yaml]\nimages:\n  - {name: nginx, newTag: '1.25'}\n"
        "  - {name: redis, newName: registry.example/redis, newTag: '7'}\n",
        "base/all.yaml": f"[{{image: busybox}}, {{image: nginx}}, {{image: 'redis:6'}}, {{image: docker.io/library/nginx:1}}, "
        f"{{image: 'registry.example:5000/t/app:1@{DIGEST}'}}]\n",
        "comp/kustomization.yaml": f"kind: Component\nimages: [{{name: busybox, digest: '{DIGEST}'}}]\n",
        "prod/kustomization.yaml": "resources: [../base]\ncomponents: [../comp]\nimages:\n"
        "  - {name: nginx, newName: registry.example/nginx}\n  - {name: registry.example/redis, newTag: '7.2'}\n"
        "  - {name: 'registry.example:5000/t/app', newTag: '2'}\n",
    }
    write(tmp_path, files)
    assert sorted(names(discover(str(tmp_path / "prod"), kind="kustomize"))) == [
        f"docker.io/library/busybox@{DIGEST}",
        "docker.io/library/nginx:1",
        "registry.example/nginx:1.25",
        "registry.example/redis:7.2",
        "registry.example:5000/t/app:2",
    ]


def test_kustomize_itself_is_asked_where_it_is_there(tmp_path: Path) -> None:
    write(tmp_path, KUSTOMIZE)
    program(
        tmp_path, "kubectl", "printf 'kind: Pod\\nimage: registry.example/nginx:1.25\\n---\\nimage: generated:1\\n'"
    )
    assert places(discover(str(tmp_path / "prod"), kind="kustomize")) == [
        ("registry.example/nginx:1.25", "../base/pod.yaml", 3),
        ("docker.io/library/generated:1", "kustomization.yaml", 1),
    ]
    program(tmp_path, "kustomize", "echo no plugin >&2; exit 1")
    noted: list[Noted] = []
    assert len(discover(str(tmp_path / "prod"), kind="kustomize", note=noted.append)) == 2
    assert "no plugin" in noted[0].why


@pytest.mark.parametrize("name", ["https://git.example/x//base?ref=v1", "git@git.example:a/b", "github.com/a/b"])
def test_what_lies_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"kustomization.yaml": f"resources:\n  - {name}\n"})
    with pytest.raises(UsageError, match=r"line 2.*lies elsewhere"):
        discover(str(tmp_path), kind="kustomize")


def test_what_might_be_fetched_is_not_built(tmp_path: Path) -> None:
    program(tmp_path, "kustomize", f"touch {tmp_path}/ran")
    for text in ("patches: []\nopenapi: {path: 'https://a.example/x'}", "transformers: [git.example/a/b.git]"):
        write(tmp_path, {"k/kustomization.yaml": f"resources: [pod.yaml]\n{text}\n", "k/pod.yaml": POD})
        noted: list[Noted] = []
        assert len(discover(str(tmp_path / "k"), kind="kustomize", note=noted.append)) == 7
        assert any("not built" in item.why for item in noted)
    assert not (tmp_path / "ran").exists()


def test_a_folder_behind_a_link_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, {"base/kustomization.yaml": "resources: []\n", "prod/kustomization.yaml": "resources: [link]\n"})
    (tmp_path / "prod" / "link").symlink_to(tmp_path / "base")
    with pytest.raises(UsageError, match="not there"):
        discover(str(tmp_path / "prod"), kind="kustomize")


def test_a_circle_of_kustomizations_ends(tmp_path: Path) -> None:
    write(tmp_path, {"a/kustomization.yaml": "resources: [../b]", "b/kustomization.yaml": "resources: [../a]"})
    with pytest.raises(UsageError, match="circle"):
        discover(str(tmp_path / "a"), kind="kustomize")
    assert discover(str(tmp_path)) == ()


CHART = {
    "Chart.yaml": "name: app\nversion: 1.0.0\nappVersion: '2.5'\ndependencies:\n"
    "  - {name: db, version: 1.x, condition: db.on}\n  - {name: cache, version: 2.x}\n"
    "  - {name: off, version: 3.x, condition: off.on}\n",
    "values.yaml": "image:\n  registry: registry.example\n  repository: team/app\n  tag: ''\n"
    "side: {image: busybox, tag: 1.36}\ndb:\n  on: true\n  image: {tag: '17'}\noff: {on: false}\n",
    "templates/x.yaml": 'image: {{ .Values.image }}\n---\n  image: "registry.example/fixed:1"\n',
    "charts/db/Chart.yaml": "name: db\nappVersion: '16'\n",
    "charts/db/values.yaml": "image:\n  repository: postgres\n  tag: '16'\n",
}


def test_the_values_of_a_chart_are_read_where_helm_is_not_there(tmp_path: Path) -> None:
    chart = write(tmp_path / "app", CHART)
    (tmp_path / "more.yaml").write_text("side: {tag: 1.37}\n")
    noted: list[Noted] = []
    found = discover(str(chart), kind="helm", values=[tmp_path / "more.yaml"], note=noted.append)
    assert places(found) == [
        ("docker.io/library/postgres:17", "charts/db/values.yaml", 2),
        ("registry.example/fixed:1", "templates/x.yaml", 3),
        ("registry.example/team/app:2.5", "values.yaml", 3),
        ("docker.io/library/busybox:1.37", "values.yaml", 5),
    ]
    assert [(item.where, item.line, "cache" in item.why) for item in noted] == [("Chart.yaml", 6, True)]


def pack(files: dict[str, str]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"app/{name}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return made.getvalue()


def test_a_packed_chart_is_read_by_our_own_reader(tmp_path: Path) -> None:
    (tmp_path / "app-1.0.0.tgz").write_bytes(pack(CHART))
    assert "app-1.0.0.tgz!charts/db/values.yaml" in {item.where for item in discover(str(tmp_path / "app-1.0.0.tgz"))}
    assert len(discover(str(tmp_path))) == 4
    (tmp_path / "app-1.0.0.tgz").write_bytes(pack(CHART)[:-20])
    with pytest.raises(SallyportError):
        discover(str(tmp_path / "app-1.0.0.tgz"))


def test_helm_itself_is_asked_where_it_is_there(tmp_path: Path) -> None:
    chart = write(tmp_path / "app", CHART)
    program(tmp_path, "helm", "printf -- '---\\n# Source: app/templates/x.yaml\\nkind: Pod\\nimage: a:1\\n'")
    assert places(discover(str(chart))) == [("docker.io/library/a:1", "app/templates/x.yaml, rendered", 0)]
    program(tmp_path, "helm", "echo missing dependency >&2; exit 1")
    noted: list[Noted] = []
    assert len(discover(str(chart), note=noted.append)) == 4
    assert any("missing dependency" in item.why for item in noted)


def test_a_cluster_says_what_runs_by_its_digest(tmp_path: Path) -> None:
    def pod(name: str, image: str, identity: str) -> dict[str, object]:
        status = {"containerStatuses": [{"name": "c", "imageID": identity}]}
        spec = {"containers": [{"name": "c", "image": image}]}
        return {"kind": "Pod", "metadata": {"name": name, "namespace": "n"}, "spec": spec, "status": status}

    job = {"template": {"spec": {"containers": [{"name": "c", "image": "job:1"}]}}}
    items = [
        pod("a", "nginx:1", f"docker-pullable://nginx@{DIGEST}"),
        pod("b", "other:1", DIGEST),
        {"kind": "CronJob", "metadata": {"name": "j", "namespace": "n"}, "spec": {"jobTemplate": {"spec": job}}},
    ]
    with pytest.raises(MissingProgramError):
        discover("cluster:")
    (tmp_path / "said.json").write_text(json.dumps({"items": items}))
    program(tmp_path, "kubectl", f'read -r said < {tmp_path}/said.json; echo "$said"')
    (tmp_path / "said.json").write_text(json.dumps({"items": items}) + "\n")
    assert places(discover("cluster:")) == [
        ("docker.io/library/job:1", "cluster: n/cronjob/j", 0),
        (f"docker.io/library/nginx:1@{DIGEST}", "cluster: n/pod/a", 0),
        ("docker.io/library/other:1", "cluster: n/pod/b", 0),
    ]
    program(tmp_path, "kubectl", "echo refused >&2; exit 1")
    with pytest.raises(SallyportError, match="refused"):
        discover("cluster:prod")


def test_a_branch_of_a_bare_repository_is_read(tmp_path: Path) -> None:
    init_repository(tmp_path / "fleet.git", {"apps/pod.yaml": POD.encode()}, now=datetime(2026, 1, 1, tzinfo=UTC))
    assert discover(str(tmp_path / "fleet.git")) == discover(f"git:{tmp_path}/fleet.git#main")
    assert len(discover(f"git:{tmp_path}/fleet.git")) == 7
    with pytest.raises(UsageError):
        discover(f"git:{tmp_path}/fleet.git#none")


def test_a_list_of_references(tmp_path: Path) -> None:
    write(tmp_path, {"images.txt": "# ours\ndebian:12\n\ndocker://registry.example/a:1 # why\nNot An Image\n"})
    noted: list[Noted] = []
    found = discover(str(tmp_path / "images.txt"), note=noted.append, only=["registry.example/*"])
    assert places(found) == [("registry.example/a:1", "images.txt", 4)]
    assert [item.line for item in noted] == [5]


def test_what_was_found_is_a_section_that_loads_and_selects(tmp_path: Path) -> None:
    write(tmp_path, {"a.txt": f"debian:12\ndebian:1.10\nregistry.example/a:1@{DIGEST}\n"})
    section = render_section(wanted(discover(str(tmp_path / "a.txt")), to="mirrored"), remarks=["found"])
    (tmp_path / "sallyport.yaml").write_text(f"side: outside\ndestination: ship-7\n{section}")
    loaded = load_config(tmp_path / "sallyport.yaml").outside.mirror
    assert [(item.source, item.tags, item.digests, item.to) for item in loaded] == [
        ("docker.io/library/debian", ("1.10", "12"), (), "mirrored/library/debian"),
        ("registry.example/a", (), (DIGEST,), "mirrored/a"),
    ]
    for item in loaded:
        make_selector(item.source, item.tags, digests=item.digests, to=item.to)


def test_the_verb_prints_a_table_json_or_a_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, {"pod.yaml": POD})
    assert run_app(["discover", str(tmp_path)]) == 0
    assert "registry.example/init:1" in capsys.readouterr().out
    assert run_app(["discover", str(tmp_path), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["found"]) == 7
    assert run_app(["discover", str(tmp_path), "--yaml"]) == 0
    assert capsys.readouterr().out.startswith("outside:\n  mirror:\n    - from: ")
    assert run_app(["discover", str(tmp_path), "--kind", "x"]) == 2
    assert run_app(["discover", str(tmp_path / "none")]) == 2


def test_devices_and_huge_files_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(UsageError):
        discover(str(tmp_path / "pipe.yaml"))
    assert discover(str(tmp_path)) == ()
    with (tmp_path / "huge.yaml").open("wb") as file:
        file.truncate(9 * 1024 * 1024)
    with pytest.raises(OversizeError):
        discover(str(tmp_path / "huge.yaml"))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("$$A", "$A"), ("${A}", "1"), ("$A.$B", "1."), ("${B:-x}", "x"), ("${B-x}", ""), ("${C-x}", "x"), ("${A:+y}", "y"),
        ("${C:+y}", ""), ("${C:-${A}}", "1"), ("${A", "${A"), ("$", "$"), ("${C:-${D:-z}}", "z"), ("${A:?no}", "1"),
    ],
)  # fmt: skip
def test_variables_are_filled_in(text: str, meant: str) -> None:
    assert expand(text, {"A": "1", "B": ""})[0] == meant


DOCKER = [
    "FROM ",
    "a:1",
    "\n",
    "RUN <<E",
    "E\n",
    "\\",
    "${",
    "}",
    "COPY --from=",
    " AS ",
    "#",
    "ARG x=",
    "--mount=from=",
]
YAMLS = [
    "image: ",
    "a:1",
    "\n",
    "  ",
    "- ",
    "&a ",
    "*a",
    "<<: ",
    "{",
    "}",
    "[",
    "]",
    "services:\n",
    "tag: ",
    "---\n",
    "'",
]
BROKEN = st.one_of(
    st.text(max_size=200),
    st.lists(st.sampled_from(DOCKER), max_size=30).map("".join),
    st.lists(st.sampled_from([*YAMLS, "|\n", "!!x ", "? ", "repository: "]), max_size=30).map("".join),
)


@settings(max_examples=100, deadline=None)
@given(BROKEN)
def test_any_text_is_understood_or_refused(text: str) -> None:
    scans: tuple[Callable[[Finds], None], ...] = (
        lambda finds: scan_dockerfile(text, "f", finds),
        lambda finds: scan_kubernetes(text, "f", finds),
        lambda finds: scan_compose(text, "f", finds, environment=read_environment(text)),
    )
    for scan in scans:
        finds = Finds()
        try:
            scan(finds)
        except SallyportError:
            continue
        assert all(item.line >= 1 for item in finds.found)


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(st.binary(max_size=300), BROKEN.map(lambda text: text.encode("utf-8", "replace"))), st.sampled_from(KINDS)
)
def test_any_file_is_understood_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes, kind: str) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("x", "x.tgz", "Dockerfile", "compose.yaml", "kustomization.yaml", "Chart.yaml"):
        (folder / name).write_bytes(data)
        try:
            discover(str(folder / name), kind=cast("Kind", kind))
        except SallyportError:
            continue
    discover(str(folder))
