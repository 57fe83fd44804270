"""What the transactions of a queue are made of: the same without a part, in our own tables.

Where a goal is missed, these rows bound what any saving could bring.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import apsw

from benchmarks.harness import Answer, Bench
from benchmarks.peers import peer
from benchmarks.pools import database
from benchmarks.questions.storing import add_lines, completed, cycles, registered
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.repository.sqlite import SqliteRepository
from queuectl_engine.repository.sqlite.connection import Connection

_PEER: Final = "pulse-queue: get and acknowledge"
_TURN: Final = "settle and claim"
TRIGGERS: Final = "type = 'trigger'"
# The claim names its index in its SQL, the look for what is due as well.
_NEEDED: Final = "'job_ready', 'job_due', 'job_aside', 'job_front', 'job_mutex'"
_INDEXES: Final = f"type = 'index' AND tbl_name = 'job' AND name NOT IN ({_NEEDED})"
_ALL_INDEXES: Final = "type = 'index' AND tbl_name = 'job'"
_LACKING: Final = {
    "… without triggers (counters, causes, dependants)": TRIGGERS,
    "… without the indexes of lists": _INDEXES,
    "… without both": f"{TRIGGERS} OR {_INDEXES}",
}


def ask(bench: Bench) -> list[Answer]:
    """A worker's turn, and adding in bulk."""
    return [_turn(bench), _bulk(bench)]


def _turn(bench: Bench) -> Answer:
    answer = Answer("What settle and claim is made of, no command run", "µs", _TURN)
    turns = bench.size(3_000, 300)
    answer.ask(
        {
            _TURN: partial(_median_turn, bench, turns, ""),
            **{name: partial(_median_turn, bench, turns, what) for name, what in _LACKING.items()},
            "its COMMIT": partial(_commit, bench, turns),
            "its statements alone, rolled back": partial(_statements, bench, turns),
            _PEER: lambda: 1e6 / peer(bench, "turns.py", "pulse-queue", "pulse-queue", 1, turns),
        },
        bench.rounds,
    )
    answer.text = (
        "The statements are those that one turn executes, with the values that it binds, again and "
        "again from a list: what no program around them could save. So this and the COMMIT, which "
        "stores ten pages, are the least that a turn with these features takes."
    )
    return answer


def _bulk(bench: Bench) -> Answer:
    jobs = bench.size(200_000, 20_000)
    base = "localqueue, text"
    answer = Answer("What a bulk add is made of", "jobs/s", base)
    answer.ask(
        {
            base: partial(peer, bench, "localqueue_bulk.py", "localqueue", jobs, "text"),
            "add_lines": partial(add_lines, bench, jobs),
            "… with the claim's index alone": partial(_add_without, bench, jobs, _INDEXES),
            "… without any index": partial(_add_without, bench, jobs, _ALL_INDEXES),
        },
        bench.rounds,
    )
    answer.text = (
        "One index is for the claim and the list of pending jobs, one for how long they have "
        "waited. Without any the rows alone are left."
    )
    return answer


def _drop(path: Path, what: str) -> None:
    """Drop these triggers and indexes."""
    with closing(apsw.Connection(str(path))) as connection:
        found = connection.execute(
            f"SELECT type, name FROM sqlite_schema WHERE sql IS NOT NULL AND ({what})"
        ).fetchall()
        for kind, name in found:
            connection.execute(f"DROP {kind} {name}")


@contextmanager
def ready_jobs(bench: Bench, jobs: int, what: str = "") -> Iterator[tuple[JobRepository, int]]:
    """A worker's repository of so many ready jobs, in tables without `what`."""
    with bench.directory() as directory:
        with database(directory) as engine:
            engine.add_lines([f"echo {n}" for n in range(jobs + 100)])
            path = Path(engine.database.location)
        if what:
            _drop(path, what)
        with registered(path, 1) as found:
            yield found


def _median_turn(bench: Bench, turns: int, what: str) -> float:
    with ready_jobs(bench, turns, what) as (repository, worker):
        return median(cycles(repository, worker, turns)) * 1e6


def _add_without(bench: Bench, jobs: int, what: str) -> float:
    return add_lines(bench, jobs, prepare=lambda path: _drop(path, what))


def _commit(bench: Bench, turns: int) -> float:
    """Microseconds of a turn in its COMMIT."""
    taken: list[float] = []
    with ready_jobs(bench, turns) as (repository, worker):
        db = cast(SqliteRepository, repository)._db
        commit: Callable[[], None] = db._commit

        def timed() -> None:
            began = time.perf_counter()
            commit()
            taken.append(time.perf_counter() - began)

        db._commit = timed  # type: ignore[method-assign]
        cycles(repository, worker, turns)
    return median(taken) * 1e6


def _statements(bench: Bench, turns: int) -> float:
    """Microseconds of a turn's statements but its COMMIT, bound and executed in a row."""
    taken: list[float] = []
    with ready_jobs(bench, turns) as (repository, worker):
        db = cast(SqliteRepository, repository)._db
        statements = recorded(db, repository, worker)
        cursor = db._raw.cursor()
        for _ in range(turns):
            began = time.perf_counter()
            for sql, values in statements:
                cursor.execute(sql, values).fetchall()
            taken.append(time.perf_counter() - began)
            cursor.execute("ROLLBACK")
    return median(taken) * 1e6


def recorded(db: Connection, repository: JobRepository, worker: int) -> list[tuple[str, Any]]:
    """The statements of one turn, which is undone, so that they can be executed again."""
    now = datetime.now(UTC)
    turn = partial(repository.settle_and_claim, worker, room=1, queues=())
    ended = completed(turn(ended=[], now=now), now)
    statements: list[tuple[str, Any]] = []

    def note(_: object, sql: str, values: Any) -> bool:
        statements.append((sql, values))
        return True

    def enough() -> None:
        raise _Enough

    commit = db._commit
    db._raw.exec_trace, db._commit = note, enough  # type: ignore[method-assign]
    try:
        with suppress(_Enough):
            turn(ended=ended, now=now)
    finally:
        db._raw.exec_trace, db._commit = None, commit  # type: ignore[method-assign]
    return statements[: [sql for sql, _ in statements].index("ROLLBACK")]


class _Enough(Exception):
    """Instead of a COMMIT."""
