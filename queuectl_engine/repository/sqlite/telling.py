"""What happens is told to those who watch, by one small row in the transaction in which it happens.

All it has to say is read from the job, the event or the attempt, while they are stored: see
`hearing`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from queuectl_engine.repository.kinds import STATES, Kind
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.states import State

if TYPE_CHECKING:
    from queuectl_engine.repository.protocol import AttemptId

_ONE: Final = "INSERT INTO happening (kind, ref, number, n) VALUES (?, ?, ?, ?)"
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


def started(db: Connection, attempts: Sequence[tuple[int, int, int, int]], at_ms: int) -> None:
    """Attempts began: each one's job, its number, how many are charged, since when it was due."""
    db.run_many(
        _ONE,
        [
            (Kind.RETRY if charged > 1 else Kind.FIRST, job, number, max(0, at_ms - due_ms))
            for job, number, charged, due_ms in attempts
        ],
    )


def ended(db: Connection, attempts: Sequence[AttemptId], states: Sequence[State]) -> None:
    """They were settled, and their jobs are in these states now."""
    told = zip(attempts, states, strict=True)
    db.run_many(
        _ONE, [(Kind.ENDED, job, number, STATES.index(state)) for (job, number, _), state in told]
    )


def late(db: Connection, attempt: AttemptId) -> None:
    """Its result came too late."""
    db.run(_ONE, (Kind.LATE, attempt.job, attempt.number, None))
