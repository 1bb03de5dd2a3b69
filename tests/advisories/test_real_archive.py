"""The real archive, where the host knows a mirror: what its changelogs close is what was published."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sallyport.advisories.changelog import ChangelogSource
from sallyport.archives import Archive, Suite, apt_proxies, debian_key, find_mirrors, load_keyring
from sallyport.catalog import Bill, Distribution
from sallyport.catalog.dpkg import parse_status
from sallyport.engine import Http, Threads
from sallyport.errors import NoMirrorError, UnreachableError
from sallyport.match import find
from sallyport.oci import Digest, Platform
from sallyport.store import DirectoryStore

EXAMPLE = Path(__file__).parents[2].parent / "shared" / "advisories" / "example"


@pytest.mark.archive
def test_the_newer_packages_name_every_published_vulnerability_that_they_close(tmp_path: Path) -> None:
    if not EXAMPLE.is_dir():
        pytest.skip(f"the example data is not at {EXAMPLE}")
    try:
        mirrors = find_mirrors(environ=os.environ)
    except NoMirrorError as error:
        pytest.skip(f"{error.message}: {error.mend}")
    raw = gzip.decompress((EXAMPLE / "dpkg-status-main.gz").read_bytes())
    layer = Digest.of(b"layer")
    packages = sorted(parse_status(raw, layer=layer, location="status"), key=lambda package: package.key)
    bill = Bill(
        layer, Platform("linux", "amd64"), Distribution("debian", "12", "bookworm", "Debian 12"), tuple(packages)
    )
    cache = DirectoryStore(tmp_path / "cache", durable=False)
    with Http(proxies=apt_proxies() or None) as http:
        try:
            keyring = load_keyring(http=http, cache=cache, mirror=mirrors.main)
            suites = [Suite(mirrors.main, "bookworm"), Suite(mirrors.security, "bookworm-security")]
            archive = Archive.open(suites, keyring, http, cache, now=datetime.now(UTC))
            feed = ChangelogSource(archive, executor=Threads(4)).feed((bill,))
        except UnreachableError as error:
            pytest.skip(f"{error.message}: {error.mend}")
        index = archive.packages("amd64")
    assert len(feed.asked) == len({package.source for package in packages})
    assert feed.as_of == archive.releases[1].date
    found = {(item.package.source, item.id): item.fixed for item in find(bill, [feed])}
    # The mirror may be older or newer than the example: what it ships already must be found, with the same fix.
    ships = {
        source: max((p.source_version for p in map(index.newest, names) if p is not None), key=debian_key)
        for source in {package.source for package in packages}
        if (names := [package.name for package in packages if package.source == source])
    }
    expected = json.loads((EXAMPLE / "bookworm-web-expected.json").read_text())["findings_by_source"]
    published = {
        (source, cve): fixed
        for source, told in expected.items()
        for cve, fixed in told["cves"].items()
        if debian_key(ships[source]) >= debian_key(fixed)
    }
    assert published.items() <= found.items()
