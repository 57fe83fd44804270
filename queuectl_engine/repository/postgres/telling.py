"""What is told to those who watch: happenings in their order, and sums for monitoring.

A happening is one small row, written in the transaction in which it happened; all it has to say is
read from the job, the event or the attempt, while they are stored. The sums follow a few seconds
later, from the happenings, so that claims and settlements do not pay for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from queuectl_engine.job import Happening, Job, State
from queuectl_engine.metrics import QueueMetrics
from queuectl_engine.repository.kinds import STATES, Kind
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.protocol import AttemptId
from queuectl_engine.repository.rows import Row, moment, moment_or_none, ms
from queuectl_engine.repository.sums import bucket, gap, metrics_of

KEPT: Final = 500_000  # happenings
_FORGOTTEN_AT_ONCE: Final = 20_000
_TALLIED_AT_ONCE: Final = 20_000
_ROWS: Final = 200  # in one read; each stands for one happening or many


_ONE: Final = "INSERT INTO happened (kind, ref, number, n) VALUES (%s, %s, %s, %s)"
_RUNS: Final = """
    INSERT INTO happened (kind, ref, n)
    SELECT %s, first, n FROM unnest(%s::bigint[], %s::bigint[]) AS run (first, n)
"""
_LAST: Final = "SELECT id FROM happening ORDER BY id DESC LIMIT 1"
_FIRST: Final = "SELECT id, kind, n FROM happening ORDER BY id LIMIT 1"
_READ: Final = """
    SELECT h.id, h.kind, h.ref, h.number, h.n,
           started_ms, ended_ms, worker, result, exit_code, signal, reason
      FROM happening AS h LEFT JOIN attempt ON attempt.job = h.ref AND attempt.number = h.number
     WHERE h.id > %(since)s {more} ORDER BY h.id LIMIT %(rows)s
"""
# Acts name their jobs in their events, which are looked at later.
_OF_JOB: Final = f"""
    AND CASE h.kind WHEN {Kind.ACT} THEN true
                    WHEN {Kind.ADDED} THEN %(job)s BETWEEN h.ref AND h.ref + h.n - 1
                    ELSE h.ref = %(job)s END
"""
_JOBS: Final = """
    SELECT job.id, created_ms, job.id, 'added', context.body::json ->> 'user', NULL
      FROM job JOIN context ON context.id = job.context WHERE job.id BETWEEN %s AND %s
     ORDER BY job.id
"""
_EVENTS: Final = """
    SELECT id, at_ms, job, kind, who, detail FROM event WHERE id BETWEEN %s AND %s ORDER BY id
"""
_FORGET: Final = """
    DELETE FROM happening WHERE id IN (
      SELECT id FROM happening WHERE id < %s ORDER BY id LIMIT %s)
"""


# Sums over the happenings of a range: by queue, kind and bucket.
_SUMS: Final = f"""
    SELECT queue, kind, {bucket("ms")}, count(*), sum(ms)::bigint FROM (
      SELECT job.queue,
             CASE h.kind WHEN {Kind.FIRST} THEN 'first' WHEN {Kind.RETRY} THEN 'retry'
                         WHEN {Kind.LATE} THEN 'late' ELSE attempt.result END AS kind,
             greatest(0, CASE h.kind WHEN {Kind.ENDED} THEN attempt.ended_ms - attempt.started_ms
                                WHEN {Kind.LATE} THEN 0 ELSE h.n END) AS ms
        FROM happening AS h JOIN job ON job.id = h.ref
        JOIN attempt ON attempt.job = h.ref AND attempt.number = h.number
       WHERE h.id > %(since)s AND h.id <= %(upto)s AND h.kind >= {Kind.FIRST}) AS each
     GROUP BY 1, 2, 3
"""
_ADD_SUM: Final = """
    INSERT INTO tally AS old (queue, kind, bucket, n, ms) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (queue, kind, bucket) DO UPDATE
       SET n = old.n + excluded.n, ms = old.ms + excluded.ms
"""
_TALLIED: Final = "SELECT upto FROM tallied"
OLDEST: Final = """
    SELECT counter.queue,
           (SELECT run_at_ms FROM job
             WHERE job.queue = counter.queue AND job.state = 'ready' ORDER BY run_at_ms LIMIT 1)
      FROM counter WHERE counter.state = 'ready'
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


# -- reading


def number(db: Connection) -> None:
    """Give what was committed its numbers. Outside of a transaction that already looked."""
    db.run("SELECT number_happenings()")


def waits(db: Connection) -> bool:
    """Whether anything has no number yet."""
    return bool(db.value("SELECT EXISTS (SELECT 1 FROM happened)"))


def last(db: Connection) -> int:
    """The number of the newest happening that has one, 0 before the first."""
    return int(db.value(_LAST) or 0)


def happenings(
    db: Connection, since: int | None, limit: int, job: int | None
) -> tuple[list[Happening], int]:
    """Those after number `since`, and the number up to which all was looked at."""
    kept_from = _first(db)
    if since is None:
        since = kept_from - 1
    elif since < kept_from - 1:
        return [gap(kept_from - 1)], kept_from - 1
    sql = _READ.format(more="" if job is None else _OF_JOB)
    rows = db.run(sql, {"since": since, "rows": min(limit, _ROWS), "job": job})
    found: list[Happening] = []
    for row in rows:
        for happening in _told(db, row, since, limit - len(found)):
            since = happening.id
            if job in (None, happening.job):
                found.append(happening)
        if len(found) >= limit:
            return found, since
        since = row[0]
    return found, since if len(rows) == min(limit, _ROWS) else max(since, last(db))


def _first(db: Connection) -> int:
    """The smallest number that is kept."""
    rows = db.run(_FIRST)
    if not rows:
        return 1
    number, kind, n = rows[0]
    return int(number - n + 1 if kind in (Kind.ADDED, Kind.ACT) else number)


def _told(db: Connection, row: Row, since: int, limit: int) -> Iterator[Happening]:
    """What a row stands for, after number `since`; nothing for jobs that are gone."""
    number, kind, ref, attempt, n, began, over, worker, *ending = row
    if kind in (Kind.ADDED, Kind.ACT):
        before = number - n  # so the thing `ref + k` has the number `before + 1 + k`
        start = ref + max(0, since - before)
        stop = min(ref + n - 1, start + limit - 1)
        for thing, at, job, what, user, detail in db.run(
            _JOBS if kind == Kind.ADDED else _EVENTS, (start, stop)
        ):
            yield Happening(
                before + 1 + thing - ref, moment(at), what, job, user=user, detail=detail
            )
    elif worker is None or kind == Kind.LATE:
        return
    elif kind == Kind.ENDED:
        names = ("result", "exit_code", "signal", "reason")
        told: dict[str, Any] = dict(zip(names, ending, strict=True))
        state = STATES[n].value
        yield Happening(
            number, moment(over), "ended", ref, attempt=attempt, worker=worker, state=state, **told
        )
    else:
        yield Happening(number, moment(began), "started", ref, attempt=attempt, worker=worker)


# -- sums


def metrics(db: Connection) -> list[QueueMetrics]:
    """Every queue by name; reads a few dozen rows a queue, whatever the number of jobs."""
    sums: dict[int, list[Row]] = {}
    since = db.value(_TALLIED)
    rest = db.run(_SUMS, {"since": since, "upto": since + _TALLIED_AT_ONCE})
    for queue, *one in db.run("SELECT queue, kind, bucket, n, ms FROM tally") + rest:
        sums.setdefault(queue, []).append(tuple(one))
    oldest: dict[int, int] = dict(db.run(OLDEST))
    return [
        metrics_of(name, sums.get(queue, []), oldest.get(queue))
        for queue, name in db.run("SELECT id, name FROM queue ORDER BY name")
    ]


def oldest_due(db: Connection) -> datetime | None:
    """Since when the ready job that waits longest is due, over all queues."""
    return moment_or_none(min((due for _, due in db.run(OLDEST)), default=None))


def tally(db: Connection) -> bool:
    """Bring the sums up to date by a bounded number of happenings; whether there are more."""
    rows = db.run(f"{_TALLIED} FOR UPDATE SKIP LOCKED")
    if not rows:  # another pool is at it
        return False
    ((since,),) = rows
    newest = last(db)
    upto = min(newest, since + _TALLIED_AT_ONCE)
    if upto > since:
        for row in db.run(_SUMS, {"since": since, "upto": upto}):
            db.run(_ADD_SUM, row)
        db.run("UPDATE tallied SET upto = %s", (upto,))
    return bool(upto < newest)


def forget(db: Connection) -> None:
    """Remove a bounded number of happenings beyond those that are kept; never uncounted ones."""
    bound = min(last(db) - KEPT, db.value(_TALLIED))
    if bound > 0 and _first(db) < bound:
        db.run(_FORGET, (bound, _FORGOTTEN_AT_ONCE))
