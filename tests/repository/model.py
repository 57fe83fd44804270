"""The queue as a few lines of plain Python: what a repository must agree with after any history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from queuectl_engine.job import State
from queuectl_engine.lifecycle import (
    CANCELLABLE,
    DELETABLE,
    MOVES,
    REQUEUEABLE,
    UNDO,
    Ending,
    ForcedStop,
    NotStarted,
    WorkerDied,
    result_of,
)
from queuectl_engine.plan import Was


def moment(ms: int) -> datetime:
    """Milliseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


@dataclass
class ModelJob:
    """What is known of one job."""

    id: int
    queue: str
    priority: int
    max_retries: int
    state: State
    run_at: datetime
    key: str | None = None
    attempts: int = 0
    runs: int = 0
    deaths: int = 0
    cancel_asked: bool = False
    suspect: bool = False  # its worker died: it runs alone next
    updated: datetime | None = None
    results: list[str | None] = field(default_factory=list)
    events: list[str] = field(default_factory=lambda: ["added"])

    def move(self, state: State) -> None:
        """Change the state by a move of the table."""
        assert state in MOVES[self.state], f"{self.state} to {state}"
        self.state = state


class Model:
    """All jobs that were ever added."""

    def __init__(self) -> None:
        self.jobs: dict[int, ModelJob] = {}
        self.paused: set[str] = set()
        self.limits: dict[str | None, int | None] = {}  # None: of all queues together
        self.turns: dict[str, int] = {}

    def in_states(self, states: Collection[State]) -> list[int]:
        """The ids of the jobs in any of these states."""
        return [job.id for job in self.jobs.values() if job.state in states]

    def existing(self) -> list[int]:
        """The ids of the jobs that people see."""
        return self.in_states(set(State) - {State.DELETED})

    def promote(self, now: datetime) -> None:
        """Make ready what is due."""
        for job in self.jobs.values():
            if job.state in (State.SCHEDULED, State.FAILED) and job.run_at <= now:
                job.move(State.READY)
                job.updated = now

    def claim(self, queues: Sequence[str], room: int, now: datetime) -> list[int]:
        """The ids that a turn gives out."""
        chosen: list[int] = []
        while len(chosen) < room and (ready := self._open(queues)):
            job = self._next(ready)
            if job.suspect and chosen:
                break
            self._take_turns(job, ready)
            job.move(State.PROCESSING)
            job.attempts += 1
            job.runs += 1
            job.updated = now
            job.results.append(None)
            chosen.append(job.id)
            if job.suspect:
                break
        return chosen

    def _open(self, queues: Sequence[str]) -> list[ModelJob]:
        """What could be next: ready, of queues that are served, not paused and below the limit."""
        return [
            job
            for job in self.jobs.values()
            if job.state is State.READY
            and job.queue not in self.paused
            and (not queues or job.queue in queues)
            and self._below(job.queue)
            and self._below(None)
        ]

    def _below(self, queue: str | None) -> bool:
        limit = self.limits.get(queue)
        running = [self.jobs[number].queue for number in self.in_states({State.PROCESSING})]
        return limit is None or sum(queue in (None, each) for each in running) < limit

    def _next(self, ready: Sequence[ModelJob]) -> ModelJob:
        """The best job; queues that have one of that priority take turns."""
        return min(ready, key=lambda job: (-job.priority, self.turns.get(job.queue, 0), job.id))

    def _take_turns(self, best: ModelJob, ready: Sequence[ModelJob]) -> None:
        if len({job.queue for job in ready if job.priority == best.priority}) > 1:
            # Behind all that have ready jobs, whether this worker serves them or not.
            left = [
                job for job in self.jobs.values() if job.state is State.READY and job is not best
            ]
            self.turns[best.queue] = 1 + max(self.turns.get(job.queue, 0) for job in left)

    def settle(self, number: int, ending: Ending, state: State, now: datetime) -> None:
        """End the attempt that runs, in the state that was decided without knowing of a cancel."""
        job = self.jobs[number]
        result = result_of(ending)
        job.results[-1] = result
        if job.cancel_asked and state is not State.COMPLETED:
            state = State.CANCELLED
        job.move(state)
        job.cancel_asked = False
        job.updated = now
        job.attempts -= result in ("given back", "not started")
        job.suspect = state is State.READY and (
            (isinstance(ending, WorkerDied) and ending.supervised)
            or (job.suspect and isinstance(ending, (ForcedStop, NotStarted, WorkerDied)))
        )

    def cancel(self, number: int, now: datetime) -> bool | None:
        """Whether the job still runs; None when it cannot be cancelled."""
        job = self.jobs[number]
        if job.state not in CANCELLABLE:
            return None
        self._note(job, "cancelled", now)
        if job.state is State.PROCESSING:
            job.cancel_asked = True
            return True
        job.move(State.CANCELLED)
        return False

    def requeue(self, number: int, state: State, run_at: datetime, now: datetime) -> bool:
        """Whether it could be."""
        job = self.jobs[number]
        if job.state not in REQUEUEABLE:
            return False
        job.move(state)
        job.attempts = job.deaths = 0
        job.run_at = run_at
        self._note(job, "requeued", now)
        return True

    def delete(self, number: int, now: datetime) -> bool:
        """Whether it could be."""
        job = self.jobs[number]
        if job.state not in DELETABLE:
            return False
        job.move(State.DELETED)
        self._note(job, "deleted", now)
        return True

    def edit(self, number: int, queue: str, priority: int, now: datetime) -> bool:
        """Whether it could be."""
        job = self.jobs[number]
        if job.state not in (State.READY, State.SCHEDULED, State.FAILED, State.DEAD):
            return False
        job.queue, job.priority = queue, priority
        if job.state in (State.READY, State.SCHEDULED):
            job.state = State.SCHEDULED if job.run_at > now else State.READY
        self._note(job, "edited", now)
        return True

    def undo(self, was: Was, now: datetime) -> bool:
        """Whether an act could be taken back."""
        job = self.jobs[was.id]
        moved_on = (job.state, job.updated) != (was.now, moment(was.mark))
        if moved_on or was.was not in UNDO.get(was.now, ()) or self.holder(job.key, but=job):
            return False
        job.state, job.attempts, job.deaths = was.was, was.attempts, was.deaths
        job.run_at = moment(was.run_at_ms)
        self._note(job, "undone", now)
        return True

    def purge(self, before: datetime) -> None:
        """What was deleted so long ago is gone: nothing brings it back."""
        for job in self.jobs.values():
            if job.state is State.DELETED and job.updated is not None and job.updated <= before:
                job.updated = None

    def holder(self, key: str | None, but: ModelJob | None = None) -> ModelJob | None:
        """The job that has this key."""
        holders = [job for job in self.jobs.values() if job.key == key and job is not but]
        holders = [job for job in holders if job.state is not State.DELETED]
        return holders[0] if holders and key is not None else None

    def _note(self, job: ModelJob, event: str, now: datetime) -> None:
        job.events.append(event)
        job.updated = now
