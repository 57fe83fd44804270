"""Following jobs: what they print, as it comes, and waiting until a queue is empty.

Nothing here polls tables: it looks at the database's change counter, and reads when that moved.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from queuectl_engine.errors import NoSuchJob
from queuectl_engine.job import Chunk, Happening, Job, State
from queuectl_engine.lifecycle import FINAL
from queuectl_engine.repository.protocol import JobRepository

POLL: Final = 0.05  # seconds between two looks at the counter
# The counter is silent about what other threads do on this connection, so now and then we look
# all the same.
LOOK_ANYWAY: Final = 1.0
_JOURNAL_PAGE: Final = 500
_ENDED: Final = FINAL | {State.DELETED}


@dataclass(frozen=True, slots=True)
class Printed:
    """Output of one attempt of a job; without a chunk it says that the attempt is over."""

    job: int
    attempt: int
    chunk: Chunk | None


def follow(
    repository: JobRepository,
    jobs: Sequence[Job],
    *,
    attempt: int | None,
    missing: Callable[[int], NoSuchJob],
) -> Iterator[Printed]:
    """What these jobs print, from their last attempt on, until each has ended.

    With `attempt` only that one of each, which may not have begun. Raises what `missing` makes
    when a job is deleted meanwhile.
    """
    tails = {job.id: _Tail(job, attempt) for job in jobs}
    with repository.patiently():
        yield from _follow(repository, tails, missing)


def _follow(
    repository: JobRepository, tails: dict[int, _Tail], missing: Callable[[int], NoSuchJob]
) -> Iterator[Printed]:
    while tails:
        seen = repository.version()  # what changes from here on is news
        found = repository.get(list(tails))
        for job_id, tail in list(tails.items()):
            if job_id not in found:
                raise missing(job_id)
            yield from tail.read(repository, found[job_id])
            if tail.done:
                del tails[job_id]
        if tails and not any(tail.moved for tail in tails.values()):
            wait_for_news(repository, seen, time.monotonic() + LOOK_ANYWAY)


class _Tail:
    """How far the output of one job has been read."""

    def __init__(self, job: Job, attempt: int | None) -> None:
        self._one = attempt is not None
        self._current = attempt or max(job.runs, 1)
        self._seen = -1
        self.done = False
        self.moved = False  # to the next attempt, which may have begun already

    def read(self, repository: JobRepository, job: Job) -> Iterator[Printed]:
        """Yield what is new since the last time; `job` is as it was a moment ago."""
        # Before the output, so that the end of it is not missed.
        over = _is_over(repository, job, self._current)
        for chunk in repository.output(job.id, self._current, after=self._seen):
            self._seen = chunk.seq
            yield Printed(job.id, self._current, chunk)
        if over:
            yield Printed(job.id, self._current, None)
        self.done = (over and self._one) or (
            job.stored in FINAL and job.runs < self._current + over
        )
        self.moved = over and not self.done
        if self.moved:
            self._current, self._seen = self._current + 1, -1


def _is_over(repository: JobRepository, job: Job, number: int) -> bool:
    if job.runs < number:
        return False
    return repository.attempts(job.id)[number - 1].ended_at is not None


def until_empty(repository: JobRepository, queue: str | None, timeout: float | None) -> bool:
    """Block until no job of the queue, or of any, waits or runs; False after `timeout` seconds."""
    deadline = float("inf") if timeout is None else time.monotonic() + timeout
    with repository.patiently():
        return _until_empty(repository, queue, deadline)


def _until_empty(repository: JobRepository, queue: str | None, deadline: float) -> bool:
    while True:
        seen = repository.version()
        if not _unfinished(repository, queue):
            return True
        if time.monotonic() >= deadline:
            return False
        wait_for_news(repository, seen, min(deadline, time.monotonic() + LOOK_ANYWAY))


def _unfinished(repository: JobRepository, queue: str | None) -> int:
    return sum(
        number
        for each in repository.queues()
        if queue in (None, each.name)
        for state, number in each.counts.items()
        if state not in _ENDED
    )


def journal(
    repository: JobRepository, *, since: int | None, job: int | None, keep_on: bool
) -> Iterator[Happening]:
    """What happened after number `since`; with `keep_on` also what is still to happen."""
    with repository.patiently() if keep_on else nullcontext():
        yield from _journal(repository, since, job, keep_on)


def _journal(
    repository: JobRepository, since: int | None, job: int | None, keep_on: bool
) -> Iterator[Happening]:
    while True:
        seen = repository.version()
        found, upto = repository.happenings(since=since, limit=_JOURNAL_PAGE, job=job)
        yield from found
        if upto == since:
            if not keep_on:
                return
            wait_for_news(repository, seen, time.monotonic() + LOOK_ANYWAY)
        since = upto


def wait_for_news(repository: JobRepository, seen: int, until: float) -> None:
    """Block until another connection commits after `seen`, or until that moment (monotonic)."""
    while repository.version() == seen and (left := until - time.monotonic()) > 0:
        time.sleep(min(POLL, left))
