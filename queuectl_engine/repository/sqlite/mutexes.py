"""Jobs that exclude each other: of all with the same mutex, at most one runs.

A claim that comes upon a job whose mutex is held sets it aside, so that no later claim looks at it
again. When the mutex is let go (the trigger `job_loosened`), the best of each queue is ready again:
one of each, because the best of all may be in a queue that is paused or that nobody serves.
"""

from __future__ import annotations

from typing import Final

from queuectl_engine.repository.sqlite.connection import Connection

_ASIDE_AT_ONCE: Final = 100
_LOOSENED_AT_ONCE: Final = 10

_HELD: Final = "SELECT 1 FROM job INDEXED BY job_mutex WHERE mutex = ? AND state = 'processing'"
_FRONT: Final = """
    SELECT 1 FROM job INDEXED BY job_front
     WHERE mutex = ? AND queue = ? AND priority >= ? AND state = 'ready' LIMIT 1
"""
# Not a move that anybody made: `updated_ms` stays.
_SET_ASIDE: Final = f"""
    UPDATE job SET state = 'blocked', waits = 'mutex' WHERE id IN (
      SELECT id FROM job INDEXED BY job_front
       WHERE mutex = ? AND queue = ? AND state = 'ready'
       ORDER BY priority DESC LIMIT {_ASIDE_AT_ONCE})
"""
_LET_GO: Final = """
    UPDATE job SET state = 'ready', waits = NULL WHERE id IN (
      SELECT (SELECT id FROM job AS first INDEXED BY job_aside
               WHERE first.mutex = ? AND first.queue = counter.queue
                 AND first.state = 'blocked' AND first.waits = 'mutex'
               ORDER BY first.priority DESC, first.id LIMIT 1)
        FROM counter WHERE counter.state = 'blocked')
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
    for (mutex,) in db.run("SELECT mutex FROM loosened LIMIT ?", (_LOOSENED_AT_ONCE,)):
        if not held(db, mutex):
            db.run(_LET_GO, (mutex,))
            ready += db.changes()
        db.run("DELETE FROM loosened WHERE mutex = ?", (mutex,))
    return ready
