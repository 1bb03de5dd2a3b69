"""Other tools' configurations, read; the result loads, and what is lost is told with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.adopt import KINDS, Adopted, adopt, render
from sallyport.cli.main import run_app
from sallyport.config import OutsideSection, load_config
from sallyport.errors import MalformedError, SallyportError, UsageError
from sallyport.mirror import make_selector, select_tags

DIGEST = "sha256:" + "b" * 64


def adopted(folder: Path, text: str, *, kind: str = "auto") -> tuple[Adopted, OutsideSection]:
    """What is read, and what our own configuration makes of the text that it prints."""
    (folder / "theirs.yaml").write_text(text)
    found = adopt(folder / "theirs.yaml", kind=kind)
    return found, loaded(folder, found)


def loaded(folder: Path, found: Adopted) -> OutsideSection:
    printed = render(found, source="theirs.yaml")
    (folder / "sallyport.yaml").write_text(f"side: outside\ndestination: ship-7\n{printed}")
    section = load_config(folder / "sallyport.yaml").outside
    for item in section.mirror:
        make_selector(
            item.source, item.tags, digests=item.digests, deny=item.deny, to=item.to, platforms=item.parsed_platforms()
        )
    for lost in found.lost:
        assert f"line {lost.line}" in printed
    return section


SKOPEO = f"""\
registry.example:
  images:
    busybox: []
    redis: ["1.0", "2.0", "{DIGEST}"]
    none:
  images-by-tag-regex:
    nginx: ^1\\.13\\.[12]-alpine-perl$
    loose: slim
  images-by-semver:
    alpine: ">= 3.12.0, <4 || ~2.1"
    odd: "!= 3"
  credentials: {{username: john, password: secret}}
  tls-verify: true
  cert-dir: /home/john/certs
quay.example:
  tls-verify: false
  images:
    coreos/etcd: [latest, "not a tag"]
"""


def test_skopeo_sync(tmp_path: Path) -> None:
    found, section = adopted(tmp_path, SKOPEO)
    assert found.kind == "skopeo"
    by_name = {item.source: item for item in section.mirror}
    assert by_name["registry.example/busybox"].tags == by_name["registry.example/none"].tags == ("*",)
    assert by_name["registry.example/redis"].tags == ("1.0", "2.0")
    assert by_name["registry.example/redis"].digests == (DIGEST,)
    assert select_tags(by_name["registry.example/nginx"].tags, ["1.13.1-alpine-perl", "11.13.1-alpine-perl"]) == (
        "1.13.1-alpine-perl",
    )
    assert select_tags(by_name["registry.example/loose"].tags, ["1-slim-x", "1"]) == ("1-slim-x",)
    assert select_tags(by_name["registry.example/alpine"].tags, ["3.12.1", "2.1.9", "4.0.0", "2.2.0"]) == (
        "3.12.1",
        "2.1.9",
    )
    assert "registry.example/odd" not in by_name
    assert section.registries[0].ca == "/home/john/certs/ca.crt"
    assert [lost.line for lost in found.lost] == [11, 12, 14, 16, 18]
    assert "secret" not in render(found, source="x")


REGSYNC = """\
version: 1
x-plan: &plan "0 1 * * *"
creds:
  - registry: localhost:5000
    tls: disabled
  - registry: docker.io
    hostname: hub.example
    user: me
    pass: "{{env \\"PASS\\"}}"
    mirrors: [mirror.example]
defaults: {interval: 60m, parallel: 2}
sync:
  - source: busybox:latest
    target: localhost:5000/library/busybox:latest
    type: image
    platform: linux/amd64
  - source: alpine
    target: localhost:5000/mirror/alpine
    type: repository
    tags:
      allow: ["latest", "3\\\\.\\\\d+"]
      deny: ["3\\\\.0"]
    schedule: *plan
  - source: ghcr.example/a/b
    target: localhost:5000/a/b
    type: repository
    tagSets:
      - semverRange: [">=3.5.1 <4.0"]
        allow: ['v\\d+\\.\\d+\\.\\d+']
      - allow: [edge]
  - source: a.example
    target: b.example
    type: registry
"""


def test_regsync(tmp_path: Path) -> None:
    found, section = adopted(tmp_path, REGSYNC)
    assert found.kind == "regsync"
    busybox, alpine, ranged = section.mirror
    assert (busybox.source, busybox.tags, busybox.platforms, busybox.to) == (
        "docker.io/library/busybox", ("latest",), ("linux/amd64",), "",
    )  # fmt: skip
    assert alpine.to == "mirror/alpine"
    assert select_tags([*alpine.tags, *(f"!{deny}" for deny in alpine.deny)], ["latest", "3.0", "3.20", "3.20.1"]) == (
        "latest",
        "3.20",
    )
    assert ranged.tags == ("semver:>=3.5.1 <4.0", "edge")
    local, hub = section.registries
    assert (local.name, local.plain_http, local.address) == ("localhost:5000", True, "")
    assert (hub.address, [mirror.address for mirror in hub.mirrors]) == ("hub.example", ["mirror.example"])
    assert [lost.line for lost in found.lost] == [2, 8, 9, 11, 11, 28, 31]  # the anchor stands in line 2


def test_image_syncer_in_each_form(tmp_path: Path) -> None:
    rules = {
        "quay.example/coreos/proxy": "registry.example/ruohe/proxy",
        "a.example/b/c:1,2": ["x.example/b/c", "y.example/b/c"],
        "a.example/b/d:/^v1[.].*$/": "",
        f"a.example/b/e@{DIGEST}": "x.example/b/e:renamed",
    }
    logins = {"quay.example": {"username": "u", "password": "secret", "insecure": True}}
    for document in ({"auth": logins, "images": rules}, rules):
        found, section = adopted(tmp_path, json.dumps(document, indent=1))
        assert found.kind == "image-syncer"
        proxy, tags, pattern, digest = section.mirror
        assert (proxy.tags, proxy.to) == (("*",), "ruohe/proxy")
        assert (tags.tags, tags.to) == (("1", "2"), "")
        assert select_tags(pattern.tags, ["v1.5", "xv1.5"]) == ("v1.5",)
        assert digest.digests == (DIGEST,)
    found, section = adopted(tmp_path, json.dumps(logins))
    assert section.registries[0].plain_http is True
    assert "secret" not in render(found, source="x")


HAULER = f"""\
apiVersion: content.hauler.cattle.io/v1
kind: Images
metadata:
  annotations: {{hauler.dev/registry: registry.example}}
spec:
  images:
    - name: busybox
    - name: rancher/kubectl:v1
      platform: linux/amd64
      key: cosign.pub
    - name: gcr.example/base@{DIGEST}
---
apiVersion: content.hauler.cattle.io/v1
kind: Charts
spec:
  charts:
    - {{name: hauler-helm, repoURL: "oci://ghcr.example/hauler-dev", version: 1.0.4+up1}}
    - {{name: rancher, repoURL: "https://charts.example/stable", version: 2.8.4}}
---
apiVersion: content.hauler.cattle.io/v1
kind: Files
spec:
  files:
    - path: https://get.example/install.sh
"""


def test_hauler_manifests(tmp_path: Path) -> None:
    found, section = adopted(tmp_path, HAULER)
    assert found.kind == "hauler"
    assert [(item.source, item.tags, item.digests, item.platforms) for item in section.mirror] == [
        ("registry.example/busybox", ("latest",), (), ()),
        ("registry.example/rancher/kubectl", ("v1",), (), ("linux/amd64",)),
        ("gcr.example/base", (), (DIGEST,), ()),
        ("ghcr.example/hauler-dev/hauler-helm", ("1.0.4_up1",), (), ()),
    ]
    assert [lost.line for lost in found.lost] == [8, 18, 24]


OC_MIRROR = """\
kind: ImageSetConfiguration
apiVersion: mirror.openshift.io/%s
archiveSize: 4
storageConfig: {local: {path: ./x}}
mirror:
  platform:
    channels:
      - name: stable-4.16
  operators:
    - catalog: registry.example/redhat/index:v4.16
  additionalImages:
    - name: registry.example/ubi9/ubi:latest
      targetRepo: base/ubi
    - name: registry.example/ubi9/ubi:9.4
  helm:
    repositories:
      - {name: podinfo, url: "https://charts.example/podinfo"}
  blockedImages:
    - name: registry.example/ubi9/ubi:9.3
    - name: docker.example/library/alpine
"""


@pytest.mark.parametrize("version", ["v1alpha2", "v2alpha1"])
def test_oc_mirror(tmp_path: Path, version: str) -> None:
    found, section = adopted(tmp_path, OC_MIRROR % version)
    assert found.kind == "oc-mirror"
    assert [(item.source, item.tags, item.to, item.deny) for item in section.mirror] == [
        ("registry.example/ubi9/ubi", ("latest",), "base/ubi", ("9.3",)),
        ("registry.example/ubi9/ubi", ("9.4",), "", ("9.3",)),
    ]
    assert [lost.line for lost in found.lost] == [3, 4, 8, 10, 17, 20]


def test_the_verb_prints_ours_and_tells_the_rest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "r.yaml").write_text(REGSYNC)
    assert run_app(["import-config", str(tmp_path / "r.yaml")]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("# From r.yaml (regsync).\n# Not carried over: line ")
    assert "line 31, a.example: a whole registry cannot be mirrored" in said.err
    assert run_app(["import-config", str(tmp_path / "r.yaml"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "regsync"
    assert run_app(["import-config", str(tmp_path / "none.yaml")]) == 2


def test_what_nobody_knows_is_said_so(tmp_path: Path) -> None:
    for text, error in (
        ("a: b\n", UsageError),
        ("[1]", MalformedError),
        ("a: [", MalformedError),
        ("", MalformedError),
    ):
        with pytest.raises(error):
            adopted(tmp_path, text)
    with pytest.raises(UsageError):
        adopted(tmp_path, "a: b", kind="docker")


PIECES = SKOPEO, REGSYNC, HAULER, OC_MIRROR % "v2alpha1"


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PIECES), st.data())
def test_a_damaged_file_is_read_or_refused_and_what_is_printed_loads(
    tmp_path_factory: pytest.TempPathFactory, text: str, data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    put = data.draw(st.text(alphabet="a1:/-[]{}'\"@*& \n\t\\.é", max_size=6))
    kind = data.draw(st.sampled_from(KINDS))
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "theirs.yaml").write_text(text[:start] + put + text[end:], encoding="utf-8")
    try:
        found = adopt(folder / "theirs.yaml", kind=kind)
    except SallyportError:
        return
    loaded(folder, found)
