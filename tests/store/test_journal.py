"""The journal cannot be changed without showing."""

from __future__ import annotations

import itertools
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sallyport.errors import DamagedError, StorageError
from sallyport.oci import Digest
from sallyport.store import Store
from sallyport.store.journal import GENESIS, seal, verify_chain

LINES = [
    ("mirrored", "debian/web:12", {"bytes": "123"}),
    ("judged", "debian/web:12", {"verdict": "refused"}),
    ("released", "debian/web:12-20260711.1", {}),
    ("promoted", "debian/web:stable", {"from": "a", "to": "b"}),
]


@pytest.fixture
def written(store: Store) -> Store:
    for verb, subject, detail in LINES:
        store.state.append(verb, subject, detail)
    return store


@contextmanager
def intruder(store: Store) -> Iterator[sqlite3.Connection]:
    """Somebody with an editor for the file, who also knows how to switch our guard off."""
    with closing(sqlite3.connect(store.root / "state.db")) as connection:
        connection.execute("DROP TRIGGER events_refuse_update")
        connection.execute("DROP TRIGGER events_refuse_delete")
        yield connection
        connection.commit()


def test_lines_come_back_in_order(written: Store) -> None:
    events = list(written.state.events())

    assert [(event.verb, event.subject, event.detail) for event in events] == LINES
    assert [event.sequence for event in events] == [1, 2, 3, 4]
    assert events[0].previous == GENESIS
    assert all(later.previous == earlier.digest for earlier, later in itertools.pairwise(events))
    assert list(written.state.events(after=3)) == events[3:]
    assert written.state.verify_journal() == 4


def test_an_empty_journal_is_whole(store: Store) -> None:
    assert store.state.verify_journal() == 0


def test_another_program_can_recompute_a_line(written: Store) -> None:
    """The rule, written out: sha256 over sorted, dense JSON of six fields."""
    event = list(written.state.events())[1]
    line = {
        "sequence": 2,
        "at": "2026-07-11T12:00:00Z",
        "verb": "judged",
        "subject": "debian/web:12",
        "detail": {"verdict": "refused"},
        "previous": str(event.previous),
    }
    assert event.digest == Digest.of(json.dumps(line, sort_keys=True, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    "change",
    [
        'UPDATE events SET detail = CAST(\'{"verdict":"passed"}\' AS BLOB) WHERE sequence = 2',
        "UPDATE events SET subject = 'debian/web:13' WHERE sequence = 2",
        "UPDATE events SET verb = 'scanned' WHERE sequence = 2",
        "UPDATE events SET at = '2026-07-11T11:00:00Z' WHERE sequence = 2",
        "UPDATE events SET detail = CAST('nonsense' AS BLOB) WHERE sequence = 2",
        "UPDATE events SET detail = CAST('[]' AS BLOB) WHERE sequence = 2",
        "UPDATE events SET digest = 'nonsense' WHERE sequence = 2",
        "UPDATE events SET previous = digest WHERE sequence = 2",
        "DELETE FROM events WHERE sequence = 2",
    ],
)
def test_a_changed_line_is_named(written: Store, change: str) -> None:
    with intruder(written) as connection:
        connection.execute(change)
    with pytest.raises(DamagedError, match="line 2 of the journal"):
        written.state.verify_journal()


def test_a_cut_end_shows(written: Store) -> None:
    with intruder(written) as connection:
        connection.execute("DELETE FROM events WHERE sequence = 4")
    with pytest.raises(DamagedError, match="line 4 of the journal is missing"):
        written.state.verify_journal()


def test_a_line_that_was_changed_and_sealed_again_breaks_the_next(written: Store) -> None:
    event = list(written.state.events())[1]
    forged = seal(
        sequence=2,
        at=event.at,
        verb="judged",
        subject=event.subject,
        detail={"verdict": "passed"},
        previous=event.previous,
    )
    with intruder(written) as connection:
        connection.execute(
            "UPDATE events SET detail = ?, digest = ? WHERE sequence = 2", (b'{"verdict":"passed"}', str(forged.digest))
        )
    with pytest.raises(DamagedError, match="line 3 of the journal does not continue"):
        written.state.verify_journal()


def test_a_last_line_that_was_changed_and_sealed_again_differs_from_the_head(written: Store) -> None:
    event = list(written.state.events())[-1]
    forged = seal(
        sequence=4, at=event.at, verb=event.verb, subject="other", detail=event.detail, previous=event.previous
    )
    with intruder(written) as connection:
        connection.execute("UPDATE events SET subject = 'other', digest = ? WHERE sequence = 4", (str(forged.digest),))
    with pytest.raises(DamagedError, match="line 4 of the journal was changed"):
        written.state.verify_journal()


@pytest.mark.parametrize("change", ["UPDATE events SET verb = 'x'", "DELETE FROM events"])
def test_the_database_itself_refuses_to_rewrite_history(written: Store, change: str) -> None:
    with (
        closing(sqlite3.connect(written.root / "state.db")) as connection,
        pytest.raises(sqlite3.IntegrityError, match="append-only"),
    ):
        connection.execute(change)


def test_a_database_that_cannot_be_written_says_so(written: Store) -> None:
    with intruder(written) as connection:
        connection.execute("DROP TABLE journal_head")
    with pytest.raises(StorageError):
        written.state.append("mirrored", "x", {})
    assert len(list(written.state.events())) == 4  # nothing or everything


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(
        st.tuples(st.text(max_size=8), st.text(max_size=8), st.dictionaries(st.text(max_size=4), st.text(max_size=4))),
        min_size=1,
        max_size=8,
    ),
    pick=st.integers(min_value=0),
)
def test_leaving_out_or_doubling_any_line_is_refused(lines: list[tuple[str, str, dict[str, str]]], pick: int) -> None:
    at = datetime(2026, 7, 11, tzinfo=UTC)
    chain = []
    previous = GENESIS
    for number, (verb, subject, detail) in enumerate(lines, start=1):
        event = seal(sequence=number, at=at, verb=verb, subject=subject, detail=detail, previous=previous)
        chain.append(event)
        previous = event.digest
    head = (len(chain), str(previous))

    assert verify_chain(chain, head=head) == len(chain)
    at_pick = pick % len(chain)
    for broken in ([*chain[:at_pick], *chain[at_pick + 1 :]], [*chain[: at_pick + 1], *chain[at_pick:]]):
        with pytest.raises(DamagedError):
            verify_chain(broken, head=head)


def test_the_journal_is_in_the_folder_of_the_store(store: Store, tmp_path: Path) -> None:
    assert (tmp_path / "store" / "state.db").is_file()
