"""The queue as a few lines of plain Python: what a repository must agree with after any history."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from queuectl_engine.job import State
from queuectl_engine.lifecycle import CANCELLABLE, DELETABLE, MOVES, REQUEUEABLE


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
    results: list[str | None] = field(default_factory=list)

    def move(self, state: State) -> None:
        """Change the state by a move of the table."""
        assert state in MOVES[self.state], f"{self.state} to {state}"
        self.state = state


class Model:
    """All jobs that were ever added."""

    def __init__(self) -> None:
        self.jobs: dict[int, ModelJob] = {}
        self.paused: set[str] = set()
        self.turns: dict[str, int] = {}

    def in_states(self, states: Collection[State]) -> list[int]:
        """The ids of the jobs in any of these states."""
        return [job.id for job in self.jobs.values() if job.state in states]

    def promote(self, now: datetime) -> None:
        """Make ready what is due."""
        for job in self.jobs.values():
            if job.state in (State.SCHEDULED, State.FAILED) and job.run_at <= now:
                job.move(State.READY)

    def claim(self, queues: Sequence[str], room: int) -> list[int]:
        """The ids that a turn gives out."""
        ready = [
            job
            for job in self.jobs.values()
            if job.state is State.READY
            and job.queue not in self.paused
            and (not queues or job.queue in queues)
        ]
        chosen: list[int] = []
        while ready and len(chosen) < room:
            job = self._next(ready)
            ready.remove(job)
            job.move(State.PROCESSING)
            job.attempts += 1
            job.runs += 1
            job.results.append(None)
            chosen.append(job.id)
        return chosen

    def _next(self, ready: Sequence[ModelJob]) -> ModelJob:
        """The best job; queues that have one of that priority take turns."""
        high = max(job.priority for job in ready)
        heads = [job for job in ready if job.priority == high]
        best = min(heads, key=lambda job: (self.turns.get(job.queue, 0), job.id))
        if len({job.queue for job in heads}) > 1:
            # Behind all that have ready jobs, whether this worker serves them or not.
            left = [
                job for job in self.jobs.values() if job.state is State.READY and job is not best
            ]
            self.turns[best.queue] = 1 + max(self.turns.get(job.queue, 0) for job in left)
        return best

    def settle(self, number: int, result: str, state: State) -> None:
        """End the attempt that runs, in the state that was decided without knowing of a cancel."""
        job = self.jobs[number]
        job.results[-1] = result
        if job.cancel_asked and state is not State.COMPLETED:
            state = State.CANCELLED
        job.move(state)
        job.cancel_asked = False
        job.attempts -= result in ("given back", "not started")

    def cancel(self, number: int) -> bool | None:
        """Whether the job still runs; None when it cannot be cancelled."""
        job = self.jobs[number]
        if job.state not in CANCELLABLE:
            return None
        if job.state is State.PROCESSING:
            job.cancel_asked = True
            return True
        job.move(State.CANCELLED)
        return False

    def requeue(self, number: int, state: State, run_at: datetime) -> bool:
        """Whether it could be."""
        job = self.jobs[number]
        if job.state not in REQUEUEABLE:
            return False
        job.move(state)
        job.attempts = job.deaths = 0
        job.run_at = run_at
        return True

    def delete(self, number: int) -> bool:
        """Whether it could be."""
        job = self.jobs[number]
        if job.state not in DELETABLE:
            return False
        job.move(State.DELETED)
        return True
