"""What a repository of manifests names is mirrored, without being listed again in the configuration."""

from __future__ import annotations

from typing import Any

from sallyport import pipeline


def test_images_of_a_manifest_are_mirrored(scene: Any) -> None:
    scene.publish("web", openssl="3.0.11-1")
    scene.publish("api", openssl="3.0.11-1")
    scene.images.clear()
    scene.configure()
    folder = scene.root / "outside" / "deploy"
    folder.mkdir()
    (folder / "web.yaml").write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n"
        "      containers: [{name: web, image: 'upstream.example/web:12'}]\n"
    )
    path = scene.root / "outside" / "sallyport.yaml"
    section = "  discover:\n    - from: deploy\n      platforms: [linux/amd64]\n      to: fleet\n"
    path.write_text(path.read_text().replace("outside:\n", f"outside:\n{section}", 1))
    with scene.site("outside") as site:
        outcome = pipeline.mirror(site)
    assert outcome.failures == ()
    assert [(done.repository, done.tag) for done in outcome.mirrored] == [("fleet/web", "12")]
