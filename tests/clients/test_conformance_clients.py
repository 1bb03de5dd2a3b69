"""The OCI's own conformance suite, all of it, against our registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from sallyport.registry import make_app, serve
from sallyport.store import Store, verify_store

if TYPE_CHECKING:
    from tests.clients.conftest import Shell

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(
        os.environ.get("SALLYPORT_CLIENT_TESTS") != "1",
        reason="client tests are switched on by SALLYPORT_CLIENT_TESTS=1",
    ),
]
CONFIG = """\
registry: {registry}
tls: disabled
repo1: conformance/one
repo2: conformance/two
version: "1.1"
apis:
  blobs: {{uploadCancel: true, digestHeader: true}}
  manifests: {{digestHeader: true, tagParam: true}}
"""
CASES = 982


def test_no_case_fails(here: Store, run: Shell, record_property: Any) -> None:
    """Everything that the suite knows, but images that lack layers: those we refuse, for they could never run."""
    with serve(make_app(here)) as serving:
        (run.folder / "oci-conformance.yaml").write_text(CONFIG.format(registry=serving.registry))
        said = run("conformance")
    suite = ET.parse(run.folder / "results" / "junit.xml").getroot()
    counted = {name: int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")}
    record_property("conformance", str(counted))
    assert (counted["failures"], counted["errors"]) == (0, 0), said
    assert counted["tests"] >= CASES
    # Left out by the suite itself: a range beyond the end, and a mount without a source, which would tell strangers
    # what other repositories hold.
    assert counted["skipped"] <= 8, said
    assert verify_store(here) == ()
