"""Removing finished jobs for good, with all that hangs on them: attempts, output, events.

As on SQLite. What is otherwise: the jobs are locked before it is looked whether another one waits
for them, as one that is being added holds those that it waits for. Space goes back to the server,
whose vacuum lets new rows have it; `shrink` has nothing to do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from queuectl_engine.filter import Field, Filter, Term
from queuectl_engine.job import JobState, State, View
from queuectl_engine.repository.clock_jumps import Clock
from queuectl_engine.repository.postgres import reading
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.protocol import Key, Removed
from queuectl_engine.repository.rows import ms

_REMOVED_AT_ONCE: Final = 500
_OUTPUT_AT_ONCE: Final = 16 * 1024 * 1024  # bytes
_LOOKED_AT: Final = 5_000
_SLICES: Final = 10  # of retention in one turn of a supervisor
_LAST_ID: Final = 2**63 - 1
_COMPLETED: Final = Filter("", (Term(Field.STATE, JobState.COMPLETED),))

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


def ended_before(before: datetime) -> Key:
    """The place in the views of ended jobs from which on all ended before this moment."""
    return (0, ms(before), _LAST_ID)


def remove(
    db: Connection,
    ids: Sequence[int],
    before: datetime,
    states: Collection[State],
    *,
    count_only: bool = False,
) -> Removed:
    """Remove those that are still so; see `JobRepository.remove`. In the caller's transaction."""
    ids, later = list(ids[:_REMOVED_AT_ONCE]), list(ids[_REMOVED_AT_ONCE:])
    args = {"ids": ids, "states": [state.value for state in states], "before": ms(before)}
    if not count_only:
        db.run(_HOLD, args)
    jobs: Counter[State] = Counter()
    chosen: list[int] = []
    output = waited_for = 0
    rows = db.run(_CHOOSE, args)
    for number, (job, state, size, waited) in enumerate(rows):
        if output > _OUTPUT_AT_ONCE:
            later = [row[0] for row in rows[number:]] + later
            break
        if waited:
            waited_for += 1
            continue
        chosen.append(job)
        jobs[State(state)] += 1
        output += size
    if chosen and not count_only:
        db.run(_REMOVE, (chosen,))
    return Removed(dict(jobs), output, waited_for, tuple(later))


# -- by itself


def retention(db: Connection) -> timedelta | None:
    """How long completed jobs are kept; None: until a person removes them."""
    keep = db.value("SELECT keep_completed_ms FROM meta")
    return None if keep is None else timedelta(milliseconds=keep)


def set_retention(db: Connection, keep: timedelta | None) -> None:
    """Change it."""
    value = None if keep is None else keep // timedelta(milliseconds=1)
    db.run("UPDATE meta SET keep_completed_ms = %s", (value,))


class Keeper:
    """Retention as a supervisor does it; see `sqlite/pruning.py`."""

    def __init__(self) -> None:
        """Begins at the newest, and trusts the clock as it is."""
        self._at: Key | None = None
        self._clock = Clock()

    def turn(self, db: Connection, now: datetime) -> int:
        """Remove a bounded number of completed jobs that are older than is kept; how many."""
        keep = db.look(retention)
        if keep is None or self._clock.jumped():
            return 0
        total = 0
        for _ in range(_SLICES):
            removed = self._slice(db, now - keep)
            total += removed
            if not removed:
                break
        return total

    def _slice(self, db: Connection, before: datetime) -> int:
        found = db.read(
            reading.PAGING.scan,
            View.FINISHED,
            _COMPLETED,
            limit=_REMOVED_AT_ONCE,
            at=self._at or ended_before(before),
            backwards=False,
            budget=_LOOKED_AT,
        )
        self._at = found.rest
        if not found.found:
            return 0
        removed = db.write(remove, [job for _, job in found.found], before, (State.COMPLETED,))
        if removed.left:
            self._at = None  # too much output for one transaction: it comes round again
        return sum(removed.jobs.values())
