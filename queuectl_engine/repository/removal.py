"""What is removed for good, and how much of it at once: the same in every store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Final

from queuectl_engine.filter import Field, Filter, Term
from queuectl_engine.job import JobState, State, View
from queuectl_engine.repository.clock_jumps import Clock
from queuectl_engine.repository.protocol import JobRepository, Key, Removed
from queuectl_engine.repository.rows import Row

REMOVED_AT_ONCE: Final = 500
_OUTPUT_AT_ONCE: Final = 16 * 1024 * 1024  # bytes, which a transaction has to look through
_LOOKED_AT: Final = 5_000
_SLICES: Final = 10  # of retention in one turn of a supervisor
_COMPLETED: Final = Filter("", (Term(Field.STATE, JobState.COMPLETED),))


def choose(rows: Iterable[Row], later: Iterable[int]) -> tuple[list[int], Removed]:
    """The ids of those to remove, and what that comes to; `later` are left for another time.

    A row is an id, a state, bytes of output, and whether another job waits for it: that one stays,
    as what the other waits for must not change by itself.
    """
    chosen, left = [], []
    jobs: Counter[State] = Counter()
    output = waited_for = 0
    for job, state, size, waited in rows:
        if output > _OUTPUT_AT_ONCE:
            left.append(job)
        elif waited:
            waited_for += 1
        else:
            chosen.append(job)
            jobs[State(state)] += 1
            output += size
    return chosen, Removed(dict(jobs), output, waited_for, (*left, *later))


class Keeper:
    """Retention as a supervisor does it: a little in each turn, nothing after a clock's jump.

    It walks down the finished jobs from the newest that are too old, over and over; where it is
    stays in memory, so that old cancelled jobs are not looked at in each turn.
    """

    def __init__(self) -> None:
        """Begins at the newest, and trusts the clock as it is."""
        self._at: Key | None = None
        self._clock = Clock()

    def turn(self, repository: JobRepository, now: datetime) -> int:
        """Remove a bounded number of completed jobs that are older than is kept; how many."""
        keep = repository.retention()
        if keep is None or self._clock.jumped():
            return 0
        total = 0
        for _ in range(_SLICES):
            removed = self._slice(repository, now - keep)
            total += removed
            if not removed:
                break
        return total

    def _slice(self, repository: JobRepository, before: datetime) -> int:
        found = repository.scan(
            View.FINISHED,
            _COMPLETED,
            limit=REMOVED_AT_ONCE,
            budget=_LOOKED_AT,
            at=self._at or repository.ended_before(before),
        )
        self._at = found.rest
        ids = [job for _, job in found.found]
        if not ids:
            return 0
        removed = repository.remove(ids, before=before, states=(State.COMPLETED,))
        if removed.left:
            self._at = None  # too much output for one transaction: it comes round again
        return sum(removed.jobs.values())
