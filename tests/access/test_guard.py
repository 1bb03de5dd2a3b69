"""Who gets in, what they may, and when it ends."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

import bcrypt
import pytest

from sallyport.access import (
    ANONYMOUS,
    Caller,
    Decision,
    Grant,
    Htpasswd,
    Quota,
    Robots,
    RuledGuard,
    create_robot,
    list_robots,
    revoke_robot,
)
from sallyport.access.throttle import Throttle
from sallyport.errors import ConfigError, ConflictError, DeniedError, UsageError

NOW = datetime(2026, 7, 1, tzinfo=UTC)


class Time:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.at = NOW.timestamp()

    def __call__(self) -> float:
        return self.at


def basic(name: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def hashed(password: str, prefix: bytes = b"2b") -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).replace(b"2b", prefix, 1).decode()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def users(tmp_path: Path) -> Path:
    path = tmp_path / "htpasswd"
    path.write_text(f"# people\nalice:{hashed('one')}\n\nbob:{hashed('two', b'2y')}\n")
    return path


@pytest.fixture
def robots(tmp_path: Path) -> tuple[Path, str]:
    path = tmp_path / "robots.json"
    _, secret = create_robot(
        path, "ci", images=["team/*"], may=["push", "pull"], now=NOW, expires=NOW + timedelta(days=1)
    )
    return path, secret


@pytest.fixture
def guard(users: Path, robots: tuple[Path, str], time: Time) -> RuledGuard:
    grants = (
        Grant("anonymous", "public/*", frozenset({"pull"})),
        Grant("*", "*", frozenset({"pull"})),
        Grant("user:alice", "team/*", frozenset({"push", "delete"})),
    )
    quotas = (Quota("team/big", 100), Quota("team/*", 10))
    return RuledGuard(htpasswd=Htpasswd(users), robots=Robots(robots[0]), grants=grants, quotas=quotas, now=time)


def test_a_user_gets_in_by_password_and_may_what_grants_say(guard: RuledGuard) -> None:
    alice, bob = guard.caller(basic("alice", "one")), guard.caller(basic("bob", "two"))
    assert (str(alice), str(bob)) == ("user:alice", "user:bob")
    assert guard.may(alice, "team/app", "push") is Decision.ALLOWED
    assert guard.may(alice, "other/app", "push") is Decision.FORBIDDEN
    assert guard.may(bob, "team/app", "push") is Decision.FORBIDDEN
    assert guard.may(bob, "team/app", "pull") is Decision.ALLOWED
    assert guard.may(ANONYMOUS, "team/app", "pull") is Decision.LOGIN
    assert guard.may(ANONYMOUS, "public/app", "pull") is Decision.ALLOWED
    assert guard.may(ANONYMOUS, "public/app", "push") is Decision.LOGIN
    assert (guard.sees_all(bob), guard.sees_all(ANONYMOUS)) == (True, False)
    assert [guard.room(name) for name in ("team/big", "team/app", "other")] == [100, 10, None]


@pytest.mark.parametrize(
    "login",
    [
        basic("alice", "two"), basic("alice", ""), basic("nobody", "one"), basic("", "one"), basic("alice", "one\0"),
        basic("alice", "x" * 73), basic("robot+ci", "one"), basic("robot+none", "one"), basic("ci", "one"),
        "Basic ???", "Basic", "Bearer", "Bearer x", "Bearer spt1.x.y", "Digest x", "Basic " + "x" * 40_000,
    ],
)  # fmt: skip
def test_a_wrong_login_is_refused(guard: RuledGuard, login: str) -> None:
    with pytest.raises(DeniedError):
        guard.caller(login)
    assert guard.remembered(login) is None


def test_a_proven_login_is_remembered_until_the_password_changes(guard: RuledGuard, users: Path, time: Time) -> None:
    login = basic("alice", "one")
    assert guard.remembered(login) is None
    guard.caller(login)
    assert guard.remembered(login) == Caller("alice", "user")
    users.write_text(f"alice:{hashed('three')}\n")
    assert guard.remembered(login) is None
    with pytest.raises(DeniedError):
        guard.caller(login)
    guard.caller(basic("alice", "three"))
    time.at += 301
    assert guard.remembered(basic("alice", "three")) is None


def test_a_file_that_is_damaged_or_gone_lets_nobody_in(guard: RuledGuard, users: Path) -> None:
    good = users.read_bytes()
    guard.caller(basic("alice", "one"))
    for broken in (b"alice:one\n", b"alice:$apr1$x\n", good + good, b"\xff:x\n"):
        users.write_bytes(broken)
        with pytest.raises(DeniedError):
            guard.caller(basic("alice", "one"))
    users.unlink()
    with pytest.raises(DeniedError):
        guard.caller(basic("alice", "one"))
    users.write_bytes(good)
    assert guard.caller(basic("alice", "one")).name == "alice"


def test_files_are_checked_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        Htpasswd(tmp_path / "none")
    (tmp_path / "md5").write_text("alice:$apr1$abc$def\n")
    with pytest.raises(ConfigError, match="line 1"):
        Htpasswd(tmp_path / "md5")
    for broken in (
        '{"version":2}',
        "[]",
        "x",
        '{"version":1}',
        '{"version":1,"robots":[{}]}',
        '{"version":1,"robots":3}',
    ):
        (tmp_path / "robots").write_text(broken)
        with pytest.raises(ConfigError):
            Robots(tmp_path / "robots")


def test_a_robot_may_what_its_account_says_and_no_more(guard: RuledGuard, robots: tuple[Path, str], time: Time) -> None:
    path, secret = robots
    login = basic("robot+ci", secret)
    robot = guard.caller(login)
    assert str(robot) == "robot:ci"
    assert guard.may(robot, "team/app", "push") is Decision.ALLOWED
    assert guard.may(robot, "team/app", "delete") is Decision.FORBIDDEN
    assert guard.may(robot, "other/app", "pull") is Decision.FORBIDDEN, "* speaks of users"
    assert guard.may(robot, "public/app", "pull") is Decision.ALLOWED
    token = f"Bearer {guard.token(login)[0]}"
    assert guard.caller(token) == robot
    revoke_robot(path, "ci")
    for ended in (login, token):
        assert guard.remembered(ended) is None
        with pytest.raises(DeniedError):
            guard.caller(ended)
    assert guard.may(robot, "team/app", "push") is Decision.FORBIDDEN
    _, secret = create_robot(path, "ci", images=["*"], may=["pull"], now=NOW, expires=NOW + timedelta(days=1))
    guard.caller(basic("robot+ci", secret))
    time.at += 86400
    with pytest.raises(DeniedError):
        guard.caller(basic("robot+ci", secret))


def test_the_file_of_robots_keeps_no_secret_and_is_ours_alone(robots: tuple[Path, str]) -> None:
    path, secret = robots
    assert secret.encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    (listed,) = list_robots(path)
    assert (listed.name, listed.images, listed.may) == ("ci", ("team/*",), ("pull", "push"))
    assert list_robots(path.with_name("none")) == ()
    with pytest.raises(ConflictError):
        create_robot(path, "ci", images=["*"], may=["pull"], now=NOW, expires=None)
    with pytest.raises(UsageError):
        revoke_robot(path, "none")
    for name, images, may in (("CI", ["*"], ["pull"]), ("a", [], ["pull"]), ("a", ["*"], []), ("a", ["*"], ["all"])):
        with pytest.raises(UsageError):
            create_robot(path, name, images=images, may=may, now=NOW, expires=None)


def test_a_token_is_a_login_for_five_minutes(guard: RuledGuard, time: Time, users: Path) -> None:
    sealed, seconds = guard.token(basic("alice", "one"))
    token = f"Bearer {sealed}"
    assert seconds == 300
    assert guard.caller(token) == Caller("alice", "user")
    time.at += 200
    again, left = guard.token(token)
    assert left == 100, "a token is no way to get a longer one"
    time.at += 101
    for old in (token, f"Bearer {again}"):
        with pytest.raises(DeniedError, match="over"):
            guard.caller(old)
    fresh = f"Bearer {guard.token(basic('alice', 'one'))[0]}"
    users.write_text(f"alice:{hashed('three')}\n")
    with pytest.raises(DeniedError, match="ended"):
        guard.caller(fresh)
    other = RuledGuard(htpasswd=Htpasswd(users), now=time)
    with pytest.raises(DeniedError):
        guard.caller(f"Bearer {other.token(basic('alice', 'three'))[0]}")


def test_one_changed_character_of_a_token_is_refused(guard: RuledGuard) -> None:
    sealed, _ = guard.token(basic("alice", "one"))
    for place in range(0, len(sealed), 7):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(DeniedError):
            guard.caller(f"Bearer {changed}")


def test_who_has_not_logged_in_is_asked_once(guard: RuledGuard) -> None:
    assert guard.may(ANONYMOUS, "", "list") is Decision.LOGIN
    nobody = guard.caller(f"Bearer {guard.token('')[0]}")
    assert guard.may(nobody, "", "list") is Decision.ALLOWED
    assert guard.may(nobody, "public/app", "pull") is Decision.ALLOWED
    assert guard.may(nobody, "team/app", "pull") is Decision.LOGIN
    assert guard.caller(basic("", "")) == ANONYMOUS
    closed = RuledGuard()
    assert closed.may(ANONYMOUS, "", "list") is Decision.ALLOWED
    assert closed.may(ANONYMOUS, "any", "pull") is Decision.ALLOWED
    assert closed.may(ANONYMOUS, "any", "push") is Decision.FORBIDDEN, "nobody can log in"


def test_the_challenge_names_the_token_endpoint(guard: RuledGuard, users: Path) -> None:
    assert guard.challenge("http://127.0.0.1:5000", "team/app", "push") == (
        'Bearer realm="http://127.0.0.1:5000/token",service="sallyport",scope="repository:team/app:pull,push"'
    )
    assert (
        guard.challenge("https://[::1]:5000", "", "list")
        == 'Bearer realm="https://[::1]:5000/token",service="sallyport"'
    )
    assert guard.challenge('http://a",b="', "team/app", "push").startswith("Basic ")
    proxied = RuledGuard(htpasswd=Htpasswd(users), url="https://registry.example/")
    assert 'realm="https://registry.example/token"' in proxied.challenge("http://10.0.0.1", "", "list")


def test_who_guesses_is_slowed_down_and_others_are_not(guard: RuledGuard, time: Time) -> None:
    for number in range(10):
        with pytest.raises(DeniedError, match="wrong"):
            guard.caller(basic("alice", str(number)), "192.0.2.1")
    with pytest.raises(DeniedError, match="too many"):
        guard.caller(basic("alice", "one"), "192.0.2.1")
    assert guard.caller(basic("alice", "one"), "192.0.2.2").name == "alice"
    assert guard.caller(basic("bob", "two"), "192.0.2.1").name == "bob"
    time.at += 7
    with pytest.raises(DeniedError, match="wrong"):
        guard.caller(basic("alice", "x"), "192.0.2.1")


def test_many_names_from_one_network_and_many_networks_for_one_name() -> None:
    throttle = Throttle()
    for number in range(60):
        assert not throttle.closed(f"2001:db8::{number:x}", f"user{number}", 0.0)
        throttle.wrong(f"2001:db8::{number:x}", f"user{number}", 0.0)
    assert throttle.closed("2001:db8::ffff", "another", 0.0)
    assert not throttle.closed("2001:db8:0:1::1", "another", 0.0)
    for number in range(300):
        throttle.wrong(f"10.0.{number // 250}.{number % 250}", "alice", 0.0)
    assert throttle.closed("203.0.113.1", "alice", 0.0)
    assert not throttle.closed("203.0.113.1", "alice", 2.0)


def test_counting_takes_bounded_memory() -> None:
    throttle = Throttle(entries=100)
    for number in range(1000):
        throttle.wrong(f"10.1.{number // 250}.{number % 250}", f"user{number}", 0.0)
    assert len(throttle) == 100
