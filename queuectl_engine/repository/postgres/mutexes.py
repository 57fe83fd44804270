"""Jobs that exclude each other: of all with the same mutex, at most one runs.

As on SQLite (see `sqlite/mutexes.py`), and whoever decides about a mutex holds its lock until the
commit: who sets a job aside because the mutex is held, who lets it go (the trigger `job_loosened`),
who adds behind another. A claim never waits for it: it passes such jobs over and looks again soon.
"""

from __future__ import annotations

from typing import Final

from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.locks import try_mutex

_ASIDE_AT_ONCE: Final = 100
_LOOSENED_AT_ONCE: Final = 10

_HELD: Final = "SELECT 1 FROM job WHERE mutex = %s AND state = 'processing'"
_FRONT: Final = """
    SELECT 1 FROM job
     WHERE mutex = %s AND queue = %s AND priority >= %s AND state = 'ready' LIMIT 1
"""
# Not a move that anybody made: `updated_ms` stays.
_SET_ASIDE: Final = f"""
    UPDATE job SET state = 'blocked', waits = 'mutex' WHERE id IN (
      SELECT id FROM job
       WHERE mutex = %s AND queue = %s AND state = 'ready'
       ORDER BY priority DESC, id LIMIT {_ASIDE_AT_ONCE} FOR NO KEY UPDATE SKIP LOCKED)
"""
# The best of each queue: from one queue of the index to the next, however many wait in each.
_LET_GO: Final = """
    WITH RECURSIVE waiting (queue) AS (
      SELECT min(queue) FROM job WHERE mutex = %(mutex)s AND state = 'blocked' AND waits = 'mutex'
      UNION ALL
      SELECT (SELECT min(job.queue) FROM job
               WHERE mutex = %(mutex)s AND state = 'blocked' AND waits = 'mutex'
                 AND job.queue > waiting.queue)
        FROM waiting WHERE waiting.queue IS NOT NULL)
    UPDATE job SET state = 'ready', waits = NULL WHERE id IN (
      SELECT best.id FROM waiting CROSS JOIN LATERAL (
        SELECT id FROM job
         WHERE job.mutex = %(mutex)s AND job.queue = waiting.queue
           AND job.state = 'blocked' AND job.waits = 'mutex'
         ORDER BY priority DESC, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) AS best)
"""
_ASIDE: Final = """
    SELECT 1 FROM job WHERE mutex = %s AND state = 'blocked' AND waits = 'mutex' LIMIT 1
"""
_LOOSENED: Final = f"""
    SELECT mutex FROM loosened LIMIT {_LOOSENED_AT_ONCE} FOR UPDATE SKIP LOCKED
"""


def held(db: Connection, mutex: str) -> bool:
    """Whether a job with this mutex runs."""
    return bool(db.run(_HELD, (mutex,)))


def is_behind(db: Connection, mutex: str, queue: int, priority: int) -> bool:
    """Whether a new job would have to wait for another one with its mutex in its queue."""
    return held(db, mutex) or bool(db.run(_FRONT, (mutex, queue, priority)))


def set_aside(db: Connection, mutex: str, queue: int) -> None:
    """Take ready jobs with a held mutex out of the way of claims, the best ones first."""
    db.run(_SET_ASIDE, (mutex, queue))


def loosen(db: Connection) -> int:
    """Make the next jobs of mutexes that were let go ready; how many."""
    ready = 0
    for (mutex,) in db.run(_LOOSENED):
        if not try_mutex(db, mutex):
            continue  # somebody decides about it now; it stays to be told
        freed = 0
        if not held(db, mutex):
            db.run(_LET_GO, {"mutex": mutex})
            freed = db.changes()
            if not freed and db.run(_ASIDE, (mutex,)):
                continue  # all of them are being changed by others
        ready += freed
        db.run("DELETE FROM loosened WHERE mutex = %s", (mutex,))
    return ready
