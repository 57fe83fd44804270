"""A table of jobs as a person moves through it: which rows, which cursor, which marks.

It holds the rows on the screen and no others. Where it stands is said by jobs and their places,
never by row numbers, so that the cursor stays on its job while rows come and go. Pure state.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from queuectl_engine import Filter, Job, Key, View
from queuectl_tui.picture import Spot, Window

MOST_MARKS: Final = 10_000
_serials: Final = count(1)  # of all tables, so that no answer fits another one's question


@dataclass(slots=True)
class JobTable:
    """One table.

    `line` is the row of the window where the cursor stands and `cursor` the job there, None until
    the rows that were asked for arrive. `held`: a person was here, so the cursor stays on its job;
    before that it stays on the first row. `anchored` is False after the cursor's job left by
    itself: the cursor then stands on a neighbour that nobody chose. `cause` and `filter` say which
    rows of the view it has; with `all_marked` every one of them is marked, seen or not. `ranged`
    is where a range of marks begins: a job and its place.
    """

    view: View
    cause: int | None = None
    filter: Filter = field(default_factory=Filter)
    rows: int = 0
    window: Window = field(default_factory=Window)
    cursor: int | None = None
    line: int = 0
    held: bool = False
    anchored: bool = True
    marks: set[int] = field(default_factory=set)
    all_marked: bool = False
    ranged: tuple[int, Key] | None = None
    leaving: set[int] = field(default_factory=set)  # jobs we acted on: their leaving is no surprise
    _top: Key | None = None
    _scroll: int = 0
    _last: bool = False
    _serial: int = field(default_factory=lambda: next(_serials))

    def spot(self) -> Spot:
        """What to read for it."""
        return Spot(
            view=self.view,
            rows=self.rows,
            cause=self.cause,
            filter=self.searched,
            top=self._top,
            scroll=self._scroll,
            last=self._last,
            serial=self._serial,
            cursor=self.cursor if self.held else None,
            line=self.line,
        )

    @property
    def searched(self) -> Filter:
        """What rows match: of a cause, too, when there is a filter."""
        if not self.filter or self.cause is None:
            return self.filter
        return self.filter.within(self.cause)

    def resize(self, rows: int) -> None:
        """It can show so many rows from now on; the cursor stays in sight."""
        if self.rows and self.line >= rows > 0:
            self._scroll += self.line - rows + 1
            self.line = rows - 1
        self.rows = rows

    def hold(self) -> None:
        """A person turns to this table: from now on the cursor stays on its job."""
        self.held = True

    def release(self) -> None:
        """A person turns away: a table that was left at its start shows again what is new there."""
        self.held = not (self.window.at_start and self.line == 0)

    def current(self) -> Job | None:
        """The job under the cursor."""
        jobs = self.window.jobs
        if self.cursor is None or not self.line < len(jobs):
            return None
        return jobs[self.line]

    def adopt(self, window: Window) -> None:
        """Take rows that were read; an answer to a question that was replaced is ignored."""
        if window.serial != self._serial:
            return
        self.window = window
        self._scroll -= window.scroll
        self._top = None if window.at_start or not window.keys else window.keys[0]
        if window.scroll or self._last:
            self._serial = next(_serials)  # what was asked from the old place would count twice
            self._last = False
        self._put_cursor(window)

    def move(self, by: int) -> None:
        """Move the cursor; at the edge of the window the rows move."""
        count = len(self.window.jobs)
        to = self.line + by
        if to < 0 and not self.window.at_start:
            self._go(scroll=to, line=0)
        elif to >= count and self.window.more:
            self._go(scroll=to - count + 1, line=count - 1)
        else:
            self._stand_on(max(min(to, count - 1), 0))

    def page(self, by: int) -> None:
        """Move rows and cursor together; at an end of the table the cursor goes to that end."""
        if by < 0 and self.window.at_start:
            self._stand_on(0)
        elif by > 0 and not self.window.more:
            self._stand_on(max(len(self.window.jobs) - 1, 0))
        else:
            self._go(scroll=by, line=self.line)

    def first(self) -> None:
        """Go to the first job of the table."""
        self._jump(last=False)

    def last(self) -> None:
        """Go to the last job of the table."""
        self._jump(last=True)

    def search(self, wanted: Filter) -> None:
        """Show only what matches from now on; without a filter, all, from where the cursor is."""
        here = self.place()
        self.filter, self.all_marked, self.ranged = wanted, False, None
        self._jump(last=False)
        if not wanted and here is not None:
            self._top = here

    def place(self) -> Key | None:
        """Where the job under the cursor stands."""
        keys = self.window.keys
        return keys[self.line] if self.current() is not None and self.line < len(keys) else None

    def is_marked(self, job_id: int) -> bool:
        """Whether an act would mean this job."""
        return self.all_marked or job_id in self.marks

    def toggle_all(self) -> None:
        """Mark all that the table has, or none when anything is marked."""
        self.all_marked = not (self.all_marked or self.marks)
        self.marks.clear()
        self.ranged = None

    def mark(self, ids: Collection[int]) -> bool:
        """Mark these as well; False, and nothing marked, when that are too many."""
        if len(self.marks | set(ids)) > MOST_MARKS:
            return False
        self.marks.update(ids)
        return True

    def toggle_mark(self) -> bool:
        """Mark or unmark the job under the cursor and move on; False at the limit."""
        job = self.current()
        if job is None or self.all_marked:
            return True
        if job.id in self.marks:
            self.marks.remove(job.id)
        elif len(self.marks) >= MOST_MARKS:
            return False
        else:
            self.marks.add(job.id)
        self.move(1)
        return True

    def out_of_sight(self) -> int:
        """How many marked jobs the window does not show."""
        return len(self.marks - {job.id for job in self.window.jobs})

    def _put_cursor(self, window: Window) -> None:
        ids = [job.id for job in window.jobs]
        if not self.held:
            self.line, self.cursor = 0, ids[0] if ids else None
        elif self.cursor in ids:
            self.line = ids.index(self.cursor)
        elif not self._scroll:  # else more rows are on their way
            was = self.cursor
            self.line = max(min(self.line + window.missing, len(ids) - 1), 0)
            self.cursor = ids[self.line] if ids else None
            if was is not None and was not in self.leaving:
                self.anchored = False
            self.leaving.discard(was or 0)

    def _stand_on(self, line: int) -> None:
        self.line = line
        self.anchored = True
        self.cursor = self.window.jobs[line].id if line < len(self.window.jobs) else None

    def _go(self, *, scroll: int, line: int) -> None:
        self._scroll += scroll
        self.line, self.cursor, self.anchored = line, None, True

    def _jump(self, *, last: bool) -> None:
        self._top, self._scroll, self._last = None, 0, last
        self._serial = next(_serials)
        self.line, self.cursor, self.anchored = (self.rows - 1 if last else 0), None, True
