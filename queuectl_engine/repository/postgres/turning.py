"""A worker's whole turn in one transaction, and the same looks without a worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from queuectl_engine.job import State
from queuectl_engine.repository.postgres import claiming, mutexes, needs, turns
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.protocol import Asked, Ended, Progress, Turn, Verdict


def turn(
    db: Connection,
    worker: int,
    ended: Sequence[Ended],
    room: int,
    queues: Sequence[str],
    now: datetime,
) -> tuple[Turn, bool]:
    """Settle, promote, free, claim; and whether others should look for work too."""
    settled = [turns.settle(db, one, now) for one in ended]
    woken = turns.promote(db, now)
    if telling := turns.anything_to_tell(db):
        woken += needs.release(db, now) + mutexes.loosen(db)
    stop = turns.stop_asked(db, worker)
    room = 0 if stop else room
    claims, unfinished = claiming.claim(db, worker, queues, room, now)
    more = room > 0 and len(claims) == room and claiming.ready_left(db, queues)
    unfinished = unfinished or (telling and turns.anything_to_tell(db))
    next_due = now if unfinished else turns.next_due(db)
    # Where a limit held others back, whoever serves them may go on now.
    woken += bool(ended) and claiming.limited(db) and claiming.ready_left(db, ())
    verdicts = tuple(verdict for verdict, _ in settled)
    ring = bool(woken) or State.READY in (state for _, state in settled)
    return Turn(verdicts, tuple(claims), more, next_due, stop), ring


def lose(db: Connection, ended: Sequence[Ended], now: datetime) -> tuple[Verdict, ...]:
    """Settle the attempts of a dead worker."""
    return tuple(turns.settle(db, one, now)[0] for one in ended)


def promote(db: Connection, now: datetime) -> None:
    """Make due jobs ready and free those whose wait is over."""
    needs.release(db, now)
    mutexes.loosen(db)
    turns.promote(db, now)


def anything_to_promote(db: Connection, now: datetime) -> bool:
    """Whether `promote` would find anything."""
    return turns.anything_due(db, now) or turns.anything_to_tell(db)


def progress(db: Connection, worker: int, items: Sequence[Progress]) -> Asked:
    """Write what running attempts say, and hear what is asked of them."""
    for item in items:
        turns.progress(db, item)
    return turns.asked(db, worker, [item.attempt.job for item in items])
