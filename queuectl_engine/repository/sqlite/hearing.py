"""What those hear who watch: happenings in their order, and sums for monitoring.

`telling` writes a small row for each happening. The sums follow a few seconds later, from the
happenings, so that claims and settlements do not pay for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from queuectl_engine.job import Happening
from queuectl_engine.metrics import QueueMetrics
from queuectl_engine.repository.kinds import STATES, Kind
from queuectl_engine.repository.sqlite.connection import Connection, Row
from queuectl_engine.repository.sqlite.rows import moment, moment_or_none
from queuectl_engine.repository.sums import bucket, gap, metrics_of

KEPT: Final = 500_000  # happenings
_FORGOTTEN_AT_ONCE: Final = 20_000
_TALLIED_AT_ONCE: Final = 20_000
_ROWS: Final = 200  # in one read; each stands for one happening or many


_LAST: Final = "SELECT id FROM happening ORDER BY id DESC LIMIT 1"
_FIRST: Final = "SELECT id, kind, n FROM happening ORDER BY id LIMIT 1"
_READ: Final = """
    SELECT h.id, h.kind, h.ref, h.number, h.n,
           started_ms, ended_ms, worker, result, exit_code, signal, reason
      FROM happening AS h LEFT JOIN attempt ON attempt.job = h.ref AND attempt.number = h.number
     WHERE h.id > :since {more} ORDER BY h.id LIMIT :rows
"""
# Acts name their jobs in their events, which are looked at later.
_OF_JOB: Final = f"""
    AND CASE h.kind WHEN {Kind.ACT} THEN 1
                    WHEN {Kind.ADDED} THEN :job BETWEEN h.ref AND h.ref + h.n - 1
                    ELSE h.ref = :job END
"""
_JOBS: Final = """
    SELECT job.id, created_ms, job.id, 'added', json_extract(context.body, '$.user'), NULL
      FROM job JOIN context ON context.id = job.context WHERE job.id BETWEEN ? AND ?
"""
_EVENTS: Final = "SELECT id, at_ms, job, kind, user, detail FROM event WHERE id BETWEEN ? AND ?"
_FORGET: Final = """
    DELETE FROM happening WHERE id IN (
      SELECT id FROM happening WHERE id < ? ORDER BY id LIMIT ?)
"""


# Sums over the happenings of a range: by queue, kind and bucket.
_SUMS: Final = f"""
    SELECT queue, kind, {bucket("ms")}, count(*), sum(ms) FROM (
      SELECT job.queue,
             CASE h.kind WHEN {Kind.FIRST} THEN 'first' WHEN {Kind.RETRY} THEN 'retry'
                         WHEN {Kind.LATE} THEN 'late' ELSE attempt.result END AS kind,
             max(0, CASE h.kind WHEN {Kind.ENDED} THEN attempt.ended_ms - attempt.started_ms
                                WHEN {Kind.LATE} THEN 0 ELSE h.n END) AS ms
        FROM happening AS h JOIN job ON job.id = h.ref
        JOIN attempt ON attempt.job = h.ref AND attempt.number = h.number
       WHERE h.id > :since AND h.id <= :upto AND h.kind >= {Kind.FIRST})
     GROUP BY 1, 2, 3
"""
_ADD_SUM: Final = """
    INSERT INTO tally (queue, kind, bucket, n, ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET n = n + excluded.n, ms = ms + excluded.ms
"""
_TALLIED: Final = "SELECT upto FROM tallied"
_OLDEST: Final = """
    SELECT counter.queue,
           (SELECT run_at_ms FROM job INDEXED BY job_waiting
             WHERE job.queue = counter.queue AND job.state = 'ready' ORDER BY run_at_ms LIMIT 1)
      FROM counter WHERE counter.state = 'ready'
"""


# -- reading


def last(db: Connection) -> int:
    """The number of the newest happening, 0 before the first."""
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
    oldest: dict[int, int] = dict(db.run(_OLDEST))
    return [
        metrics_of(name, sums.get(queue, []), oldest.get(queue))
        for queue, name in db.run("SELECT id, name FROM queue ORDER BY name")
    ]


def oldest_due(db: Connection) -> datetime | None:
    """Since when the ready job that waits longest is due, over all queues."""
    return moment_or_none(min((due for _, due in db.run(_OLDEST)), default=None))


def tally(db: Connection) -> None:
    """Bring the sums up to date. They are made outside the write lock; a few rows are written."""
    newest = last(db)
    while (since := db.value(_TALLIED)) < newest:
        upto = min(newest, since + _TALLIED_AT_ONCE)
        sums = db.run(_SUMS, {"since": since, "upto": upto})
        with db.writing():
            if db.value(_TALLIED) != since:  # another pool was faster
                return
            db.run_many(_ADD_SUM, sums)
            db.run("UPDATE tallied SET upto = ?", (upto,))


def forget(db: Connection) -> None:
    """Remove a bounded number of happenings beyond those that are kept; never uncounted ones."""
    bound = min(last(db) - KEPT, db.value(_TALLIED))
    if bound > 0 and _first(db) < bound:
        with db.writing():
            db.run(_FORGET, (bound, _FORGOTTEN_AT_ONCE))
