"""What is decided one at a time: advisory locks that end with the transaction.

SQLite lets one transaction write, so whatever a verb reads stays true until its commit. Here a verb
first locks what its decision rests on: rows where there are rows, and these where the decision is
about the absence of one. Workers of queues without limits, and jobs without mutexes, take none.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.schema import LOCK

_QUEUE: Final = LOCK + 2
_DRAINED: Final = LOCK + 3
_JOBS: Final = """
    SELECT id FROM job WHERE id = ANY (%s::bigint[]) ORDER BY id FOR NO KEY UPDATE
"""


def lock_jobs(db: Connection, ids: Collection[int]) -> None:
    """Let nobody else change these jobs before our commit; later statements see them as they are.

    A statement that waits for a row sees its new columns, but other tables as before the wait.
    """
    db.run(_JOBS, (list(ids),))


def lock_mutexes(db: Connection, mutexes: Collection[str]) -> None:
    """Decide who of these comes first, all in one order, so that no two wait for each other."""
    if mutexes:
        sql = """SELECT pg_advisory_xact_lock(%s, bucket) FROM (
                   SELECT DISTINCT hashtext(name) & 255 AS bucket
                     FROM unnest(%s::text[]) AS name ORDER BY 1) AS each"""
        db.run(sql, (LOCK + 1, sorted(mutexes)))


def try_mutex(db: Connection, mutex: str) -> bool:
    """The same for one, unless another transaction decides about it now."""
    return bool(db.value("SELECT try_mutex(%s)", (mutex,)))


def lock_all_queues(db: Connection) -> None:
    """Count what runs in all queues; others who want to wait."""
    db.run("SELECT pg_advisory_xact_lock(%s, 0)", (_QUEUE,))


def try_queue(db: Connection, queue: int) -> bool:
    """Count what runs in one queue, unless another transaction does so now."""
    sql = "SELECT pg_try_advisory_xact_lock(%s, %s)"
    return bool(db.value(sql, (_QUEUE, _small(queue))))


def lock_drained(db: Connection, queue: int) -> None:
    """Decide whether a queue is drained: the last of two that end at once sees the other's end."""
    db.run("SELECT pg_advisory_xact_lock(%s, %s)", (_DRAINED, _small(queue)))


def _small(queue: int) -> int:
    return queue % (2**31 - 1) + 1  # these locks have two numbers of 32 bits
