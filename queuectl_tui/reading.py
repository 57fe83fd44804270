"""Reading what a screen wants, a window at a time. No thread, no clock, no Textual.

Everything costs by what is on the screen, never by how many jobs there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from queuectl_engine import (
    Attempt,
    Chunk,
    Context,
    Counts,
    Job,
    JobState,
    Key,
    Page,
    PoolInfo,
    QueueInfo,
    View,
)
from queuectl_tui.picture import JobPicture, Spot, Window
from queuectl_tui.tail import Tail

# Which jobs a table holds.
HOLDS: Final[Mapping[View, frozenset[JobState]]] = {
    View.PENDING: frozenset({JobState.PENDING, JobState.FAILED}),
    View.PROCESSING: frozenset({JobState.PROCESSING}),
    View.DEAD: frozenset({JobState.DEAD}),
    View.FINISHED: frozenset({JobState.COMPLETED, JobState.CANCELLED}),
}
TAIL_BYTES: Final = 256 * 1024  # of a job's output, held and read at most


class Source(Protocol):
    """What is read of an engine."""

    def changed(self) -> bool:
        """Whether someone else has committed since the last call."""

    def page(
        self, view: View, *, limit: int, at: Key | None = None, backwards: bool = False
    ) -> Page:
        """A window of a view from place `at` on, inclusive, in view order."""

    def place(self, view: View, job: Job) -> Key:
        """Where the job stands in a view, or would."""

    def find(self, ids: Iterable[int]) -> dict[int, Job]:
        """Those of these jobs that exist."""

    def counts(self) -> Counts:
        """Exact numbers of jobs by state."""

    def queues(self) -> list[QueueInfo]:
        """Every queue."""

    def pools(self) -> list[PoolInfo]:
        """Every pool, with its workers."""

    def attempts(self, id_or_key: int | str) -> list[Attempt]:
        """The history of a job, oldest first."""

    def context_of(self, job: Job) -> Context:
        """What the job was added with."""

    def output(
        self, id_or_key: int | str, attempt: int | None = None, *, after: int = -1, limit: int = 0
    ) -> list[Chunk]:
        """What an attempt printed, with `seq` above `after`."""

    def close(self) -> None:
        """Give back the database."""


def read_window(source: Source, view: View, spot: Spot) -> Window:
    """The rows that `spot` means, as many as it asks for while the table has them."""
    if spot.rows < 1:
        return Window(serial=spot.serial, scroll=spot.scroll)
    if spot.last:
        return _last(source, view, spot, missing=0)
    if spot.scroll < 0:
        return _up(source, view, spot)
    found = source.page(view, limit=spot.rows + spot.scroll + 1, at=spot.top)
    if spot.scroll == 0 and (followed := _follow(source, view, spot, found)) is not None:
        return followed
    beyond = len(found.jobs) - spot.rows  # how far down the last full window starts
    down = min(spot.scroll, max(beyond, 0))
    if beyond < 0 and spot.top is not None:  # the end, and not enough rows above it were read
        return _last(source, view, spot, missing=spot.scroll)
    at_start = spot.top is None and down == 0
    return _window(found, spot, first=down, at_start=at_start, missing=spot.scroll - down)


def _up(source: Source, view: View, spot: Spot) -> Window:
    if spot.top is None:
        found = source.page(view, limit=spot.rows + 1)
        return _window(found, spot, at_start=True, missing=spot.scroll)
    rise = -spot.scroll
    back = source.page(view, limit=rise + 2, at=spot.top, backwards=True)
    above = [key for key in back.keys if key != spot.top]
    at_start = len(above) <= rise
    top = None if at_start else above[-rise]
    found = source.page(view, limit=spot.rows + 1, at=top)
    missing = min(len(above) - rise, 0)
    return _window(found, spot, at_start=at_start, missing=missing)


def _last(source: Source, view: View, spot: Spot, *, missing: int) -> Window:
    found = source.page(view, limit=spot.rows + 1, backwards=True)
    first = max(len(found.jobs) - spot.rows, 0)
    return _window(found, spot, first=first, at_start=first == 0, missing=missing)


def _follow(source: Source, view: View, spot: Spot, found: Page) -> Window | None:
    """The window around the cursor's job, when rows that came before it pushed it out."""
    if spot.cursor is None or any(job.id == spot.cursor for job in found.jobs[: spot.rows]):
        return None
    job = source.find([spot.cursor]).get(spot.cursor)
    if job is None or job.state not in HOLDS[view]:
        return None
    above = source.page(view, limit=spot.line + 1, at=source.place(view, job), backwards=True)
    around = source.page(view, limit=spot.rows + 1, at=above.keys[0] if above.keys else None)
    if not any(job.id == spot.cursor for job in around.jobs[: spot.rows]):
        return None  # it left while we looked
    return _window(around, spot, at_start=False)


def _window(found: Page, spot: Spot, *, first: int = 0, at_start: bool, missing: int = 0) -> Window:
    last = first + spot.rows
    return Window(
        jobs=found.jobs[first:last],
        keys=found.keys[first:last],
        at_start=at_start,
        more=len(found.jobs) > last,
        serial=spot.serial,
        scroll=spot.scroll,
        missing=missing,
    )


class JobReader:
    """Reads the job in the detail pane; of its output only what it has not read before."""

    def __init__(self) -> None:
        self._tail: Tail | None = None
        self._context: tuple[int, Context] | None = None

    def read(self, source: Source, job_id: int) -> JobPicture:
        """The job as it is now, with every attempt and the end of its last output."""
        job = source.find([job_id]).get(job_id)
        if job is None:
            return JobPicture(job_id)
        tail = self._tail
        if tail is None or (tail.job, tail.attempt) != (job.id, job.runs):
            tail = self._tail = Tail(job.id, job.runs, limit=TAIL_BYTES)
        if job.runs:
            tail.feed(
                source.output(job.id, job.runs, after=tail.seq, limit=TAIL_BYTES),
            )
        return JobPicture(
            id=job.id,
            job=job,
            attempts=tuple(source.attempts(job.id)),
            context=self._context_of(source, job),
            output=tail.lines(),
        )

    def _context_of(self, source: Source, job: Job) -> Context:
        if self._context is None or self._context[0] != job.context_id:
            self._context = (job.context_id, source.context_of(job))
        return self._context[1]


class Throughput:
    """Jobs that ended per second, over the last few seconds of changes."""

    SPAN: Final = 5.0  # seconds looked back, and silence after which nothing is said
    STEP: Final = 1.0  # seconds between two readings

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []
        self._changed_at = 0.0
        self.value: float | None = None

    def note(self, counts: Counts, now: float) -> float | None:
        """Take a reading at monotonic time `now`, and say what is worth showing."""
        ended = counts.of(JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED)
        if not self._samples or ended < self._samples[-1][1]:  # first, requeued, or pruned
            self._samples = [(now, ended)]
            return self.value
        if ended != self._samples[-1][1]:
            self._changed_at = now
        elif now - self._changed_at >= self.SPAN:
            self._samples, self.value = [(now, ended)], None
            return None
        if now - self._samples[-1][0] >= self.STEP:
            self._samples = [s for s in self._samples if now - s[0] <= self.SPAN] or [
                self._samples[-1]
            ]
            since, before = self._samples[0]
            self._samples.append((now, ended))
            self.value = (ended - before) / (now - since) or None
        return self.value
