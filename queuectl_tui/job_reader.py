"""Reading the job in the detail pane; of its output only what has not been read before."""

from __future__ import annotations

from typing import Final

from queuectl_engine import Attempt, Cause, Context, Event, Job, JobState, NoSuchCause, NoSuchJob
from queuectl_tui.picture import JobPicture
from queuectl_tui.reading import Source
from queuectl_tui.tail import Tail

TAIL_BYTES: Final = 256 * 1024  # of a job's output, held and read at most
WAITING: Final = frozenset({JobState.PENDING, JobState.FAILED})  # what wants an explanation


class JobReader:
    """Reads one job after the other; what cannot change is read once."""

    def __init__(self) -> None:
        self._tail: Tail | None = None
        self._context: tuple[int, Context] | None = None
        self._advice: tuple[int, int, str | None] | None = None

    def read(self, source: Source, job_id: int, attempt: int | None = None) -> JobPicture:
        """The job as it is now, with all that happened to it and the end of an output.

        That is of `attempt`, or of the last one.
        """
        job = source.find([job_id]).get(job_id)
        if job is None:
            return JobPicture(job_id)
        try:
            attempts = tuple(source.attempts(job.id))
            events = tuple(source.events(job.id))
            explained = self.explain(source, job)
            shown = attempt if attempt is not None and 0 < attempt <= job.runs else job.runs
            return self._picture(source, job, attempts, events, explained, shown)
        except NoSuchJob:  # deleted since
            return JobPicture(job_id)

    def explain(self, source: Source, job: Job) -> str | None:
        """Why it waits; None when it does not."""
        return source.explain(job.id) if job.state in WAITING else None

    def _picture(
        self,
        source: Source,
        job: Job,
        attempts: tuple[Attempt, ...],
        events: tuple[Event, ...],
        explained: str | None,
        shown: int,
    ) -> JobPicture:
        tail = self._tail
        if tail is None or (tail.job, tail.attempt) != (job.id, shown):
            tail = self._tail = Tail(job.id, shown, limit=TAIL_BYTES)
        if shown:
            tail.feed(source.output(job.id, shown, after=tail.seq, limit=TAIL_BYTES))
        return JobPicture(
            id=job.id,
            job=job,
            attempts=attempts,
            events=events,
            context=self._context_of(source, job),
            cause=_cause_of(source, job),
            explained=explained,
            advice=self._advice_on(source, job, attempts, shown),
            shown=shown,
            output=tail.lines(),
        )

    def _context_of(self, source: Source, job: Job) -> Context:
        if self._context is None or self._context[0] != job.context_id:
            self._context = (job.context_id, source.context_of(job))
        return self._context[1]

    def _advice_on(
        self, source: Source, job: Job, attempts: tuple[Attempt, ...], shown: int
    ) -> str | None:
        attempt = next((each for each in attempts if each.number == shown), None)
        if attempt is None or attempt.ended_at is None:
            return None
        if self._advice is None or self._advice[:2] != (job.id, shown):
            self._advice = (job.id, shown, source.advice(job, attempt))
        return self._advice[2]


def _cause_of(source: Source, job: Job) -> Cause | None:
    if job.cause_id is None or job.state is not JobState.DEAD:
        return None
    try:
        return source.cause(job.cause_id)
    except NoSuchCause:  # its last dead job has just left
        return None
