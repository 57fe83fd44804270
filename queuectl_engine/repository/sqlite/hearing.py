"""What `telling` wrote, as `repository.hearing` reads it here, and what becomes of it in time."""

from __future__ import annotations

from typing import Final

from queuectl_engine.repository.hearing import (
    FORGOTTEN_AT_ONCE,
    TALLIED,
    TALLIED_AT_ONCE,
    Hearing,
    bucket,
    forget_before,
    last,
)
from queuectl_engine.repository.kinds import Kind
from queuectl_engine.repository.sqlite.connection import Connection

HEARING: Final = Hearing(
    read="""
        SELECT h.id, h.kind, h.ref, h.number, h.n,
               started_ms, ended_ms, worker, result, exit_code, signal, reason
          FROM happening AS h LEFT JOIN attempt ON attempt.job = h.ref AND attempt.number = h.number
         WHERE h.id > :since {more} ORDER BY h.id LIMIT :rows
    """,
    # Acts name their jobs in their events, which are looked at later.
    of_job=f"""
        AND CASE h.kind WHEN {Kind.ACT} THEN 1
                        WHEN {Kind.ADDED} THEN :job BETWEEN h.ref AND h.ref + h.n - 1
                        ELSE h.ref = :job END
    """,
    jobs="""
        SELECT job.id, created_ms, job.id, 'added', json_extract(context.body, '$.user'), NULL
          FROM job JOIN context ON context.id = job.context WHERE job.id BETWEEN ? AND ?
    """,
    events="SELECT id, at_ms, job, kind, user, detail FROM event WHERE id BETWEEN ? AND ?",
    sums=f"""
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
    """,
    oldest="""
        SELECT counter.queue,
               (SELECT run_at_ms FROM job INDEXED BY job_waiting
                 WHERE job.queue = counter.queue AND job.state = 'ready' ORDER BY run_at_ms LIMIT 1)
          FROM counter WHERE counter.state = 'ready'
    """,
)
_FORGET: Final = """
    DELETE FROM happening WHERE id IN (
      SELECT id FROM happening WHERE id < ? ORDER BY id LIMIT ?)
"""
_ADD_SUM: Final = """
    INSERT INTO tally (queue, kind, bucket, n, ms) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET n = n + excluded.n, ms = ms + excluded.ms
"""


def tally(db: Connection) -> None:
    """Bring the sums up to date. They are made outside the write lock; a few rows are written."""
    newest = last(db)
    while (since := db.value(TALLIED)) < newest:
        upto = min(newest, since + TALLIED_AT_ONCE)
        sums = db.run(HEARING.sums, {"since": since, "upto": upto})
        with db.writing():
            if db.value(TALLIED) != since:  # another pool was faster
                return
            db.run_many(_ADD_SUM, sums)
            db.run("UPDATE tallied SET upto = ?", (upto,))


def forget(db: Connection) -> None:
    """Remove a bounded number of happenings beyond those that are kept; never uncounted ones."""
    if bound := forget_before(db):
        with db.writing():
            db.run(_FORGET, (bound, FORGOTTEN_AT_ONCE))
