"""What happens is told to those who watch, by one small row in the transaction in which it happens.

All it has to say is read from the job, the event or the attempt, while they are stored: see
`hearing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from queuectl_engine.repository.kinds import STATES, Kind
from queuectl_engine.repository.sqlite.connection import Connection

if TYPE_CHECKING:
    from queuectl_engine.repository.protocol import AttemptId

_ONE: Final = "INSERT INTO happening (kind, ref, number, n) VALUES (?, ?, ?, ?)"
_STARTED: Final = f"""
    INSERT INTO happening (kind, ref, number, n)
    SELECT iif(job.attempts > 1, {Kind.RETRY:d}, {Kind.FIRST:d}), job.id, job.runs,
           max(0, job.started_ms - job.run_at_ms)
      FROM carray(?1) AS started CROSS JOIN job ON job.id = started.value
"""
_NUMBER: Final = " ".join(f"WHEN '{state}' THEN {number}" for number, state in enumerate(STATES))
_ENDED: Final = f"""
    INSERT INTO happening (kind, ref, number, n)
    SELECT {Kind.ENDED:d}, job.id, job.runs,
           CASE job.state {_NUMBER} END
      FROM carray(?1) AS ended CROSS JOIN job ON job.id = ended.value
"""
_MANY: Final = """
    INSERT INTO happening (id, kind, ref, n)
    SELECT coalesce((SELECT id FROM happening ORDER BY id DESC LIMIT 1), 0) + :n, :kind, :ref, :n
"""


def added(db: Connection, first: int, count: int) -> None:
    """Jobs were added: `count` of them with ids from `first` on."""
    if count:
        db.run(_MANY, {"kind": Kind.ADDED, "ref": first, "n": count})


def acted(db: Connection, count: int) -> None:
    """A person did something to jobs; the `count` events about it were just inserted."""
    if count:
        first = db.value("SELECT last_insert_rowid()") - count + 1
        db.run(_MANY, {"kind": Kind.ACT, "ref": first, "n": count})


def started(db: Connection, jobs: Sequence[int]) -> None:
    """Attempts of these jobs have just begun: how many are charged, and since when each was due."""
    db.run_for(_STARTED, jobs)


def ended(db: Connection, jobs: Sequence[int]) -> None:
    """The attempts of these jobs were just settled."""
    db.run_for(_ENDED, jobs)


def late(db: Connection, attempt: AttemptId) -> None:
    """Its result came too late."""
    db.run(_ONE, (Kind.LATE, attempt.job, attempt.number, None))
