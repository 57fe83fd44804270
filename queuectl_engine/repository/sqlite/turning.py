"""A worker's whole turn in one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from queuectl_engine.job import State
from queuectl_engine.repository.protocol import Turn
from queuectl_engine.repository.sqlite import claiming, mutexes, needs, turns
from queuectl_engine.repository.sqlite.claiming import Held
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.turns import Written


def turn(
    db: Connection,
    worker: int,
    ended: Sequence[Written],
    room: int,
    ahead: int,
    queues: Sequence[str],
    now: datetime,
    running: int,
    pass_on: bool,
    claims: list[Held],
) -> tuple[Turn, bool]:
    """Settle, promote, free, claim; and whether others should look for work too.

    `claims` are those of a turn of which nobody could say whether it was committed; afterwards all
    that this one has. Its Turn is without them: they are made after the COMMIT.
    """
    settled = turns.settle(db, ended, now)
    look = turns.look(db, worker, now)
    woken = turns.promote(db, now) if look.due else 0
    if look.to_tell:
        woken += needs.release(db, now) + mutexes.loosen(db)
    found = claiming.still_held(db, claims)
    room = 0 if look.stop else max(0, room - len(found))
    ahead = 0 if found else ahead
    taken = claiming.claim(
        db, worker, queues, room, now, running + len(found), ahead, limited=look.limited
    )
    claims[:] = found + taken.claims
    full = room > 0 and (taken.hold or len(taken.claims) >= room)
    more = pass_on and full and claiming.ready_left(db, queues)
    unfinished = taken.unfinished or (look.to_tell and turns.anything_to_tell(db))
    changed = look.due or look.to_tell
    next_due = now if unfinished else turns.next_due(db) if changed else look.next_due
    # Where a limit held others back, whoever serves them may go on now.
    woken += bool(ended) and look.limited and claiming.ready_left(db, ())
    verdicts = tuple([verdict for verdict, _ in settled])
    ring = bool(woken) or State.READY in [state for _, state in settled]
    return Turn(verdicts, (), more, next_due, look.stop, taken.hold), ring
