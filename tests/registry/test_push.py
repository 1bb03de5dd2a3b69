"""Pushing: what lacks is found however deep, what was begun is continued, and immutable tags are understood."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sallyport.engine import Http, Threads
from sallyport.errors import ConflictError, DeniedError, UnknownMediaTypeError, UnreachableError
from sallyport.oci import (
    EMPTY_CONFIG,
    Descriptor,
    Digest,
    Index,
    build_index,
    build_manifest,
    load_manifest,
    media_types,
)
from sallyport.registry import RegistryClient, carry_out, make_app, plan_push, push_image, referrers_tag, serve
from sallyport.registry.fallback import keep_referrer
from sallyport.store import open_store

MANIFEST = build_manifest(EMPTY_CONFIG, [EMPTY_CONFIG])


def test_a_plan_says_what_would_go_and_sends_nothing(site: Any, here: Any, build: Any) -> None:
    index = build.index("app")
    plan = plan_push(site.client, "app", ["1", "2"], here.blobs, index)
    assert plan.wanted == ("1", "2")
    assert (len(plan.manifests), len(plan.blobs)) == (2, 6)
    assert all(line.startswith("HEAD ") for line in site.counted.take())
    assert carry_out(site.client, plan, here.blobs) == plan.bytes
    again = plan_push(site.client, "app", ["1", "2", "3"], here.blobs, index)
    assert again.wanted == ("3",)
    assert again.bytes == index.size
    assert not again.empty
    assert plan_push(site.client, "app", ["1"], here.blobs, index).empty


def test_an_index_that_is_there_does_not_hide_that_its_images_are_not(site: Any, here: Any, build: Any) -> None:
    index = build.index("app")
    push_image(site.client, "app", ["1"], here.blobs, index)
    document = load_manifest(here.blobs, index)
    assert isinstance(document, Index)
    lost = document.manifests[1]
    layer = site.client.manifest("app", str(lost.digest)).layers[0]
    site.store.state.unhold("app", lost.digest)
    site.store.blobs.delete(lost.digest)
    site.store.blobs.delete(layer.digest)
    assert site.client.head("app", "1").digest == index.digest
    assert site.client.head("app", str(lost.digest)) is None
    plan = plan_push(site.client, "app", ["1"], here.blobs, index)
    assert plan.wanted == ()
    assert [item.digest for item in plan.manifests] == [lost.digest]
    assert layer.digest in [item.digest for item in plan.blobs]
    push_image(site.client, "app", ["1"], here.blobs, index)
    assert site.client.has_blob("app", layer.digest)
    assert plan_push(site.client, "app", ["1"], here.blobs, index).empty


def test_many_blobs_go_at_once_and_are_counted_once(site: Any, here: Any, build: Any) -> None:
    image = build.image("app", layers=8, size=100_000)
    seen: list[int] = []

    class Watched:
        def task(self, label: str, total: int | None = None) -> Any:
            seen.append(-(total or 0))
            return contextlib.nullcontext(Bar(seen))

        def say(self, text: str) -> None:
            """Nothing is said."""

    sent = push_image(site.client, "app", ["1"], here.blobs, image, executor=Threads(4), progress=Watched())
    assert sent > 800_000
    assert sum(seen) == 0


class Bar:
    def __init__(self, seen: list[int]) -> None:
        self._seen = seen

    def advance(self, amount: int) -> None:
        self._seen.append(amount)


def test_each_blob_is_taken_over_from_where_it_is(site: Any, here: Any, build: Any) -> None:
    one, two = build.image("one"), build.image("two")
    push_image(site.client, "a", ["1"], here.blobs, one)
    push_image(site.client, "b", ["1"], here.blobs, two)
    where: dict[Digest, str] = {}
    for repository, image in (("a", one), ("b", two)):
        where.update({blob.digest: repository for blob in load_manifest(here.blobs, image).blobs})  # type: ignore[union-attr]
    index = build_index([one, two])
    both = build.blob(index.raw, index.media_type)
    sent = push_image(site.client, "c", ["1"], here.blobs, both, mount_from=where)
    assert sent == one.size + two.size + both.size


# --- immutable tags ---------------------------------------------------------------------------


REFUSALS = [
    (412, {"errors": [{"code": "PRECONDITION", "message": "configured as immutable"}]}),  # Harbor
    (400, {"errors": [{"code": "ImageTagAlreadyExistsException", "message": "tag '1' already exists"}]}),  # ECR
    (400, {"errors": [{"code": "UNKNOWN", "message": "Repository does not allow updating assets: images"}]}),  # Nexus
    (400, {}),
    (409, {"errors": [{"code": "TAG_IMMUTABLE", "message": "tag is immutable"}]}),
    (403, {"errors": [{"code": "DENIED", "message": "not allowed to overwrite"}]}),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_the_same_image_under_an_immutable_tag_is_success_and_another_is_not(
    odd: Any, http: Any, status: int, body: dict[str, object]
) -> None:
    there = [MANIFEST.digest]

    def answer(handler: Any) -> None:
        if handler.command == "PUT":
            handler.say(status, json.dumps(body).encode(), Content_Type="application/json")
        else:
            kind = media_types.OCI_MANIFEST
            handler.say(200, Content_Type=kind, Docker_Content_Digest=str(there[0]), Content_Length="400")

    odd.answer = answer
    client = RegistryClient(http, odd.registry)
    client.push_manifest("app", "1", MANIFEST)
    there[0] = Digest.of(b"another")
    with pytest.raises(ConflictError, match=f"names {there[0]} there already"):
        client.push_manifest("app", "1", MANIFEST)


@pytest.mark.parametrize(
    ("status", "code"), [(400, "MANIFEST_BLOB_UNKNOWN"), (400, "MANIFEST_INVALID"), (403, "DENIED"), (401, "X")]
)
def test_other_refusals_stay_what_they_are(odd: Any, http: Any, status: int, code: str) -> None:
    def answer(handler: Any) -> None:
        if handler.command == "PUT":
            handler.say(status, json.dumps({"errors": [{"code": code, "message": "no"}]}).encode())
        else:
            handler.say(200, Content_Type=media_types.OCI_MANIFEST, Docker_Content_Digest=str(MANIFEST.digest))

    odd.answer = answer
    with pytest.raises(DeniedError):
        RegistryClient(http, odd.registry).push_manifest("app", "1", MANIFEST)


# --- across restarts --------------------------------------------------------------------------


class Kept:
    """Sessions in a dictionary: what a database would keep."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def begun(self, key: str) -> str:
        return self.known.get(key, "")

    def remember(self, key: str, url: str) -> None:
        self.known[key] = url

    def forget(self, key: str) -> None:
        self.known.pop(key, None)


class Killed(BaseException):
    """As SIGKILL leaves things: nothing of ours tidies up."""


def test_a_killed_push_is_continued_behind_what_arrived(site: Any, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.registry.upload.CHUNK", 1000)
    data = bytes(range(256)) * 40
    digest = Digest.of(data)
    kept = Kept()

    def dying() -> Iterator[bytes]:
        yield data[:5500]
        raise Killed

    first = RegistryClient(http, site.serving.registry, sessions=kept)
    with pytest.raises(Killed):
        first.push_blob("app", digest, len(data), dying)
    assert list(kept.known) == [f"{site.serving.registry}/app@{digest}"]

    second = RegistryClient(http, site.serving.registry, sessions=kept)
    assert second.push_blob("app", digest, len(data), lambda: [data]) == len(data) - 5000
    assert kept.known == {}
    assert b"".join(second.blob("app", digest)) == data


def test_an_upload_that_the_registry_has_forgotten_begins_anew(
    site: Any, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sallyport.registry.upload.CHUNK", 1000)
    data = b"x" * 4000
    digest = Digest.of(data)
    kept = Kept()
    kept.known[f"{site.serving.registry}/app@{digest}"] = f"{site.url}app/blobs/uploads/long-gone"
    client = RegistryClient(http, site.serving.registry, sessions=kept)
    assert client.push_blob("app", digest, len(data), lambda: [data]) == len(data)
    assert kept.known == {}


@pytest.mark.parametrize("status", [400, 404, 405, 416])
def test_a_registry_without_chunks_gets_the_blob_whole(
    odd: Any, http: Http, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr("sallyport.registry.upload.CHUNK", 1000)
    bodies: list[bytes] = []

    def answer(handler: Any) -> None:
        if handler.command == "POST":
            handler.say(202, Location="/v2/app/blobs/uploads/1")
        elif handler.command == "PUT":
            bodies.append(handler.body)
            handler.say(201)
        else:
            handler.say(status)

    odd.answer = answer
    data = b"x" * 4000
    client = RegistryClient(http, odd.registry, sessions=Kept())
    assert client.push_blob("app", Digest.of(data), len(data), lambda: [data]) == len(data)
    assert bodies == [data]


# --- the list of referrers under its tag ------------------------------------------------------


class WithoutReferrers:
    """A registry of before OCI 1.1: no referrers API, and no word about subjects."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "/referrers/" in scope["path"]:
            scope = {**scope, "path": "/nothing", "raw_path": b"/nothing"}

        async def say(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name, value) for name, value in message["headers"] if name.lower() != b"oci-subject"]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, say)


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Any]:
    with open_store(tmp_path / "old") as store, serve(WithoutReferrers(make_app(store))) as serving:
        yield serving


@pytest.mark.parametrize("who", ["one client", "a client each"])
def test_eight_who_attach_at_once_lose_nothing(old: Any, http: Http, here: Any, build: Any, who: str) -> None:
    image = build.image("app")
    push_image(RegistryClient(http, old.registry), "app", ["1"], here.blobs, image)
    bills = [build.about(image, "application/vnd.example.bill", f"bill {number}") for number in range(8)]
    one = RegistryClient(http, old.registry)
    errors: list[BaseException] = []

    def attach(bill: Descriptor) -> None:
        client = one if who == "one client" else RegistryClient(http, old.registry)
        try:
            push_image(client, "app", [], here.blobs, bill)
        except BaseException as error:  # noqa: BLE001 - a thread's error is told below
            errors.append(error)

    threads = [threading.Thread(target=attach, args=(bill,)) for bill in bills]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    found = {item.digest: item for item in one.referrers("app", image.digest)}
    assert set(found) == {bill.digest for bill in bills}
    assert {item.artifact_type for item in found.values()} == {"application/vnd.example.bill"}


def test_a_list_that_a_kill_left_behind_is_completed_by_the_next_push(
    old: Any, http: Http, here: Any, build: Any
) -> None:
    image = build.image("app")
    client = RegistryClient(http, old.registry)
    bill = build.about(image, "application/vnd.example.bill", "bill")
    for item in (image, bill):
        push_image(client, "app", [], here.blobs, item)
    client.delete_manifest("app", referrers_tag(image.digest))
    assert client.referrers("app", image.digest) == ()
    plan = plan_push(client, "app", [], here.blobs, bill)
    assert plan.wanted == (str(bill.digest),)
    carry_out(client, plan, here.blobs)
    assert [item.digest for item in client.referrers("app", image.digest)] == [bill.digest]
    assert plan_push(client, "app", [], here.blobs, bill).empty


def test_what_others_undo_for_ever_is_given_up() -> None:
    mine = MANIFEST.descriptor
    naps: list[float] = []
    with pytest.raises(UnreachableError, match="change the list"):
        keep_referrer(lambda: None, lambda _: None, mine, what="app:sha256-0", sleep=naps.append)
    assert len(naps) == 24
    assert max(naps) <= 5


def test_an_entry_that_another_writer_dropped_is_put_back() -> None:
    theirs, mine = Descriptor(media_types.OCI_MANIFEST, 7, Digest.of(b"theirs")), MANIFEST.descriptor
    lists: list[Index | None] = [build_index([theirs]), build_index([mine]), None]
    written: list[Index] = []

    def read() -> Index | None:
        return written[-1] if len(written) == 2 else lists.pop(0)

    keep_referrer(read, written.append, mine, what="app:sha256-0", sleep=lambda _: None)
    assert {item.digest for item in written[-1].manifests} == {theirs.digest, mine.digest}


def test_a_registry_that_fails_while_another_writes_is_asked_again_and_one_that_is_down_is_not_for_ever() -> None:
    written: list[Index] = []
    fails = [True, True, False, True]
    asked: list[bool] = []

    def read() -> Index | None:
        asked.append(True)
        if fails and fails.pop(0):
            raise UnreachableError("the registry failed (500)", "wait")
        return written[-1] if written else None

    keep_referrer(read, written.append, MANIFEST.descriptor, what="app:sha256-0", sleep=lambda _: None)
    assert [len(index.manifests) for index in written] == [1]
    asked.clear()
    fails.extend([True] * 99)
    with pytest.raises(UnreachableError, match="500"):
        keep_referrer(read, written.append, MANIFEST.descriptor, what="app:sha256-0", sleep=lambda _: None)
    assert len(asked) == 6


def test_a_manifest_of_schema_1_is_refused_before_its_digest_is_looked_at(odd: Any, http: Http) -> None:
    kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
    odd.answer = lambda handler: handler.say(200, b"{}", Content_Type=kind, Docker_Content_Digest=str(Digest.of(b"x")))
    with pytest.raises(UnknownMediaTypeError, match="v1"):
        RegistryClient(http, odd.registry).manifest("app", "1")
