"""What the tables themselves hold to: only moves of the table, only rows that make sense."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Unpack

import apsw
import pytest

from queuectl_engine.errors import NoSuchJob, WrongState
from queuectl_engine.job import Job, State
from queuectl_engine.lifecycle import (
    MOVES,
    CancelObeyed,
    Ending,
    Exited,
    ForcedStop,
    NotStarted,
    Signalled,
    TimedOut,
    WorkerDied,
)
from queuectl_engine.new_job import Policy
from queuectl_engine.repository import open_repository
from tests.repository.driver import Driver
from tests.samples import HOUR, MINUTE, new

ENDINGS: list[Ending] = [
    Exited(0),
    Exited(1),
    Signalled(9),
    TimedOut(timedelta(seconds=1)),
    CancelObeyed(),
    ForcedStop(),
    NotStarted("EAGAIN"),
    WorkerDied(supervised=True),
]


@pytest.fixture
def below(tmp_path: Path) -> Iterator[tuple[Driver, apsw.Connection]]:
    """A database in hand, and the connection below it."""
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    try:
        repo = open_repository(str(tmp_path / "queue.db"), create=True)
    finally:
        apsw.connection_hooks.remove(connections.append)
    with closing(repo):
        yield Driver(repo), connections[-1]


def test_the_sql_makes_every_move_of_the_table_and_no_other(
    below: tuple[Driver, apsw.Connection],
) -> None:
    drive, db = below
    db.execute("CREATE TEMP TABLE move (before TEXT, after TEXT)").fetchall()
    db.execute(
        """CREATE TEMP TRIGGER moved AFTER UPDATE ON main.job WHEN old.state <> new.state BEGIN
             INSERT INTO move VALUES (old.state, new.state);
           END"""
    ).fetchall()

    for state in State:
        play_every_act(drive, state)
    for ending in ENDINGS:
        play_every_budget(drive, ending)
    play_waiting(drive)

    rows = db.execute("SELECT DISTINCT before, after FROM move").fetchall()
    seen = {(State(str(before)), State(str(after))) for before, after in rows}
    assert seen == {(before, after) for before in MOVES for after in MOVES[before]}


def play_every_act(drive: Driver, state: State) -> None:
    for act in ("requeue", "requeue later", "cancel", "delete", "wait"):
        job = drive.job_in(state)
        with suppress(WrongState, NoSuchJob):
            match act:
                case "requeue":
                    drive.requeue(job)
                case "requeue later":
                    drive.requeue(job, run_at=drive.now + HOUR)
                case "cancel":
                    drive.cancel(job)
                case "delete":
                    drive.delete(job)
        drive.later(2 * HOUR)
        drive.repo.maintain(now=drive.now)
        finish_all(drive)


def play_every_budget(drive: Driver, ending: Ending) -> None:
    for retries in (0, 1):
        for asked in (False, True):
            job = drive.add(max_retries=retries)
            claim = drive.claim()
            if asked:
                drive.cancel(job)
            drive.end(claim, ending)
            drive.end(claim, Exited(0))  # too late
            drive.later(MINUTE)
            finish_all(drive)


def play_waiting(drive: Driver) -> None:
    """Jobs that wait for another one or for a mutex, and edits of when and after what they run."""
    parent = drive.add()
    now, later = drive.add(after_ok=[parent.id]), drive.add(after_ok=[parent.id])
    edit(drive, later, moved=True, run_at=drive.now + HOUR)
    drive.run(Exited(0))
    finish_all(drive)
    assert drive.get(now).stored is State.COMPLETED
    assert drive.get(later).stored is State.SCHEDULED

    other = drive.add(run_at=drive.now + HOUR)
    for state in (State.READY, State.SCHEDULED):
        edit(drive, drive.job_in(state), after_ok=[other.id])
    edit(drive, drive.job_in(State.READY), moved=True, run_at=drive.now + HOUR)
    cancelled = drive.add(after_ok=[other.id])
    drive.cancel(cancelled)
    drive.requeue(cancelled)

    drive.add(mutex="m", queue="a")
    aside = drive.add(mutex="m", queue="b")
    drive.turn(room=2)
    assert drive.get(aside).stored is State.BLOCKED


def edit(drive: Driver, job: Job, *, moved: bool = False, **policy: Unpack[Policy]) -> None:
    drive.repo.edit(job.id, new(**policy), user="ada", now=drive.now, moved=moved)


def finish_all(drive: Driver) -> None:
    """Complete what is ready, so that the next job is the next to be claimed."""
    turn = drive.turn(room=99)
    drive.turn(*(drive.ended(claim, Exited(0)) for claim in turn.claims))


@pytest.mark.parametrize(
    "change",
    [
        "state = 'running'",
        "state = 'processing'",  # without token and worker
        "token = 'x'",  # and not processing
        "state = 'completed'",  # without an end
        "finished_ms = 1",  # and not ended
        "cancel_ms = 1",  # and not processing
        "parked = 'why'",
        "state = 'deleted'",  # without when
        "attempts = -1",
        "attempts = 5",  # more than ever ran
        "max_retries = -1",
        "timeout_ms = 0",
        "allow_background = 2",
        "priority = 'high'",
        "priority = 1.5",
        "waits = 'jobs'",  # and not blocked
        "state = 'blocked'",  # without what it waits for
        "state = 'blocked', waits = 'mutex'",  # and has none
        "run_at_ms = NULL",
        "command = NULL",
        "queue = 99",
        "context = 99",
        "labels = '[]'",
        "retry_on = ''",
    ],
)
def test_the_tables_refuse_a_job_that_makes_no_sense(
    below: tuple[Driver, apsw.Connection], change: str
) -> None:
    drive, db = below
    job = drive.add()

    with pytest.raises(apsw.ConstraintError):
        db.execute(f"UPDATE job SET {change}").fetchall()

    assert drive.get(job) == job
