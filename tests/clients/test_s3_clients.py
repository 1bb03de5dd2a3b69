"""A real S3 service keeps the promise too, and the registry over it serves real clients."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.clients.conftest import Makes, Shell, program
from tests.store.test_blob_store import BlobStoreContract

from sallyport.cli.main import run_app
from sallyport.errors import DeniedError, StorageError, UnreachableError
from sallyport.oci import Digest, build_index, render_json
from sallyport.registry import make_app, serve
from sallyport.site import open_site
from sallyport.store import BlobStore, S3Store, Store, collect_garbage, open_store, verify_store

pytestmark = pytest.mark.client
BUCKET = "harbour"


@dataclass(frozen=True)
class Service:
    """A running S3 service and the folder behind it."""

    endpoint: str
    folder: Path

    def store(self, root: Path, prefix: str = "blobs-of-one") -> S3Store:
        return S3Store.open(f"s3://{BUCKET}/{prefix}", root, endpoint=self.endpoint, plain_http=True)


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("s3")
    (folder / BUCKET).mkdir()
    sidecar = tmp_path_factory.mktemp("s3-metadata")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        program("versitygw"), "--port", address, "--quiet", "posix", "--sidecar", str(sidecar), str(folder),
    ]  # fmt: skip
    environ = os.environ | {"ROOT_ACCESS_KEY": "harbour-master", "ROOT_SECRET_KEY": "only-for-this-test"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait(address)
            yield Service(f"http://{address}", folder)
        finally:
            process.terminate()


def _wait(address: str) -> None:
    host, _, port = address.rpartition(":")
    for _ in range(100):
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the S3 service did not start")


@pytest.fixture(autouse=True)
def login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "harbour-master")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "only-for-this-test")


class TestS3StoreOnAService(BlobStoreContract):
    @pytest.fixture
    def blobs(self, service: Service, tmp_path: Path) -> BlobStore:
        return service.store(tmp_path, f"contract/{tmp_path.name}")


@pytest.fixture
def store(service: Service, tmp_path: Path) -> Iterator[Store]:
    root = tmp_path / "store"
    root.mkdir()
    with open_store(root, blobs=service.store(root, tmp_path.name)) as opened:
        yield opened


def test_a_large_blob_goes_up_in_parts_and_comes_back(store: Store) -> None:
    data = os.urandom(21 << 20)
    digest = Digest.of(data)
    store.blobs.put(digest, len(data), (data[at : at + 65536] for at in range(0, len(data), 65536)))

    assert b"".join(store.blobs.chunks(digest)) == data
    assert b"".join(store.blobs.chunks(digest, offset=20 << 20)) == data[20 << 20 :]
    assert verify_store(store) == ()
    assert not list((store.root / "partial").iterdir())


def test_a_wrong_login_is_named(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(DeniedError, match="does not let us"):
        service.store(tmp_path).put(Digest.of(b"x"), 1, [b"x"])
    with pytest.raises(DeniedError, match="does not let us"):
        list(service.store(tmp_path).digests())


def test_a_bucket_that_is_not_there_is_named(service: Service, tmp_path: Path) -> None:
    blobs = S3Store.open("s3://no-such-bucket/x", tmp_path, endpoint=service.endpoint, plain_http=True)
    with pytest.raises(StorageError, match="no-such-bucket"):
        blobs.put(Digest.of(b"x"), 1, [b"x"])
    with pytest.raises(StorageError, match="no-such-bucket"):
        list(blobs.digests())


def test_nobody_there_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        endpoint = f"http://127.0.0.1:{probe.getsockname()[1]}"
    blobs = S3Store.open("s3://nobody/there", tmp_path, endpoint=endpoint, plain_http=True, retries=0)
    with pytest.raises(UnreachableError, match="does not answer"):
        blobs.has(Digest.of(b"x"))


def test_clients_push_and_pull_over_the_bucket(store: Store, here: Store, made: Makes, run: Shell) -> None:
    images = [made.image(here.blobs, platform) for platform in made.platforms]
    raw = build_index(images)
    index = made.blob(here.blobs, raw.raw, raw.media_type)
    for descriptor in (*images, index):
        here.state.hold("team/app", descriptor, subject=None)
    here.state.set_tag("team/app", "1", index)
    with serve(make_app(here)) as source, serve(make_app(store)) as target:
        run(
            "skopeo", "copy", "--all", "--src-tls-verify=false", "--dest-tls-verify=false",
            f"docker://{source.registry}/team/app:1", f"docker://{target.registry}/team/app:1",
        )  # fmt: skip
        run("crane", "pull", "--insecure", "--platform", "linux/amd64", f"{target.registry}/team/app:1", "app.tar")
        run("crane", "validate", "--insecure", "--remote", f"{target.registry}/team/app:1")

    assert (run.folder / "app.tar").stat().st_size > 2 << 20
    found = store.state.tag("team/app", "1")
    assert found is not None
    assert found.descriptor.digest == index.digest
    assert verify_store(store) == ()

    orphan = Digest.of(b"left by a push that broke off")
    store.blobs.put(orphan, 29, [b"left by a push that broke off"])
    assert collect_garbage(store).digests == ()  # too young
    assert collect_garbage(store, grace_s=0).digests == (orphan,)
    assert verify_store(store) == ()


def test_a_site_says_where_its_bytes_rest(service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        f"side: inside\ndestination: ship-7\nstore: store\nstorage:\n  url: s3://{BUCKET}/of-a-site\n"
        f"  endpoint: {service.endpoint}\n  plain-http: true\n"
        "retention:\n  - images: team/*\n    tags: ['ci-*', '!ci-main']\n    keep-newest: 1\n"
    )
    file = tmp_path / "sallyport.yaml"
    file.write_text(text)
    config = ("--config", str(file))
    with open_site(file) as site:
        for name in ("ci-1", "ci-2", "ci-main", "1.0"):
            blob = Makes().blob(site.store.blobs, render_json({"schemaVersion": 2, "name": name}), "application/json")
            site.store.state.set_tag("team/app", name, blob)
    assert list((service.folder / BUCKET / "of-a-site" / "blobs" / "sha256").iterdir())

    assert run_app(["gc", "--retention", "--dry-run", *config]) == 0
    shown = capsys.readouterr().out
    assert "team/app:ci-1" in shown
    assert "number 2, and the newest 1 stay" in shown
    assert run_app(["gc", "--retention", *config]) == 0
    assert run_app(["gc", "--retention", "--json", *config]) == 0
    assert '"tags":[]' in capsys.readouterr().out
    assert run_app(["verify", "--store", *config]) == 0
    with open_site(file) as site:
        assert [one.name for one in site.store.state.tags("team/app")] == ["1.0", "ci-2", "ci-main"]
