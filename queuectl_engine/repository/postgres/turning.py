"""A worker's whole turn in one transaction, and the same looks without a worker."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from queuectl_engine.hook import DueHook
from queuectl_engine.job import State
from queuectl_engine.repository.postgres import claiming, hooks, leases, mutexes, needs, turns
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.protocol import Asked, Claim, Ended, Progress, Turn, Verdict


def turn(
    db: Connection,
    worker: int,
    ended: Sequence[Ended],
    room: int,
    queues: Sequence[str],
    now: datetime,
    running: int,
    pass_on: bool,
    doubtful: list[Claim],
) -> tuple[Turn, bool]:
    """Settle, promote, free, claim; and whether others should look for work too.

    `doubtful` are claims of a turn of which nobody could say whether it was committed; this turn's
    are added to it, as long as that is so for them too.
    """
    found = claiming.still_held(db, doubtful)
    # It locks the worker before any job.
    stop, room = leases.room(db, worker, max(0, room - len(found)))
    settled = [turns.settle(db, one, now) for one in ended]
    woken = turns.promote(db, now)
    if telling := turns.anything_to_tell(db):
        woken += needs.release(db, now) + mutexes.loosen(db)
    taken = claiming.claim(db, worker, queues, room, now, running + len(found))
    full = room > 0 and (taken.hold or len(taken.claims) == room)
    more = pass_on and full and claiming.ready_left(db, queues)
    claims = found + taken.claims
    doubtful[:] = claims
    unfinished = taken.unfinished or (telling and turns.anything_to_tell(db))
    next_due = now if unfinished else turns.next_due(db)
    # Where a limit held others back, whoever serves them may go on now.
    woken += bool(ended) and claiming.limited(db) and claiming.ready_left(db, ())
    verdicts = tuple(verdict for verdict, _ in settled)
    ring = bool(woken) or State.READY in (state for _, state in settled)
    return Turn(verdicts, tuple(claims), more, next_due, stop, taken.hold), ring


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


def end_worker(db: Connection, worker: int, doubtful: Sequence[Claim]) -> None:
    """Forget a worker; what it may have claimed without knowing is given back."""
    turns.give_back(db, claiming.still_held(db, doubtful))
    db.run("DELETE FROM worker WHERE id = %s", (worker,))


def take_hooks(db: Connection, pool: int, room: int, doubtful: list[DueHook]) -> list[DueHook]:
    """Take due hooks for a pool; `doubtful` as of `turn`."""
    taken = hooks.still_taken(db, pool, doubtful)
    taken += hooks.take(db, pool, max(0, room - len(taken)))
    doubtful[:] = taken
    return taken
