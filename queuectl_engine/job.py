"""The words of the queue as frozen values: jobs, attempts, events, queues, pools and workers.

Standard library only. Moments are aware UTC datetimes, durations are timedeltas or seconds as said.
All words can be had from here; those that `add` needs are in `states` and `intake`, as making all
of these classes takes as long as starting Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from queuectl_engine.intake import (
    DEFAULT_QUEUE,
    DEFAULT_RETRIES,
    DEFAULT_SHELL,
    Added,
    Context,
    NewJob,
)
from queuectl_engine.states import (
    OUTWARD,
    STORED_AS,
    After,
    JobState,
    State,
    Stream,
    View,
)

__all__ = [
    "DEFAULT_QUEUE",
    "DEFAULT_RETRIES",
    "DEFAULT_SHELL",
    "OUTWARD",
    "STORED_AS",
    "Added",
    "After",
    "Attempt",
    "Cause",
    "Chunk",
    "Context",
    "Counts",
    "Event",
    "Happening",
    "Job",
    "JobState",
    "LabelInfo",
    "Need",
    "NewJob",
    "Piece",
    "PoolInfo",
    "QueueInfo",
    "Ran",
    "State",
    "Stream",
    "View",
    "WorkerInfo",
]


@dataclass(frozen=True, slots=True)
class Need:
    """One job that another waits for. `state` is what it is now, None when it was deleted.

    `met` once it has ended as it should: that stays so, whatever becomes of it later.
    """

    job: int
    after: After
    state: JobState | None
    met: bool = False

    @property
    def stuck(self) -> bool:
        """Whether it ended otherwise, so that only a person can let it end so after all."""
        return not self.met and self.state in _STUCK[self.after]

    @property
    def why_stuck(self) -> str:
        """What became of it instead, as the end of a phrase; empty while it can still end so."""
        if not self.stuck:
            return ""
        return f": it is {self.state}" if self.state else ": it was deleted"


# In these states a parent will not end as asked, unless a person acts. None: it was deleted.
_STUCK: Final[Mapping[After, tuple[JobState | None, ...]]] = {
    After.OK: (JobState.DEAD, JobState.CANCELLED, None),
    After.ANY: (),
    After.FAIL: (JobState.COMPLETED, JobState.CANCELLED, None),
}


class Job(NamedTuple):
    """A stored job as it was when read.

    `attempts` are those charged since add or the last requeue; `runs` all that ever began.
    `run_at` is when it is or was due: the start asked for, or the next retry. `reason` says what
    ended the last attempt, None before the first end and after a success. `parked` says why a job
    stays in processing although its worker died. Only the exit codes of `retry_on` are retried, or
    all when it is empty, and never those of `no_retry_on`. `waits_for` are jobs that must end
    before a blocked one may run, the first few of them. Of all jobs with the same `mutex` one runs
    at a time; `mutex_holder` is another one that runs now.
    """

    id: int
    key: str | None
    command: str
    argv: tuple[str, ...] | None
    stored: State
    queue: str
    priority: int
    attempts: int
    runs: int
    deaths: int
    max_retries: int
    timeout: timedelta | None
    allow_background: bool
    log_file: str | None
    run_at: datetime
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    reason: str | None
    worker: str | None
    cancel_asked: bool
    parked: str | None
    context_id: int
    cause_id: int | None
    labels: tuple[str, ...] = ()
    retry_on: tuple[int, ...] = ()
    no_retry_on: tuple[int, ...] = ()
    schedule_id: int | None = None
    on_dead: str | None = None
    on_completed: str | None = None
    mutex: str | None = None
    mutex_holder: int | None = None
    waits_for: tuple[Need, ...] = ()

    @property
    def state(self) -> JobState:
        """The outward state. A deleted job is never handed out, so it has none."""
        return OUTWARD[self.stored]

    @property
    def waiting(self) -> str | None:
        """What a blocked job waits for, in a few words: `after-ok 41`, `mutex db is held by 7`.

        What ended otherwise than it must comes first: `after-ok 41: it is dead`.
        """
        if self.stored is not State.BLOCKED:
            return None
        if not self.waits_for:
            holder = f"held by {self.mutex_holder}" if self.mutex_holder else "free again"
            return f"mutex {self.mutex} is {holder}"
        first = min(self.waits_for, key=lambda need: not need.stuck)
        more = ", .." if len(self.waits_for) > 1 else ""
        return f"after-{first.after} {first.job}{first.why_stuck}{more}"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job, kept for ever. `ended_at` and `result` are None while it runs.

    `result` is completed, failed, timed out, cancelled, lost, given back or not started. `late` is
    what an attempt reported after it had lost its job: evidence, without effect.
    `cpu` is user and system time, `peak_memory` the most bytes that one of its processes had in
    memory: of the command and of all it waited for. None where it is not known, as for a worker
    that died; of memory also below what a worker itself has, which the kernel does not tell apart.
    """

    job: int
    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    result: str | None
    exit_code: int | None
    signal: int | None
    reason: str | None
    late: str | None
    output_bytes: int
    dropped_bytes: int
    cpu: timedelta | None = None
    peak_memory: int | None = None

    @property
    def ran(self) -> timedelta | None:
        """How long it ran; None while it runs."""
        return self.ended_at - self.started_at if self.ended_at else None


@dataclass(frozen=True, slots=True)
class Ran:
    """The last run of a job that is completed or dead."""

    queue: str
    started_at: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """What a person did to a job: added, edited, requeued, cancelled, deleted; or a failed hook."""

    job: int
    at: datetime
    kind: str
    user: str
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to a job, as `Engine.journal` tells it, numbered in its order.

    `kind` is what a person did (added, edited, requeued, cancelled, deleted, undone), or started
    and ended of an attempt, with the job's state after it. A gap, without a job, says that what
    happened up to this number is not kept any more.
    """

    id: int
    at: datetime
    kind: str
    job: int | None
    user: str | None = None
    detail: str | None = None
    attempt: int | None = None
    worker: str | None = None
    result: str | None = None
    exit_code: int | None = None
    signal: int | None = None
    reason: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes that one stream wrote in a row, in order of arrival."""

    stream: Stream
    data: bytes


@dataclass(frozen=True, slots=True)
class Chunk:
    """What arrived up to `at`: the pieces since the chunk before.

    `seq` grows within an attempt; a hole in the numbers is where bytes were dropped.
    """

    seq: int
    at: datetime
    pieces: tuple[Piece, ...]

    @property
    def size(self) -> int:
        """Bytes in all pieces."""
        return sum(len(piece.data) for piece in self.pieces)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why jobs are dead: those that died of the same, counted.

    `line` is the masked last line of what they printed. `first_at` and `last_at` are of those that
    are dead now; `example` is the newest of them.
    """

    id: int
    program: str
    ended: str
    line: str
    dead: int
    first_at: datetime
    last_at: datetime
    example: int


@dataclass(frozen=True, slots=True)
class QueueInfo:
    """A queue, whether it is paused, and how many jobs it has in each stored state.

    Of its jobs at most `max_running` run at a time, any number when it is None.
    """

    name: str
    paused: bool
    counts: Mapping[State, int]
    max_running: int | None = None


@dataclass(frozen=True, slots=True)
class LabelInfo:
    """A label, and how many jobs that have it are in each stored state."""

    name: str
    counts: Mapping[State, int]


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact numbers of jobs by stored state, over all queues, and of causes with dead jobs.

    `max_running` is how many jobs of all queues together may run at a time, None for any number.
    """

    stored: Mapping[State, int] = field(default_factory=dict)
    causes: int = 0
    max_running: int | None = None

    def of(self, *states: State | JobState) -> int:
        """The jobs in any of these states; an outward one stands for all it covers."""
        stored = [s for state in states for s in _stored(state)]
        return sum(self.stored.get(state, 0) for state in stored)

    def outward(self) -> dict[JobState, int]:
        """Outward state to number, zeros included."""
        return {state: self.of(state) for state in JobState}


def _stored(state: State | JobState) -> tuple[State, ...]:
    return STORED_AS[state] if isinstance(state, JobState) else (state,)


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """One worker process. `job` is the job it runs, None when idle; of several the oldest run.

    `jobs` are all that it runs.
    """

    id: int
    name: str
    pid: int
    started_at: datetime
    alive: bool
    job: int | None = None
    job_since: datetime | None = None
    jobs: tuple[int, ...] = ()

    @property
    def running(self) -> int:
        """How many jobs it runs."""
        return max(len(self.jobs), int(self.job is not None))


@dataclass(frozen=True, slots=True)
class PoolInfo:
    """One pool: a supervisor and its workers.

    `alive` is the kernel's word (its lock is held); None when it runs on another machine or where
    it cannot be asked. `stopping` is None, "graceful" or "now". `trouble` is a visible worry, such
    as workers that keep dying. `most_workers` is for how many slots it has values, None for any
    number. `slots` is how many jobs each worker runs at once.
    """

    id: int
    name: str
    host: str
    pid: int
    detached: bool
    wanted: int
    stopping: str | None
    queues: tuple[str, ...]
    started_at: datetime
    alive: bool | None
    trouble: str | None
    log: str
    workers: tuple[WorkerInfo, ...] = ()
    most_workers: int | None = None
    slots: int = 1

    @property
    def running(self) -> int:
        """Workers that are alive."""
        return sum(worker.alive for worker in self.workers)
