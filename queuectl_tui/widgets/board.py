"""The main area: three tables of jobs, or one, or the lists of pools and queues.

It is one widget, so that giving another table the focus writes the lines that differ and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine import State, View
from queuectl_tui import columns, ink, words
from queuectl_tui.desk import TABLES, Desk, Place
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.lists import pool_lines, queue_lines
from queuectl_tui.table import JobTable
from queuectl_tui.widgets.line_view import LineView

_NAMES: Final = {
    View.PENDING: "1 Pending",
    View.PROCESSING: "2 Processing",
    View.DEAD: "3 Dead",
    View.FINISHED: "4 Finished",
}
_STATES: Final = {
    View.PENDING: (State.READY, State.SCHEDULED, State.BLOCKED, State.FAILED),
    View.PROCESSING: (State.PROCESSING,),
    View.DEAD: (State.DEAD,),
    View.FINISHED: (State.COMPLETED, State.CANCELLED),
}
_EMPTY: Final = {
    View.PENDING: "nothing waits · a adds a job",
    View.PROCESSING: "nothing runs",
    View.DEAD: "no dead jobs",
    View.FINISHED: "nothing has finished yet",
}


class Board(LineView):
    """Draws what the desk holds. `alone`: there is room for the table with the focus only."""

    alone = False

    def draw(self, desk: Desk, now: datetime) -> None:
        """Show the desk as it is at `now`."""
        width, height = self.size
        self.show(board_lines(desk, width, height, now, alone=self.alone))

    def rows(self, desk: Desk) -> int:
        """How many jobs the table with the focus shows."""
        height = self.size.height
        if desk.place is Place.FINISHED:
            return rows_of(height)
        return rows_of(max(shares(desk.focus, height, alone=self.alone)))


def board_lines(
    desk: Desk, width: int, height: int, now: datetime, *, alone: bool = False
) -> list[Line]:
    """Every line of the main area."""
    match desk.place:
        case Place.POOLS:
            return pool_lines(desk.shown.pools, desk.pools.line, width, height, now)
        case Place.QUEUES:
            return queue_lines(desk.shown.queues, desk.queues.line, width, height)
        case Place.FINISHED:
            return _table_lines(desk, View.FINISHED, width, height, now)
        case Place.TABLES:
            return [
                drawn
                for view, share in zip(TABLES, shares(desk.focus, height, alone=alone), strict=True)
                for drawn in _table_lines(desk, view, width, share, now)
            ]


def shares(focus: View, height: int, *, alone: bool) -> list[int]:
    """Lines for each table: the one with the focus takes the room, the others keep two rows.

    Where even that is too little, it stands alone.
    """
    if alone or height < 9:
        return [height if view is focus else 0 for view in TABLES]
    rest = max(3, height // 4)
    return [height - 2 * rest if view is focus else rest for view in TABLES]


def rows_of(height: int) -> int:
    """How many jobs a table of so many lines shows."""
    return max(height - (2 if _has_heading(height) else 1), 0)


def _has_heading(height: int) -> bool:
    return height >= 5


def _table_lines(desk: Desk, view: View, width: int, height: int, now: datetime) -> list[Line]:
    if height < 1:
        return []
    table = desk.tables[view]
    focused = table is desk.table
    lines = [_title(desk, table, width, focused=focused)]
    if _has_heading(height):
        lines.append(columns.heading(view, width))
    room = rows_of(height)
    # A table without the focus is shorter than its window: the cursor's row stays in sight.
    first = max(min(table.line - room + 1, len(table.window.jobs) - room), 0)
    for line_number, job in enumerate(table.window.jobs[first : first + room], first):
        at_cursor = focused and line_number == table.line and table.cursor is not None
        sign = columns.CURSOR if at_cursor else columns.SHOWN if job.id == desk.chosen else ""
        drawn = columns.row(view, job, width, now, sign=sign, marked=job.id in table.marks)
        if at_cursor and table.anchored and not desk.detail_has_keys:
            drawn = columns.as_cursor(drawn, width)
        lines.append(drawn)
    if not table.window.jobs and room:
        lines.append(ink.line("   ", ink.quiet(ink.cut(_EMPTY[view], width - 3))))
    return [*lines, *[ink.BLANK] * (height - len(lines))]


def _title(desk: Desk, table: JobTable, width: int, *, focused: bool) -> Line:
    counts = desk.shown.counts
    total = counts.of(*_STATES[table.view])
    inks = Ink.TITLE if focused and not desk.detail_has_keys else Ink.PLAIN
    total_ink = Ink.BAD if table.view is View.DEAD and total else inks
    notes = _notes(desk, table)
    right: Sequence[Span] = (ink.quiet(" · ".join(notes)),) if notes else ()
    name = Span(f" {_NAMES[table.view]} ", inks)
    return ink.ruled((name, Span(words.number(total), total_ink)), tuple(right), width)


def _notes(desk: Desk, table: JobTable) -> list[str]:
    counts = desk.shown.counts
    notes: list[str] = []
    if table.view is View.PENDING:
        parts = {"scheduled": State.SCHEDULED, "waiting": State.BLOCKED, "retrying": State.FAILED}
        notes = [f"{words.number(n)} {name}" for name, s in parts.items() if (n := counts.of(s))]
    if table.view is View.FINISHED:
        parts = {"completed": State.COMPLETED, "cancelled": State.CANCELLED}
        notes = [f"{words.number(counts.of(state))} {name}" for name, state in parts.items()]
    if table.marks:
        notes.append(f"{words.number(len(table.marks))} *")
    return notes
