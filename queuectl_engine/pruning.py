"""Removing old jobs: slice by slice, each its own transaction, until none is old enough."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.errors import BadInput
from queuectl_engine.filter import Filter
from queuectl_engine.job import OUTWARD, STORED_AS, JobState, State, View
from queuectl_engine.keeping import Pruned
from queuectl_engine.lifecycle import FINAL
from queuectl_engine.repository.protocol import JobRepository, Key

_SLICE: Final = 5_000  # jobs that one look goes through
_AT_ONCE: Final = 500
_VIEWS: Final = {View.FINISHED: {State.COMPLETED, State.CANCELLED}, View.DEAD: {State.DEAD}}


def prune(
    repository: JobRepository,
    before: datetime,
    states: Collection[JobState],
    wanted: Filter,
    *,
    count_only: bool,
) -> Pruned:
    """Remove jobs of these states that ended before a moment and match. Raises BadInput."""
    stored = stored_states(states)
    jobs: Counter[JobState] = Counter()
    output = waited_for = returned = 0
    for view, possible in _VIEWS.items():
        if not (meant := stored & possible):
            continue
        for ids in _slices(repository, view, before, wanted):
            left: Sequence[int] = ids
            while left:
                done = repository.remove(left, before=before, states=meant, count_only=count_only)
                left, output = done.left, output + done.output
                waited_for += done.waited_for
                jobs.update({OUTWARD[state]: n for state, n in done.jobs.items()})
    if jobs and not count_only:
        while part := repository.shrink():
            returned += part
    return Pruned(dict(jobs), output, returned, waited_for)


def stored_states(states: Collection[JobState]) -> set[State]:
    """What is stored for these outward states. Raises BadInput for one that is no end."""
    stored = {state for outward in states for state in STORED_AS[JobState(outward)]}
    if not stored <= FINAL:
        ends = ", ".join(sorted({OUTWARD[state] for state in FINAL}))
        raise BadInput(f"only jobs that have ended can be pruned: {ends}")
    return stored


def _slices(
    repository: JobRepository, view: View, before: datetime, wanted: Filter
) -> Iterator[list[int]]:
    at: Key | None = repository.ended_before(before)
    while at is not None:
        found = repository.scan(view, wanted, limit=_AT_ONCE, budget=_SLICE, at=at)
        if found.found:
            yield [job for _, job in found.found]
        at = found.rest
