"""Removing finished jobs for good, with all that hangs on them: attempts, output, events.

A job that another one still waits for stays: what that waits for must not change by itself.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from queuectl_engine.filter import Field, Filter, Term
from queuectl_engine.job import JobState, State, View
from queuectl_engine.repository.clock_jumps import Clock
from queuectl_engine.repository.protocol import Key, Removed
from queuectl_engine.repository.sqlite import reading
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.rows import ms

_REMOVED_AT_ONCE: Final = 500
_OUTPUT_AT_ONCE: Final = 16 * 1024 * 1024  # bytes, which a transaction has to look through
_LOOKED_AT: Final = 5_000
_SLICES: Final = 10  # of retention in one turn of a supervisor
_RETURNED_AT_ONCE: Final = 1_000  # pages
_LAST_ID: Final = 2**63 - 1
_COMPLETED: Final = Filter("", (Term(Field.STATE, JobState.COMPLETED),))

_CHOOSE: Final = """
    SELECT job.id, job.state,
           (SELECT ifnull(sum(output_bytes - dropped_bytes), 0) FROM attempt
             WHERE attempt.job = job.id),
           EXISTS (SELECT 1 FROM need INDEXED BY need_open
                    WHERE need.parent = job.id AND need.met = 0)
      FROM json_each(:ids) AS wanted CROSS JOIN job ON job.id = wanted.value
     WHERE job.state IN (SELECT value FROM json_each(:states)) AND job.finished_ms <= :before
"""
_REMOVE: Final = "DELETE FROM job WHERE id IN (SELECT value FROM json_each(?))"
_PAGES: Final = "SELECT page_count, page_size FROM pragma_page_count, pragma_page_size"


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
    ids, later = ids[:_REMOVED_AT_ONCE], list(ids[_REMOVED_AT_ONCE:])
    args = {"ids": json.dumps(ids), "states": json.dumps(list(states)), "before": ms(before)}
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
        db.run(_REMOVE, (json.dumps(chosen),))
    return Removed(dict(jobs), output, waited_for, tuple(later))


def shrink(db: Connection) -> int:
    """Give some free pages back to the file system; how many bytes, 0 when none is left."""
    pages, size = db.run(_PAGES)[0]
    db.run(f"PRAGMA incremental_vacuum({_RETURNED_AT_ONCE})")
    db.run("PRAGMA wal_checkpoint(PASSIVE)")  # which makes the file shorter
    return int((pages - db.run(_PAGES)[0][0]) * size)


# -- by itself


def retention(db: Connection) -> timedelta | None:
    """How long completed jobs are kept; None: until a person removes them."""
    keep = db.value("SELECT keep_completed_ms FROM meta")
    return None if keep is None else timedelta(milliseconds=keep)


def set_retention(db: Connection, keep: timedelta | None) -> None:
    """Change it."""
    value = None if keep is None else keep // timedelta(milliseconds=1)
    db.run("UPDATE meta SET keep_completed_ms = ?", (value,))


class Keeper:
    """Retention as a supervisor does it: a little in each turn, nothing after a clock's jump.

    It walks down the finished jobs from the newest that are too old, over and over; where it is
    stays in memory, so that old cancelled jobs are not looked at in each turn.
    """

    def __init__(self) -> None:
        """Begins at the newest, and trusts the clock as it is."""
        self._at: Key | None = None
        self._clock = Clock()

    def turn(self, db: Connection, now: datetime) -> int:
        """Remove a bounded number of completed jobs that are older than is kept; how many."""
        keep = retention(db)
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
        with db.reading():
            found = reading.PAGING.scan(
                db,
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
        with db.writing():
            removed = remove(db, [job for _, job in found.found], before, (State.COMPLETED,))
        if removed.left:
            self._at = None  # too much output for one transaction: it comes round again
        return sum(removed.jobs.values())
