"""Does to a repository what people, workers and supervisors do: through public methods only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Final, Unpack

from queuectl_engine.job import Attempt, Job, Piece, State, Stream, View
from queuectl_engine.job import Chunk as ChunkOfOutput
from queuectl_engine.lifecycle import Backoff, Ending, Exited, outcome_of
from queuectl_engine.new_job import Policy
from queuectl_engine.repository.protocol import (
    Asked,
    Claim,
    Ended,
    JobRepository,
    Output,
    PoolRow,
    Progress,
    Turn,
    Verdict,
    WorkerRow,
)
from tests.samples import NOON, SECOND, new, pool_row

OpenRepo = Callable[[], JobRepository]
STEADY: Final = Backoff(jitter=lambda: 0.0)


class Driver:
    """One repository, one pool with one worker, and a clock that moves only when told to."""

    def __init__(self, repo: JobRepository) -> None:
        self.repo = repo
        self.now = NOON
        self._names = count(1)
        self.pool = self.start_pool()
        self.worker = self.start_worker().id

    # -- people

    def add(self, command: str | list[str] = "true", **policy: Unpack[Policy]) -> Job:
        """One job, as stored."""
        (added,) = self.repo.add([new(command, **policy)], now=self.now)
        return self.get(added.id)

    def get(self, job: int | Job) -> Job:
        """A job that exists, as it is now."""
        number = job if isinstance(job, int) else job.id
        return self.repo.get([number])[number]

    def exists(self, job: Job) -> bool:
        """Whether people still see it."""
        return job.id in self.repo.get([job.id])

    def requeue(self, *jobs: Job, run_at: datetime | None = None) -> None:
        """Requeue, as ada."""
        ids = [job.id for job in jobs]
        self.repo.requeue(ids, user="ada", now=self.now, run_at=run_at)

    def cancel(self, *jobs: Job) -> list[int]:
        """Cancel, as ada."""
        return self.repo.cancel([job.id for job in jobs], user="ada", now=self.now)

    def delete(self, *jobs: Job) -> None:
        """Delete, as ada."""
        self.repo.delete([job.id for job in jobs], user="ada", now=self.now)

    def listed(self, view: View, queue: str | None = None) -> list[int]:
        """The ids of a whole view, in its order."""
        return [job.id for job in self.repo.page(view, limit=10_000, queue=queue).jobs]

    def attempts(self, job: Job) -> list[Attempt]:
        """A job's history."""
        return self.repo.attempts(job.id)

    def results(self, job: Job) -> list[str | None]:
        """How each attempt of a job ended, None for one that runs."""
        return [attempt.result for attempt in self.attempts(job)]

    # -- pools and their workers

    def start_pool(self, *queues: str) -> PoolRow:
        """A pool that is registered and has its own directory."""
        row = pool_row(self.repo.run_directory, f"pool-{next(self._names)}", queues=queues)
        return self.repo.start_pool(row, now=self.now)

    def start_worker(self, pool: PoolRow | None = None, number: int = 1) -> WorkerRow:
        """A registered worker."""
        pool = pool or self.pool
        return self.repo.start_worker(pool.id, number, now=self.now)

    def turn(
        self,
        *ended: Ended,
        room: int = 0,
        queues: Sequence[str] = (),
        worker: int | None = None,
        running: int = 0,
        ahead: int = 0,
    ) -> Turn:
        """One turn of a worker."""
        return self.repo.settle_and_claim(
            worker or self.worker,
            ended,
            room=room,
            queues=queues,
            now=self.now,
            running=running,
            ahead=ahead,
        )

    def claim(self, *queues: str, worker: int | None = None) -> Claim:
        """The one job that a worker with room for one gets."""
        (claim,) = self.turn(room=1, queues=queues, worker=worker).claims
        return claim

    def claimed(self, *queues: str, room: int = 1) -> list[int]:
        """The ids that a worker gets."""
        return [claim.job.id for claim in self.turn(room=room, queues=queues).claims]

    def ended(self, claim: Claim, ending: Ending, output: Output | None = None) -> Ended:
        """An attempt that ended just now, and what a worker would decide about it."""
        outcome = outcome_of(claim.job, ending, STEADY, self.now)
        return Ended(claim.attempt, ending, outcome, self.now, output or Output())

    def end(self, claim: Claim, ending: Ending, output: Output | None = None) -> Verdict:
        """Settle an attempt."""
        (verdict,) = self.turn(self.ended(claim, ending, output)).verdicts
        return verdict

    def lose(self, claim: Claim, ending: Ending) -> Verdict:
        """Settle an attempt as its rescuer does."""
        (verdict,) = self.repo.lose([self.ended(claim, ending)], now=self.now)
        return verdict

    def run(self, ending: Ending, *queues: str) -> Job:
        """Claim the next job and end its attempt; the job as it is then."""
        claim = self.claim(*queues)
        self.end(claim, ending)
        return self.get(claim.job)

    def say(self, claim: Claim, *texts: str) -> Asked:
        """Write one piece of output a chunk, from the attempt's start."""
        item = Progress(claim.attempt, output=output_of(*texts))
        return self.repo.progress(self.worker, [item], now=self.now)

    # -- time

    def later(self, by: timedelta = SECOND) -> None:
        """Move the clock."""
        self.now += by

    # -- jobs in any state

    def job_in(self, state: State, **policy: Unpack[Policy]) -> Job:
        """A job that came into this state the way jobs do. Other jobs must not be ready."""
        match state:
            case State.READY:
                return self.add(**policy)
            case State.SCHEDULED:
                policy["run_at"] = self.now + timedelta(days=1)
                return self.add(**policy)
            case State.PROCESSING:
                self.add(**policy)
                return self.claim().job
            case State.FAILED:
                self.add(**policy)
                return self.run(Exited(1))
            case State.COMPLETED:
                self.add(**policy)
                return self.run(Exited(0))
            case State.DEAD:
                policy["max_retries"] = 0
                self.add(**policy)
                return self.run(Exited(1))
            case State.CANCELLED:
                job = self.add(**policy)
                self.cancel(job)
                return self.get(job)
            case State.DELETED:
                job = self.add(**policy)
                self.delete(job)
                return job._replace(stored=State.DELETED)
            case State.BLOCKED:
                other = self.add(run_at=self.now + timedelta(days=1))
                policy["after_ok"] = [other.id]
                return self.add(**policy)


def output_of(*texts: str, first: int = 0) -> Output:
    """Output of one chunk a text, all of stdout, numbered from `first`."""
    chunks = tuple(
        ChunkOfOutput(first + n, NOON, (Piece(Stream.OUT, text.encode()),))
        for n, text in enumerate(texts)
    )
    total = sum(chunk.size for chunk in chunks)
    return Output(chunks, total=total)
