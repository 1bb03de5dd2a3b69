"""Tags, held manifests and facts."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sallyport.engine import FixedClock
from sallyport.errors import DiskFullError, ImmutableTagError, LockedError, StorageError, UsageError
from sallyport.oci import Descriptor, Digest, Platform, media_types
from sallyport.store import Held, State, Store, Tag, open_store


def descriptor(text: str, **fields: object) -> Descriptor:
    data = text.encode()
    return Descriptor(media_types.OCI_MANIFEST, len(data), Digest.of(data), **fields)  # type: ignore[arg-type]


ONE, TWO = descriptor("one"), descriptor("two")


# --- tags ---------------------------------------------------------------------------------------


def test_a_channel_moves_and_says_when_it_moved(store: Store) -> None:
    state = store.state
    assert state.set_tag("debian/web", "stable", ONE)
    assert not state.set_tag("debian/web", "stable", ONE)
    assert state.set_tag("debian/web", "stable", TWO)

    assert state.tag("debian/web", "stable") == Tag(
        "debian/web", "stable", TWO, immutable=False, set_at=datetime(2026, 7, 11, 12, 0, tzinfo=UTC)
    )
    assert state.tag("debian/web", "other") is None
    assert state.tag("debian/other", "stable") is None


def test_an_immutable_tag_never_names_another_digest(store: Store) -> None:
    state = store.state
    state.set_tag("debian/web", "12-20260711.1", ONE, immutable=True)

    assert not state.set_tag("debian/web", "12-20260711.1", ONE, immutable=True)
    assert not state.set_tag("debian/web", "12-20260711.1", ONE)
    with pytest.raises(ImmutableTagError, match=str(TWO.digest)):
        state.set_tag("debian/web", "12-20260711.1", TWO)
    with pytest.raises(ImmutableTagError):
        state.set_tag("debian/web", "12-20260711.1", TWO, immutable=True)
    with pytest.raises(ImmutableTagError):
        state.delete_tag("debian/web", "12-20260711.1")

    found = state.tag("debian/web", "12-20260711.1")
    assert found is not None
    assert found.immutable
    assert found.descriptor == ONE


def test_a_tag_may_become_immutable_but_not_the_other_way(store: Store) -> None:
    store.state.set_tag("a", "x", ONE)
    assert store.state.set_tag("a", "x", ONE, immutable=True)
    assert not store.state.set_tag("a", "x", ONE, immutable=False)
    with pytest.raises(ImmutableTagError):
        store.state.set_tag("a", "x", TWO)


def test_deleting_a_tag(store: Store) -> None:
    store.state.set_tag("a", "x", ONE)
    assert store.state.delete_tag("a", "x")
    assert not store.state.delete_tag("a", "x")


def test_tags_come_in_lexical_order_and_in_pages(store: Store) -> None:
    for name in ("b", "a", "C", "10", "9", "_"):
        store.state.set_tag("a", name, ONE)
    store.state.set_tag("b", "elsewhere", ONE)

    assert [tag.name for tag in store.state.tags("a")] == sorted(["b", "a", "C", "10", "9", "_"])
    assert [tag.name for tag in store.state.tags("a", after="9", limit=2)] == ["C", "_"]
    assert store.state.tags("a", limit=0) == []
    assert store.state.tags("none") == []


@pytest.mark.parametrize(("repository", "tag"), [("Upper", "x"), ("a/../b", "x"), ("", "x"), ("a", "-x"), ("a", "a b")])
def test_names_that_no_client_could_ask_for_are_refused(store: Store, repository: str, tag: str) -> None:
    with pytest.raises(UsageError):
        store.state.set_tag(repository, tag, ONE)
    assert store.state.repositories() == []


def test_a_descriptor_comes_back_as_it_was(store: Store) -> None:
    full = descriptor(
        "x", platform=Platform("linux", "arm", "v7"), artifact_type="application/x", annotations={"ä": "ö"}
    )
    store.state.set_tag("a", "x", full)
    store.state.hold("a", full, subject=ONE.digest)
    found = store.state.tag("a", "x")
    assert found is not None
    assert found.descriptor == full
    assert store.state.held("a", full.digest) == Held("a", full, ONE.digest)


# --- held manifests -----------------------------------------------------------------------------


def test_holding_is_by_repository(store: Store) -> None:
    state = store.state
    state.hold("a", ONE)
    state.hold("a", ONE)
    state.hold("b", ONE)
    state.hold("b", TWO)

    assert state.held("a", ONE.digest) == Held("a", ONE, None)
    assert state.held("a", TWO.digest) is None
    assert [held.repository for held in state.held_everywhere(ONE.digest)] == ["a", "b"]
    assert state.manifests("b") == sorted(
        [Held("b", ONE, None), Held("b", TWO, None)], key=lambda h: h.descriptor.digest
    )
    assert len(state.manifests()) == 3
    assert state.repositories() == ["a", "b"]

    assert state.unhold("a", ONE.digest)
    assert not state.unhold("a", ONE.digest)
    assert state.repositories() == ["b"]


def test_referrers_are_found_by_their_subject(store: Store) -> None:
    state = store.state
    state.hold("a", ONE)
    state.hold("a", TWO, subject=ONE.digest)
    state.hold("b", descriptor("three"), subject=ONE.digest)

    assert [held.descriptor for held in state.referrers("a", ONE.digest)] == [TWO]
    assert state.referrers("a", TWO.digest) == []


def test_what_an_immutable_tag_names_stays_held(store: Store) -> None:
    store.state.hold("a", ONE)
    store.state.set_tag("a", "1", ONE, immutable=True)
    with pytest.raises(ImmutableTagError):
        store.state.unhold("a", ONE.digest)
    assert store.state.held("a", ONE.digest)


# --- facts --------------------------------------------------------------------------------------


def test_the_newest_fact_wins(store: Store) -> None:
    state = store.state
    state.put_fact("scan", "b", b"1")
    state.put_fact("scan", "a", b"\x00\xff")
    state.put_fact("scan", "b", b"2")
    state.put_fact("bill", "b", b"3")

    assert state.fact("scan", "b") == b"2"
    assert list(state.facts("scan")) == [("a", b"\x00\xff"), ("b", b"2")]
    assert state.delete_fact("scan", "b")
    assert not state.delete_fact("scan", "b")
    assert state.fact("scan", "b") is None
    assert state.fact("bill", "b") == b"3"


def test_a_reader_of_many_facts_holds_up_no_writer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.store.database._PAGE", 10)
    for number in range(25):
        store.state.put_fact("many", f"{number:05}", b"x")
    seen: list[str] = []
    for key, _ in store.state.facts("many"):
        if not seen:
            store.state.delete_fact("many", "00018")
        seen.append(key)
    assert len(seen) == 24
    assert seen == sorted(seen)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(facts=st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), st.binary()))
def test_any_fact_comes_back(store: Store, facts: dict[str, bytes]) -> None:
    for key, _ in list(store.state.facts("any")):
        store.state.delete_fact("any", key)
    for key, body in facts.items():
        store.state.put_fact("any", key, body)
    assert dict(store.state.facts("any")) == facts


# --- opening ------------------------------------------------------------------------------------


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.state.set_tag("a", "x", ONE)
        store.state.append("mirrored", "a:x", {})
    with open_store(tmp_path, create=False) as store:
        assert store.state.tag("a", "x")
        assert store.state.verify_journal() == 1


def test_the_head_is_the_newest_step() -> None:
    from alembic.script import ScriptDirectory

    from sallyport.store import migrations

    folder = Path(migrations.__file__).parent
    assert ScriptDirectory(str(folder)).get_heads() == [migrations.HEAD]


def test_opening_a_database_that_is_up_to_date_loads_no_migrations(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    program = (
        "import sys; from pathlib import Path; from sallyport.store import open_store;"
        "open_store(Path(sys.argv[1])).close(); print('alembic' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_newer_shape_is_not_touched(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / "state.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(StorageError, match="newer sallyport"):
        open_store(tmp_path)


def test_a_file_that_is_no_database_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match="not a database"):
        open_store(tmp_path)


def test_a_folder_without_a_store_is_not_made_by_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no store"):
        open_store(tmp_path / "typo", create=False)
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize("url", ["", "sqlite://", "sqlite:///", "postgresql://host/db", "/srv/state.db"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="no state store understands"):
        State(url)


def test_odd_folder_names_are_only_names(tmp_path: Path) -> None:
    root = tmp_path / "50% off?mode=ro&x#y"
    with open_store(root) as store:
        store.state.set_tag("a", "x", ONE)
    assert (root / "state.db").is_file()


# --- several at once ----------------------------------------------------------------------------


def write_many(root: str, who: int) -> None:
    with open_store(Path(root)) as store:
        for number in range(25):
            store.state.append("mirrored", f"image{who}", {"number": str(number)})
            store.state.hold("a", descriptor(f"{who} {number}"))


def test_threads_and_processes_write_one_chain(tmp_path: Path) -> None:
    """Nobody opens it first: several build a new store at once, too."""
    program = f"import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_state as t; "
    command = [sys.executable, "-c", program + "t.write_many(sys.argv[1], int(sys.argv[2]))", str(tmp_path)]
    processes = [subprocess.Popen([*command, str(who)]) for who in range(2)]
    threads = [threading.Thread(target=write_many, args=(str(tmp_path), who)) for who in range(2, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0]
    with open_store(tmp_path) as store:
        assert store.state.verify_journal() == 150
        assert len(store.state.manifests("a")) == 150


def test_only_one_of_many_racers_sets_an_immutable_tag(store: Store) -> None:
    won: list[int] = []

    def race(number: int) -> None:
        try:
            store.state.set_tag("a", "1", descriptor(str(number)), immutable=True)
            won.append(number)
        except ImmutableTagError:
            pass

    threads = [threading.Thread(target=race, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.state.tag("a", "1")
    assert found is not None
    assert found.descriptor == descriptor(str(won[0]))
    assert len(won) == 1


def test_a_clock_is_handed_in(tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    with open_store(tmp_path, clock=FixedClock(at + timedelta(microseconds=7))) as store:
        event = store.state.append("mirrored", "x", {})
        assert event.at == at
        assert list(store.state.events()) == [event]


def test_a_writer_that_never_ends_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sallyport.store.database.WAIT_MS", 50)
    with open_store(store.root) as other, closing(sqlite3.connect(store.root / "state.db")) as hog:
        hog.isolation_level = None
        hog.execute("BEGIN IMMEDIATE")
        with pytest.raises(LockedError, match="another process is writing"):
            other.state.set_tag("a", "x", ONE)
        assert other.state.tag("a", "x") is None  # readers are not held up
        hog.execute("ROLLBACK")
        assert other.state.set_tag("a", "x", ONE)


def test_a_full_disk_under_the_database_is_named(store: Store) -> None:
    with store.state._database.write() as write:
        write.rows("PRAGMA max_page_count = 1")  # SQLite raises it to what is in use
    store.state.put_fact("small", "", b"x")
    with pytest.raises(DiskFullError):
        store.state.put_fact("large", "", bytes(1_000_000))
    assert store.state.fact("large", "") is None
    assert store.state.fact("small", "") == b"x"
    assert store.state.damage() == []


def test_the_newest_descriptor_of_a_tag_is_kept(store: Store) -> None:
    store.state.set_tag("a", "x", ONE)
    assert not store.state.set_tag("a", "x", descriptor("one", annotations={"a": "b"}))
    found = store.state.tag("a", "x")
    assert found is not None
    assert found.descriptor.annotations == {"a": "b"}
