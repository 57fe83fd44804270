"""Jobs that may have killed their worker: each runs alone in one until it ends in another way.

Where a worker that ran several jobs dies, nobody knows which of them was why. Alone in a worker
they tell, and take no other with them.
"""

from __future__ import annotations

from typing import Final

from queuectl_engine.job import State
from queuectl_engine.lifecycle import Ending, ForcedStop, NotStarted, WorkerDied
from queuectl_engine.repository.postgres.connection import Connection

# Whether the job of the statement around it is one.
SUSPECT: Final = "EXISTS (SELECT 1 FROM suspect WHERE suspect.job = job.id)"
# The first worker of a pool makes room for them, or in busy workers there would never be any.
_MAKES_ROOM: Final = "SELECT 1 FROM worker WHERE id = %s AND number = 1"
_SAYS_NOTHING: Final = (ForcedStop, NotStarted, WorkerDied)  # about the job


def settled(db: Connection, job: int, state: State, ending: Ending, *, was: bool) -> None:
    """An attempt has ended: the death of its worker makes its job one, another end clears it."""
    if isinstance(ending, WorkerDied) and ending.supervised and state is State.READY:
        db.run("INSERT INTO suspect VALUES (%s) ON CONFLICT DO NOTHING", (job,))
    elif was and not (state is State.READY and isinstance(ending, _SAYS_NOTHING)):
        db.run("DELETE FROM suspect WHERE job = %s", (job,))


def makes_room(db: Connection, worker: int) -> bool:
    """Whether a worker that runs something lets it end when a suspect comes next."""
    return bool(db.run(_MAKES_ROOM, (worker,)))
