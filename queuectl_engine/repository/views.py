"""The tables of screens as parts that an index holds in order: the same in every store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from queuectl_engine.job import Job, State, View
from queuectl_engine.repository.protocol import Key
from queuectl_engine.repository.rows import ms

_LAST_ID: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Segment:
    """Part of a view that one index holds in its order: by `first`, then id.

    `index` is its name, which SQLite is told; without one the table's own order is meant.
    `by_queue`: on SQLite it holds each queue in that order, and not all of them together.
    """

    where: str
    index: str
    first: str
    first_falls: bool
    id_falls: bool
    states: frozenset[State]
    by_queue: bool = False


def _waiting(where: str, index: str, state: State, *, by_queue: bool = False) -> Segment:
    return Segment(where, index, "priority", True, False, frozenset({state}), by_queue)


# With what SQLite's indexes are told to look at first: see `sqlite.schema`.
_SEGMENTS: Final[dict[View, tuple[Segment, ...]]] = {
    View.PENDING: (
        _waiting("state = 'ready'", "job_ready", State.READY, by_queue=True),
        _waiting("state = 'failed'", "job_list_failed", State.FAILED),
        _waiting("state = 'scheduled'", "job_list_scheduled", State.SCHEDULED),
        _waiting("state = 'blocked' AND waits IS NOT NULL", "job_list_blocked", State.BLOCKED),
    ),
    View.PROCESSING: (
        Segment(
            "state = 'processing' AND worker IS NOT NULL",
            "job_list_processing",
            "started_ms",
            False,
            False,
            frozenset({State.PROCESSING}),
        ),
    ),
    View.DEAD: (
        Segment(
            "state = 'dead' AND finished_ms IS NOT NULL",
            "job_list_dead",
            "finished_ms",
            True,
            True,
            frozenset({State.DEAD}),
        ),
    ),
    View.ALL: (Segment("state <> 'deleted'", "", "job.id", False, False, frozenset(State)),),
    View.FINISHED: (
        Segment(
            "state IN ('completed', 'cancelled') AND finished_ms IS NOT NULL",
            "job_list_finished",
            "finished_ms",
            True,
            True,
            frozenset({State.COMPLETED, State.CANCELLED}),
        ),
    ),
}


def place(view: View, job: Job) -> Key:
    """Where the job stands in the view, or would stand."""
    if view is View.ALL:
        return (0, job.id, job.id)
    segments = enumerate(_SEGMENTS[view])
    number = next((n for n, segment in segments if job.stored in segment.states), 0)
    if view is View.PENDING:
        return (number, job.priority, job.id)
    when = job.started_at if view is View.PROCESSING else job.finished_at
    return (number, ms(when or job.updated_at), job.id)


def ended_before(before: datetime) -> Key:
    """The place in views of ended jobs from which on all ended at this moment or earlier."""
    return (0, ms(before), _LAST_ID)


def segments(
    view: View, cause: int | None, states: Collection[State] | None
) -> list[tuple[int, Segment]]:
    """The parts of a view that can hold such jobs, with their numbers in its places."""
    if cause is not None:
        where = f"{_SEGMENTS[View.DEAD][0].where} AND cause = {int(cause)}"
        return [(0, replace(_SEGMENTS[View.DEAD][0], where=where, index="job_list_cause"))]
    return [
        (number, segment)
        for number, segment in enumerate(_SEGMENTS[view])
        if states is None or not segment.states.isdisjoint(states)
    ]
