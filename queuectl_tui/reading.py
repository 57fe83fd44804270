"""Reading what a screen wants, a window at a time. No thread, no clock, no Textual.

Everything costs by what is on the screen, never by how many jobs there are. Only a filter has to
look at many jobs: it does so in slices, and whoever reads gets control back after each.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from queuectl_engine import (
    Attempt,
    Cause,
    Chunk,
    Context,
    Counts,
    Event,
    Filter,
    Job,
    JobState,
    Key,
    Page,
    PoolInfo,
    QueueInfo,
    Scan,
    View,
)
from queuectl_tui.picture import Spot, Window

# Which jobs a table holds.
HOLDS: Final[Mapping[View, frozenset[JobState]]] = {
    View.PENDING: frozenset({JobState.PENDING, JobState.FAILED}),
    View.PROCESSING: frozenset({JobState.PROCESSING}),
    View.DEAD: frozenset({JobState.DEAD}),
    View.FINISHED: frozenset({JobState.COMPLETED, JobState.CANCELLED}),
}
Reading = Generator[Window, None, Window]  # gives what it has after each slice, returns the whole
_Pages = Generator[Page, None, Page]


class Source(Protocol):
    """What is read of an engine."""

    def changed(self) -> bool:
        """Whether someone else has committed since the last call."""

    def page(
        self,
        view: View,
        *,
        limit: int,
        at: Key | None = None,
        backwards: bool = False,
        cause: int | None = None,
    ) -> Page:
        """A window of a view from place `at` on, inclusive, in view order."""

    def scan(
        self,
        view: View,
        wanted: Filter,
        *,
        limit: int,
        at: Key | None = None,
        backwards: bool = False,
    ) -> Scan:
        """The same of matching jobs, as far as one slice of looking goes."""

    def matching(
        self, view: View, wanted: Filter, *, at: Key | None = None
    ) -> tuple[int, Key | None]:
        """How many match in the next slice, and where to go on."""

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

    def causes(self, limit: int = 200, wanted: Filter | None = None) -> list[Cause]:
        """Why jobs are dead, newest death first."""

    def cause(self, cause_id: int) -> Cause:
        """One cause. Raises NoSuchCause."""

    def explain(self, id_or_key: int | str) -> str:
        """The one reason why a job does not run."""

    def advice(self, job: Job, attempt: Attempt) -> str | None:
        """What to try after an attempt that failed in a well-known way."""

    def events(self, id_or_key: int | str) -> list[Event]:
        """What people did to a job, oldest first."""

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


def read_window(source: Source, spot: Spot) -> Reading:
    """The rows that `spot` means, as many as it asks for while the table has them.

    A generator: what it gives on the way is worth showing, what it returns is the answer.
    """
    if spot.rows < 1:
        return Window(serial=spot.serial, scroll=spot.scroll)
    if spot.last:
        return (yield from _last(source, spot, missing=0))
    if spot.scroll < 0:
        return (yield from _up(source, spot))
    pages = _pages(source, spot, limit=spot.rows + spot.scroll + 1, at=spot.top)
    found = yield from _as_they_come(pages, spot)
    if spot.scroll == 0:
        followed = yield from _follow(source, spot, found)
        if followed is not None:
            return followed
    beyond = len(found.jobs) - spot.rows  # how far down the last full window starts
    down = min(spot.scroll, max(beyond, 0))
    if beyond < 0 and spot.top is not None:  # the end, and not enough rows above it were read
        return (yield from _last(source, spot, missing=spot.scroll))
    at_start = spot.top is None and down == 0
    return _window(found, spot, first=down, at_start=at_start, missing=spot.scroll - down)


def whole(reading: Reading) -> Window:
    """The answer, without what comes on the way."""
    while True:
        try:
            next(reading)
        except StopIteration as end:
            window: Window = end.value
            return window


def _pages(
    source: Source, spot: Spot, *, limit: int, at: Key | None = None, backwards: bool = False
) -> _Pages:
    """Neighbours in the view; with a filter what was found so far after each slice."""
    if not spot.filter:
        return source.page(spot.view, limit=limit, at=at, backwards=backwards, cause=spot.cause)
    found = Page((), ())
    while True:
        room = limit - len(found.jobs)
        part = source.scan(spot.view, spot.filter, limit=room, at=at, backwards=backwards)
        before, after = (part, found) if backwards else (found, part)
        found = Page(before.jobs + after.jobs, before.keys + after.keys)
        at = part.rest
        if at is None or len(found.jobs) >= limit:
            return found
        yield found


def _as_they_come(pages: _Pages, spot: Spot) -> Generator[Window, None, Page]:
    """Show what is found where that moves nothing: at the start of a table, from its top."""
    while True:
        try:
            found = next(pages)
        except StopIteration as end:
            page: Page = end.value
            return page
        if spot.top is None and spot.scroll == 0:
            yield replace(_window(found, spot, at_start=True), searching=True)
        else:
            yield _SEARCHING


def _unseen(pages: _Pages) -> Generator[Window, None, Page]:
    while True:
        try:
            next(pages)
        except StopIteration as end:
            page: Page = end.value
            return page
        yield _SEARCHING


def _up(source: Source, spot: Spot) -> Reading:
    if spot.top is None:
        found = yield from _unseen(_pages(source, spot, limit=spot.rows + 1))
        return _window(found, spot, at_start=True, missing=spot.scroll)
    rise = -spot.scroll
    pages = _pages(source, spot, limit=rise + 2, at=spot.top, backwards=True)
    back = yield from _unseen(pages)
    above = [key for key in back.keys if key != spot.top]
    at_start = len(above) <= rise
    top = None if at_start else above[-rise]
    found = yield from _unseen(_pages(source, spot, limit=spot.rows + 1, at=top))
    missing = min(len(above) - rise, 0)
    return _window(found, spot, at_start=at_start, missing=missing)


def _last(source: Source, spot: Spot, *, missing: int) -> Reading:
    found = yield from _unseen(_pages(source, spot, limit=spot.rows + 1, backwards=True))
    first = max(len(found.jobs) - spot.rows, 0)
    return _window(found, spot, first=first, at_start=first == 0, missing=missing)


def _follow(source: Source, spot: Spot, found: Page) -> Generator[Window, None, Window | None]:
    """The window around the cursor's job, when rows that came before it pushed it out."""
    if spot.cursor is None or any(job.id == spot.cursor for job in found.jobs[: spot.rows]):
        return None
    job = source.find([spot.cursor]).get(spot.cursor)
    if job is None or job.state not in HOLDS[spot.view]:
        return None
    here = source.place(spot.view, job)
    above = yield from _unseen(_pages(source, spot, limit=spot.line + 1, at=here, backwards=True))
    at = above.keys[0] if above.keys else None
    around = yield from _unseen(_pages(source, spot, limit=spot.rows + 1, at=at))
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


_SEARCHING: Final = Window(serial=-1, searching=True)  # no table has this serial: it shows nothing
