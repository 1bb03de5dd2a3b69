"""What registries say about how much they still allow, and what is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from sallyport.engine import Silent
from sallyport.oci import EMPTY_CONFIG, Digest, build_manifest, media_types
from sallyport.registry import RateLimit, RegistryClient
from sallyport.registry.limits import LONGEST_PAUSE_S, parse_limits

MANIFEST = build_manifest(EMPTY_CONFIG, [EMPTY_CONFIG])
NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({"ratelimit-remaining": "many"}, None),
        (
            {"ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600"},
            RateLimit(76, 100, 21600, None),
        ),
        ({"ratelimit": "limit=100, remaining=50, reset=30"}, RateLimit(50, 100, None, 30.0)),
        (
            {"ratelimit-policy": '"default";q=100;w=10', "ratelimit": '"default";r=5;t=7'},
            RateLimit(5, 100, 10, 7.0),
        ),
        (
            {"x-ratelimit-limit": "60", "x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000009"},
            RateLimit(0, 60, None, 9.0),
        ),
        ({"ratelimit-remaining": "3", "ratelimit-reset": "12"}, RateLimit(3, None, None, 12.0)),
    ],
)
def test_every_dialect_is_understood(headers: dict[str, str], found: RateLimit | None) -> None:
    assert parse_limits(headers, now=NOW) == found


class Heard:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def task(self, label: str, total: int | None = None) -> Any:
        return Silent().task(label, total)

    def say(self, text: str) -> None:
        self.lines.append(text)


def test_few_remaining_pulls_are_told_once(odd: Any, http: Any) -> None:
    left = iter(["76", "9", "8", "90", "5"])

    def answer(handler: Any) -> None:
        number = next(left)
        handler.say(
            200,
            MANIFEST.raw,
            Content_Type=media_types.OCI_MANIFEST,
            Docker_Content_Digest=str(MANIFEST.digest),
            RateLimit_Limit="100;w=21600",
            RateLimit_Remaining=f"{number};w=21600",
        )

    odd.answer = answer
    heard = Heard()
    client = RegistryClient(http, odd.registry, progress=heard)
    assert client.remaining() is None
    for _ in range(5):
        client.head("app", "1")
    assert client.remaining() == RateLimit(5, 100, 21600)
    place = odd.registry
    assert heard.lines == [f"note: {place} allows {n} of 100 more pulls in 6 h" for n in (9, 5)]


def test_where_nothing_is_left_the_reset_is_waited_for(odd: Any, http: Any) -> None:
    reset = [30]
    odd.answer = lambda handler: handler.say(
        200,
        MANIFEST.raw,
        Content_Type=media_types.OCI_MANIFEST,
        Docker_Content_Digest=str(MANIFEST.digest),
        X_RateLimit_Remaining="0",
        X_RateLimit_Reset=str(reset[0]),
    )
    naps: list[float] = []
    client = RegistryClient(http, odd.registry, sleep=naps.append)
    client.head("app", "1")
    assert naps == []
    client.head("app", "1")
    assert 29 < naps[0] <= 30
    # What is too far away is for the registry's own refusal to say.
    reset[0] = int(LONGEST_PAUSE_S) * 10
    client.head("app", "1")
    naps.clear()
    client.head("app", "1")
    assert naps == []


def test_what_did_not_change_is_not_sent_again(odd: Any, http: Any) -> None:
    def answer(handler: Any) -> None:
        tag = f'"{MANIFEST.digest}"'
        if handler.headers.get("If-None-Match") == tag:
            handler.say(304, ETag=tag)
        else:
            handler.say(
                200,
                MANIFEST.raw,
                Content_Type=media_types.OCI_MANIFEST,
                Docker_Content_Digest=str(MANIFEST.digest),
                ETag=tag,
            )

    odd.answer = answer
    client = RegistryClient(http, odd.registry)
    known = client.head("app", "1")
    assert known is not None
    assert client.head("app", "1", known=known) is known
    assert client.changed("app", "1", MANIFEST.digest) is None
    assert client.changed("app", "1", Digest.of(b"older")) == MANIFEST
    assert [seen.command for seen in odd.seen] == ["HEAD", "HEAD", "GET", "GET"]


def test_a_registry_that_ignores_conditions_is_understood_too(odd: Any, http: Any) -> None:
    odd.answer = lambda handler: handler.say(200, MANIFEST.raw, Content_Type=media_types.OCI_MANIFEST)
    client = RegistryClient(http, odd.registry)
    assert client.changed("app", "1", MANIFEST.digest) is None
    assert client.changed("app", "1", Digest.of(b"older")) == MANIFEST


def test_everybody_waits_and_one_line_says_so(odd: Any, http: Any) -> None:
    odd.answer = lambda handler: handler.say(
        200,
        MANIFEST.raw,
        Content_Type=media_types.OCI_MANIFEST,
        Docker_Content_Digest=str(MANIFEST.digest),
        RateLimit_Remaining="0",
        RateLimit_Reset="40",
    )
    naps: list[float] = []
    heard = Heard()
    client = RegistryClient(http, odd.registry, sleep=naps.append, progress=heard)
    for _ in range(4):
        client.head("app", "1")
    assert len(naps) == 3
    assert [line for line in heard.lines if "waiting" in line] == [
        f"note: {odd.registry} allows nothing more for 40 s; waiting"
    ]
