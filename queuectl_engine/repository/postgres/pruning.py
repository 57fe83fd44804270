"""Removing finished jobs for good, with all that hangs on them: attempts, output, events.

As on SQLite. What is otherwise: the jobs are locked before it is looked whether another one waits
for them, as one that is being added holds those that it waits for. Space goes back to the server,
whose vacuum lets new rows have it; `shrink` has nothing to do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from queuectl_engine.job import State
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.protocol import Removed
from queuectl_engine.repository.removal import REMOVED_AT_ONCE, choose
from queuectl_engine.repository.rows import ms

_CHOSEN: Final = """
    job.id = ANY (%(ids)s::bigint[]) AND job.state = ANY (%(states)s::text[])
      AND job.finished_ms <= %(before)s
"""
_HOLD: Final = f"SELECT id FROM job WHERE {_CHOSEN} ORDER BY id FOR UPDATE"
_CHOOSE: Final = f"""
    SELECT job.id, job.state,
           (SELECT coalesce(sum(output_bytes - dropped_bytes), 0)::bigint FROM attempt
             WHERE attempt.job = job.id),
           EXISTS (SELECT 1 FROM need WHERE need.parent = job.id AND NOT need.met)
      FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS wanted (id, place)
      JOIN job ON job.id = wanted.id
     WHERE {_CHOSEN} ORDER BY wanted.place
"""
_REMOVE: Final = "DELETE FROM job WHERE id = ANY (%s::bigint[])"


def remove(
    db: Connection,
    ids: Sequence[int],
    before: datetime,
    states: Collection[State],
    *,
    count_only: bool = False,
) -> Removed:
    """Remove those that are still so; see `JobRepository.remove`. In the caller's transaction."""
    ids, later = list(ids[:REMOVED_AT_ONCE]), ids[REMOVED_AT_ONCE:]
    args = {"ids": ids, "states": [state.value for state in states], "before": ms(before)}
    if not count_only:
        db.run(_HOLD, args)
    chosen, removed = choose(db.run(_CHOOSE, args), later)
    if chosen and not count_only:
        db.run(_REMOVE, (chosen,))
    return removed


# -- retention


def retention(db: Connection) -> timedelta | None:
    """How long completed jobs are kept; None: until a person removes them."""
    keep = db.value("SELECT keep_completed_ms FROM meta")
    return None if keep is None else timedelta(milliseconds=keep)


def set_retention(db: Connection, keep: timedelta | None) -> None:
    """Change it."""
    value = None if keep is None else keep // timedelta(milliseconds=1)
    db.run("UPDATE meta SET keep_completed_ms = %s", (value,))
