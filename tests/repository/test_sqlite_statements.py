"""How much is asked of SQLite: statements and rows, which no slow machine makes more of.

A number that grows is a cost that everybody pays with each job; raise it only with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import apsw
import pytest

from queuectl_engine.job import View
from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository import open_repository
from tests.repository.driver import Driver, output_of
from tests.samples import NOON, new

Counted = tuple[Driver, apsw.Connection]
# Opcodes that make a temporary table: each costs more than all else that a small statement does.
BOUND = r"\?\d*|:\w+"
TEMPORARY = {"OpenEphemeral", "OpenAutoindex"}


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    """A database with some ready jobs, and the connection below it."""
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    try:
        repo = open_repository(str(tmp_path / "queue.db"), create=True)
    finally:
        apsw.connection_hooks.remove(connections.append)
    with closing(repo):
        repo.add_lines(new("echo 0"), [f"echo {n}" for n in range(50)], now=NOON)
        yield Driver(repo), connections[-1]


@contextmanager
def statements(db: apsw.Connection) -> Iterator[list[str]]:
    """The statements that run meanwhile, those of triggers not among them."""
    seen: list[str] = []

    def note(event: dict[str, object]) -> None:
        seen.append(" ".join(str(event["sql"]).split()))

    db.trace_v2(apsw.SQLITE_TRACE_PROFILE, note, id=seen)
    try:
        yield seen
    finally:
        db.trace_v2(0, None, id=seen)


def settle_and_claim(drive: Driver) -> None:
    """A worker's turn in the middle of its work."""
    claim = drive.claim()
    drive.turn(drive.ended(claim, Exited(0)), room=1)


WORK: dict[str, tuple[int, Callable[[Driver], object]]] = {
    # BEGIN, our file, what there is to know, the best job, take, read, attempt, happening, more,
    # COMMIT
    "a claim": (10, lambda drive: drive.claim()),
    # and before it a look whether it is ours, settle, read, attempt, happening
    "a claim, then its end with another claim": (10 + 15, settle_and_claim),
    "an add": (8, lambda drive: drive.repo.add([new()], now=NOON)),
    "counts": (5, lambda drive: drive.repo.counts()),
    "a page": (3, lambda drive: drive.repo.page(View.PENDING, limit=20)),
    "nothing to do": (2, lambda drive: drive.repo.promote(now=NOON)),
    "did anything change": (2, lambda drive: drive.repo.changed()),
}


@pytest.mark.parametrize("name", WORK)
def test_no_more_statements_than_before(counted: Counted, name: str) -> None:
    drive, db = counted
    most, work = WORK[name]
    work(drive)  # what the first of its kind does besides

    with statements(db) as seen:
        work(drive)

    assert 0 < len(seen) <= most, "\n".join(seen)


@pytest.mark.parametrize("count", [40, 400])
def test_a_bulk_add_has_as_many_statements_for_any_number(counted: Counted, count: int) -> None:
    drive, db = counted
    with statements(db) as seen:
        drive.repo.add_lines(new("echo 0"), [f"echo {n}" for n in range(count - 1)], now=NOON)
    assert len(seen) <= 13, "\n".join(seen)

    with statements(db) as seen:
        drive.repo.add([new(f"echo {n}") for n in range(count)], now=NOON)
    assert len(seen) <= 13, "\n".join(seen)


def test_jobs_that_end_together_share_a_turn(counted: Counted) -> None:
    """Eight ends cost what belongs to each, and the rest of the turn once."""
    drive, db = counted
    claims = drive.turn(room=8).claims
    with statements(db) as seen:
        drive.turn(*(drive.ended(claim, Exited(0)) for claim in claims))
    # BEGIN, our file, whose they are, what they are now, happenings, what there is to know, COMMIT;
    # and of each its row and its attempt
    assert len(seen) <= 7 + 8 * 2, "\n".join(seen)
    assert seen.count("COMMIT") == 1


def test_jobs_that_are_claimed_ahead_share_a_turn(counted: Counted) -> None:
    """Eight of them cost what belongs to each, and the rest of the turn once."""
    drive, db = counted
    claims = drive.turn(room=8).claims
    with statements(db) as seen:
        turn = drive.turn(*(drive.ended(claim, Exited(0)) for claim in claims), room=1, ahead=7)

    assert [claim.ahead for claim in turn.claims] == [False] + [True] * 7
    # What ends cost together, our share, the best job, those in line with it, their rows, attempts,
    # happenings, more; then of each end two, and of each claim one
    assert len(seen) <= 7 + 7 + 8 * 2 + 8, "\n".join(seen)
    assert seen.count("COMMIT") == 1


def test_a_turn_prepares_nothing_anew(counted: Counted) -> None:
    """SQLite would, for values that a plan might heed, unless it is to keep its plans."""
    drive, db = counted
    asked: list[object] = []

    def note(*about: object) -> int:
        asked.append(about)
        return apsw.SQLITE_OK

    db.authorizer = note  # it is asked when a statement is prepared
    claims = drive.turn(room=8).claims
    for _ in range(2):
        ended = [drive.ended(claim, Exited(0)) for claim in claims]
        asked.clear()
        claims = drive.turn(*ended, room=1, ahead=7).claims

    assert asked == []


def test_a_turn_makes_no_temporary_table(counted: Counted) -> None:
    """Each costs more than a small statement: RETURNING, UNION, ORDER BY of a join, long INs."""
    drive, db = counted
    drive.repo.add_lines(new("true", queue="other"), ["true"] * 4, now=NOON)
    claim = drive.claim()
    with statements(db) as seen:
        drive.turn(drive.ended(claim, Exited(0), output_of("hello\n")), room=1)

    assert len(seen) >= 15
    for sql in seen:
        plan = db.execute(f"EXPLAIN {re.sub(BOUND, '1', sql)}").fetchall()
        ends = next((n for n, row in enumerate(plan) if n and row[0] == 0), len(plan))
        own = plan[:ends]  # then come its triggers, which it need not come to
        assert TEMPORARY.isdisjoint(row[1] for row in own), sql


def test_no_state_needs_a_temporary_table_to_be_checked(counted: Counted) -> None:
    """An IN of more than two makes one for each row, in a CHECK and in the WHEN of a trigger."""
    _, db = counted
    rows = db.execute("SELECT sql FROM sqlite_schema WHERE tbl_name = 'job'").fetchall()
    for (sql,) in rows:
        when = str(sql).partition("BEGIN")[0]  # what a trigger does only when it must may be slow
        assert not re.search(r"IN \([^)]*,[^)]*,", when), sql


def test_a_refresh_of_a_screen_reads_the_rows_that_it_shows(counted: Counted) -> None:
    """In steps of SQLite's machine: twenty rows cost no more at fifty jobs than at a thousand."""
    drive, db = counted

    def steps() -> int:
        found: list[int] = []

        def note(event: dict[str, dict[str, int]]) -> None:
            found.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])

        db.trace_v2(apsw.SQLITE_TRACE_PROFILE, note, id=found)
        drive.repo.counts()
        drive.repo.queues()
        drive.repo.page(View.PENDING, limit=20)
        db.trace_v2(0, None, id=found)
        return sum(found)

    few = steps()
    drive.repo.add_lines(new("echo 0"), [f"echo {n}" for n in range(1000)], now=NOON)

    assert 0 < steps() <= few
