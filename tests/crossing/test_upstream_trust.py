"""Whose signatures upstream's images need, from the configuration file to the refusal that is told."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport import upstreams
from sallyport.cli.main import run_app
from sallyport.errors import ConfigError
from sallyport.oci import Descriptor
from sallyport.sign import Artifact, FileSigner, attach, sign_image

RULE = """outside:
  trust:
    - images: upstream.example/*
      require: cosign
      keys: [trust/upstream.pub]
"""


@pytest.fixture
def scene_with_rule(scene: Any) -> Any:
    scene.publish("web", openssl="3.0.11-1")
    scene.publish("api", openssl="3.0.11-1")
    scene.configure()
    folder = scene.root / "outside" / "trust"
    folder.mkdir()
    scene.signer = FileSigner.generate(folder / "upstream.key")
    scene.edit("outside", "outside:\n", RULE)
    return scene


def sign(scene: Any, name: str, image: Descriptor, form: int = 0) -> None:
    artifacts: tuple[Artifact, Artifact] = sign_image(
        image, reference=f"upstream.example/{name}:12", signer=scene.signer
    )
    attach(scene.upstream, name, artifacts[form])


def index_of(scene: Any, name: str) -> Descriptor:
    tag = scene.upstream.state.tag(name, "12")
    assert tag is not None
    descriptor: Descriptor = tag.descriptor
    return descriptor


@pytest.mark.parametrize("form", [0, 1])
def test_what_upstream_signed_comes_and_the_rest_is_named(
    scene_with_rule: Any, form: int, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = scene_with_rule
    sign(scene, "web", index_of(scene, "web"), form)

    status = run_app(["mirror", "--config", str(scene.root / "outside" / "sallyport.yaml")])

    said = capsys.readouterr()
    assert status == 4, said.err
    assert "upstream.example/api:12" in said.out + said.err
    assert "needs a cosign signature (rule upstream.example/*) and has none" in said.out + said.err
    with scene.site("outside") as site:
        assert site.store.state.tag("library/web", "12") is not None
        assert site.store.state.tag("library/api", "12") is None
        (mirrored,), (failed,) = upstreams.mirror_all(site)
        assert mirrored.vouched is not None
        assert mirrored.vouched.signers == (f"key {scene.signer.public.id[:16]}",)
        assert failed.error == "UnsignedError"


def test_a_rule_that_changed_counts_for_what_is_here_already(scene_with_rule: Any) -> None:
    scene = scene_with_rule
    sign(scene, "web", index_of(scene, "web"))
    sign(scene, "api", index_of(scene, "api"))
    with scene.site("outside") as site:
        assert len(upstreams.mirror_all(site)[0]) == 2

    FileSigner.generate(scene.root / "outside" / "trust" / "other.key")
    scene.edit("outside", "trust/upstream.pub", "trust/other.pub")

    with scene.site("outside") as site:
        mirrored, failures = upstreams.mirror_all(site)
    assert mirrored == ()
    assert {failure.error for failure in failures} == {"WrongSignatureError"}
    assert all("by none of the trusted keys" in failure.message for failure in failures)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("trust/upstream.pub", "trust/none.pub", "cannot read"),
        ("trust/upstream.pub", "trust/upstream.key", "not a public key in PEM"),
        ("[trust/upstream.pub]", "[]", "has no keys"),
        ("require: cosign", "require: notation", "has no certificates"),
        ("require: cosign", "require: notation\n      certificates: [trust/upstream.pub]", "holds none in PEM"),
        (
            "require: cosign",
            "require: keyless\n      trusted-root: trust/upstream.pub\n      issuer: x\n      identity: y",
            "the trusted root is not valid JSON",
        ),
        ("require: cosign", "require: keyless", "has no trusted-root"),
    ],
)
def test_a_rule_that_cannot_be_met_is_an_error_of_the_configuration(
    scene_with_rule: Any, before: str, after: str, reason: str
) -> None:
    scene_with_rule.edit("outside", before, after)

    with scene_with_rule.site("outside") as site, pytest.raises(ConfigError, match=reason):
        upstreams.mirror_all(site)
