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
    """

    where: str
    index: str
    first: str
    first_falls: bool
    id_falls: bool
    states: frozenset[State]


def _waiting(state: State) -> Segment:
    return Segment(
        f"state = '{state}'",
        f"job_list_{state}",
        "priority",
        True,
        False,
        frozenset({state}),
    )


_SEGMENTS: Final[dict[View, tuple[Segment, ...]]] = {
    View.PENDING: (
        _waiting(State.READY),
        _waiting(State.FAILED),
        _waiting(State.SCHEDULED),
        _waiting(State.BLOCKED),
    ),
    View.PROCESSING: (
        Segment(
            "state = 'processing'",
            "job_list_processing",
            "started_ms",
            False,
            False,
            frozenset({State.PROCESSING}),
        ),
    ),
    View.DEAD: (
        Segment(
            "state = 'dead'",
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
            "state IN ('completed', 'cancelled')",
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
        where = f"state = 'dead' AND cause = {int(cause)}"
        return [(0, replace(_SEGMENTS[View.DEAD][0], where=where, index="job_list_cause"))]
    return [
        (number, segment)
        for number, segment in enumerate(_SEGMENTS[view])
        if states is None or not segment.states.isdisjoint(states)
    ]
