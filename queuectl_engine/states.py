"""The names of the queue: states of jobs, views of them, streams.

Apart from `job.py`, whose many classes take their time to be made: `add` needs these alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


class State(StrEnum):
    """The stored state of a job: always exactly one of these."""

    READY = "ready"
    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    FAILED = "failed"
    PROCESSING = "processing"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"
    DELETED = "deleted"


class JobState(StrEnum):
    """The state as everyone outside sees it: in screens, `--json`, counts and help."""

    PENDING = "pending"
    PROCESSING = "processing"
    FAILED = "failed"
    COMPLETED = "completed"
    DEAD = "dead"
    CANCELLED = "cancelled"


STORED_AS: Final[Mapping[JobState, tuple[State, ...]]] = {
    JobState.PENDING: (State.READY, State.SCHEDULED, State.BLOCKED),
    JobState.PROCESSING: (State.PROCESSING,),
    JobState.FAILED: (State.FAILED,),
    JobState.COMPLETED: (State.COMPLETED,),
    JobState.DEAD: (State.DEAD,),
    JobState.CANCELLED: (State.CANCELLED,),
}
OUTWARD: Final[Mapping[State, JobState]] = {
    stored: outward for outward, states in STORED_AS.items() for stored in states
}


class View(StrEnum):
    """A table of jobs that has an index in its order; `page` reads it a window at a time."""

    PENDING = "pending"  # ready, failed, scheduled, blocked; each by priority, then id
    PROCESSING = "processing"  # longest running first
    DEAD = "dead"  # newest first
    FINISHED = "finished"  # completed and cancelled, newest first
    ALL = "all"  # every job, by id


class After(StrEnum):
    """How another job must end before one that waits for it may run."""

    OK = "ok"  # completed
    ANY = "any"  # completed, dead, cancelled or deleted
    FAIL = "fail"  # dead


FINAL: Final = frozenset({State.COMPLETED, State.DEAD, State.CANCELLED})

# What a parent must have become for a job that waits for it to be freed.
MET_BY: Final[Mapping[After, frozenset[State]]] = {
    After.OK: frozenset({State.COMPLETED}),
    After.ANY: frozenset({State.COMPLETED, State.DEAD, State.CANCELLED, State.DELETED}),
    After.FAIL: frozenset({State.DEAD}),
}


class Stream(StrEnum):
    """Where a piece of output came from; the value is its mark in the store."""

    OUT = "o"
    ERR = "e"
