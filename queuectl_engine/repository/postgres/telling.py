"""What is told to those who watch, and how it is read: see `repository.hearing`.

A happening is one small row, written in the transaction in which it happened; all it has to say is
read from the job, the event or the attempt, while they are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from typing import Final

from queuectl_engine.job import Job, State
from queuectl_engine.repository.hearing import (
    FORGOTTEN_AT_ONCE,
    TALLIED,
    TALLIED_AT_ONCE,
    Hearing,
    bucket,
    forget_before,
    last,
)
from queuectl_engine.repository.kinds import STATES, Kind
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.protocol import AttemptId
from queuectl_engine.repository.rows import ms

_ONE: Final = "INSERT INTO happened (kind, ref, number, n) VALUES (%s, %s, %s, %s)"
_RUNS: Final = """
    INSERT INTO happened (kind, ref, n)
    SELECT %s, first, n FROM unnest(%s::bigint[], %s::bigint[]) AS run (first, n)
"""
HEARING: Final = Hearing(
    read="""
        SELECT h.id, h.kind, h.ref, h.number, h.n,
               started_ms, ended_ms, worker, result, exit_code, signal, reason
          FROM happening AS h LEFT JOIN attempt ON attempt.job = h.ref AND attempt.number = h.number
         WHERE h.id > %(since)s {more} ORDER BY h.id LIMIT %(rows)s
    """,
    # Acts name their jobs in their events, which are looked at later.
    of_job=f"""
        AND CASE h.kind WHEN {Kind.ACT} THEN true
                        WHEN {Kind.ADDED} THEN %(job)s BETWEEN h.ref AND h.ref + h.n - 1
                        ELSE h.ref = %(job)s END
    """,
    jobs="""
        SELECT job.id, created_ms, job.id, 'added', context.body::json ->> 'user', NULL
          FROM job JOIN context ON context.id = job.context WHERE job.id BETWEEN %s AND %s
         ORDER BY job.id
    """,
    events="""
        SELECT id, at_ms, job, kind, who, detail FROM event WHERE id BETWEEN %s AND %s ORDER BY id
    """,
    sums=f"""
        SELECT queue, kind, {bucket("ms")}, count(*), sum(ms)::bigint FROM (
          SELECT job.queue,
                 CASE h.kind WHEN {Kind.FIRST} THEN 'first' WHEN {Kind.RETRY} THEN 'retry'
                             WHEN {Kind.LATE} THEN 'late' ELSE attempt.result END AS kind,
                 greatest(0, CASE h.kind
                   WHEN {Kind.ENDED} THEN attempt.ended_ms - attempt.started_ms
                   WHEN {Kind.LATE} THEN 0 ELSE h.n END) AS ms
            FROM happening AS h JOIN job ON job.id = h.ref
            JOIN attempt ON attempt.job = h.ref AND attempt.number = h.number
           WHERE h.id > %(since)s AND h.id <= %(upto)s AND h.kind >= {Kind.FIRST}) AS each
         GROUP BY 1, 2, 3
    """,
    oldest="""
        SELECT counter.queue,
               (SELECT run_at_ms FROM job
                 WHERE job.queue = counter.queue AND job.state = 'ready' ORDER BY run_at_ms LIMIT 1)
          FROM counter WHERE counter.state = 'ready'
    """,
)
_FORGET: Final = """
    DELETE FROM happening WHERE id IN (
      SELECT id FROM happening WHERE id < %s ORDER BY id LIMIT %s)
"""
_ADD_SUM: Final = """
    INSERT INTO tally AS old (queue, kind, bucket, n, ms) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (queue, kind, bucket) DO UPDATE
       SET n = old.n + excluded.n, ms = old.ms + excluded.ms
"""


# -- writing, inside the transaction of what happened


def added(db: Connection, jobs: Sequence[int]) -> None:
    """Jobs with these ids, which rise, were added."""
    _many(db, Kind.ADDED, jobs)


def acted(db: Connection, events: Sequence[int]) -> None:
    """A person did something to jobs; these are the ids of the events about it, which rise."""
    _many(db, Kind.ACT, events)


def _many(db: Connection, kind: Kind, ids: Sequence[int]) -> None:
    """One row for each run of neighbours: numbers of others may have come between."""
    starts = [n for n, i in enumerate(ids) if n == 0 or ids[n - 1] != i - 1]
    lengths = [b - a for a, b in pairwise([*starts, len(ids)])]
    if ids:
        db.run(_RUNS, (int(kind), [ids[start] for start in starts], lengths))


def started(db: Connection, job: Job, now: datetime) -> None:
    """An attempt began; `job` is as its claim left it."""
    kind = Kind.RETRY if job.attempts > 1 else Kind.FIRST
    db.run(_ONE, (int(kind), job.id, job.runs, max(0, ms(now) - ms(job.run_at))))


def ended(db: Connection, attempt: AttemptId, state: State) -> None:
    """It was settled, and its job is in this state now."""
    db.run(_ONE, (int(Kind.ENDED), attempt.job, attempt.number, STATES.index(state)))


def late(db: Connection, attempt: AttemptId) -> None:
    """Its result came too late."""
    db.run(_ONE, (int(Kind.LATE), attempt.job, attempt.number, None))


# -- numbers, sums and what is not kept


def number(db: Connection) -> None:
    """Give what was committed its numbers. Outside of a transaction that already looked."""
    db.run("SELECT number_happenings()")


def waits(db: Connection) -> bool:
    """Whether anything has no number yet."""
    return bool(db.value("SELECT EXISTS (SELECT 1 FROM happened)"))


def tally(db: Connection) -> bool:
    """Bring the sums up to date by a bounded number of happenings; whether there are more."""
    rows = db.run(f"{TALLIED} FOR UPDATE SKIP LOCKED")
    if not rows:  # another pool is at it
        return False
    ((since,),) = rows
    newest = last(db)
    upto = min(newest, since + TALLIED_AT_ONCE)
    if upto > since:
        for row in db.run(HEARING.sums, {"since": since, "upto": upto}):
            db.run(_ADD_SUM, row)
        db.run("UPDATE tallied SET upto = %s", (upto,))
    return bool(upto < newest)


def forget(db: Connection) -> None:
    """Remove a bounded number of happenings beyond those that are kept; never uncounted ones."""
    if bound := forget_before(db):
        db.run(_FORGET, (bound, FORGOTTEN_AT_ONCE))
