"""The main area: three tables of jobs, or one, or the lists of pools, queues and causes.

It is one widget, so that giving another table the focus writes the lines that differ and no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from textual.events import Click
from textual.message import Message

from queuectl_engine import JobState, State, safe_text
from queuectl_tui import columns, ink, words
from queuectl_tui.desk import TABLES, Desk, Place
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.lists import cause_lines, pool_lines, queue_lines
from queuectl_tui.picture import Table
from queuectl_tui.table import JobTable
from queuectl_tui.widgets.line_view import LineView

_NAMES: Final = {
    Table.PENDING: "1 Pending",
    Table.PROCESSING: "2 Processing",
    Table.DEAD: "3 Dead",
    Table.FINISHED: "4 Finished",
    Table.CAUSE: "F Died like this",
}
_EMPTY: Final = {
    Table.PENDING: "nothing waits",
    Table.PROCESSING: "nothing runs",
    Table.DEAD: "no dead jobs",
    Table.CAUSE: "no job is dead of this any more",
    Table.FINISHED: "nothing has finished yet",
}


class Board(LineView):
    """Draws what the desk holds. `alone`: there is room for the table with the focus only."""

    alone = False

    @dataclass
    class Clicked(Message):
        """A row was pointed at: its table, and its line in the window of that."""

        table: Table
        line: int

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id)
        self._rows: list[tuple[Table, int] | None] = []

    def on_click(self, event: Click) -> None:
        """Say which job is meant."""
        row = self._rows[event.y] if event.y < len(self._rows) else None
        if row is not None:
            self.post_message(self.Clicked(*row))

    def draw(self, desk: Desk, now: datetime) -> None:
        """Show the desk as it is at `now`."""
        width, height = self.size
        self.show(board_lines(desk, width, height, now, alone=self.alone))
        self._rows = job_rows(desk, height, alone=self.alone)

    def rows(self, desk: Desk) -> int:
        """How many jobs the table with the focus shows."""
        height = self.size.height
        if desk.place is not Place.TABLES:
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
            shown, line = desk.shown, desk.queues.line
            lanes = (shown.queues, shown.empty_in, shown.counts.max_running, shown.schedules)
            return queue_lines(*lanes, line, width, height, now)
        case Place.CAUSES:
            dead = desk.shown.counts.of(JobState.DEAD)
            line = desk.causes.line
            wanted = desk.causes_filter
            return cause_lines(desk.shown.causes, dead, line, width, height, now, wanted=wanted)
        case Place.FINISHED:
            return _table_lines(desk, Table.FINISHED, width, height, now)
        case Place.CAUSE:
            return _table_lines(desk, Table.CAUSE, width, height, now)
        case Place.TABLES:
            return [
                drawn
                for view, share in zip(TABLES, shares(desk.focus, height, alone=alone), strict=True)
                for drawn in _table_lines(desk, view, width, share, now)
            ]


def job_rows(desk: Desk, height: int, *, alone: bool = False) -> list[tuple[Table, int] | None]:
    """For each line of the main area the job that it shows: its table, and its line there."""
    heights: dict[Table, int] = {}
    if desk.place is Place.TABLES:
        heights = dict(zip(TABLES, shares(desk.focus, height, alone=alone), strict=True))
    elif desk.table_name is not None:
        heights = {desk.table_name: height}
    rows: list[tuple[Table, int] | None] = []
    for name, share in heights.items():
        room = rows_of(share)
        first = _first_row(desk.tables[name], room)
        rows += [None] * (share - room) + [(name, first + i) for i in range(room)]
    return rows


def _first_row(table: JobTable, room: int) -> int:
    # A table without the focus is shorter than its window: the cursor's row stays in sight.
    return max(min(table.line - room + 1, len(table.window.jobs) - room), 0)


def shares(focus: Table, height: int, *, alone: bool) -> list[int]:
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


def _table_lines(desk: Desk, name: Table, width: int, height: int, now: datetime) -> list[Line]:
    if height < 1:
        return []
    table = desk.tables[name]
    focused = table is desk.table
    lines = [_title(desk, name, width, focused=focused)]
    if _has_heading(height):
        lines.append(columns.heading(name.view, width))
    room = rows_of(height)
    first = _first_row(table, room)
    for line_number, job in enumerate(table.window.jobs[first : first + room], first):
        at_cursor = focused and line_number == table.line and table.cursor is not None
        sign = columns.CURSOR if at_cursor else columns.SHOWN if job.id == desk.chosen else ""
        marked, cause = table.is_marked(job.id), desk.shown.known.get(job.cause_id or 0)
        drawn = columns.row(name.view, job, width, now, sign=sign, marked=marked, cause=cause)
        if at_cursor and table.anchored and not desk.detail_has_keys:
            drawn = columns.as_cursor(drawn, width)
        lines.append(drawn)
    if not table.window.jobs and room:
        lines.append(ink.line("   ", ink.quiet(ink.cut(_nothing(desk, name), width - 3))))
    return [*lines, *[ink.BLANK] * (height - len(lines))]


def _nothing(desk: Desk, name: Table) -> str:
    if not desk.tables[name].filter:
        return _EMPTY[name]
    return "nothing matches · Esc clears the filter" if desk.size(name).complete else "looking …"


def _title(desk: Desk, name: Table, width: int, *, focused: bool) -> Line:
    inks = Ink.TITLE if focused and not desk.detail_has_keys else Ink.PLAIN
    total = words.tally(desk.size(name))
    total_ink = Ink.BAD if name is Table.DEAD and total != "0" else inks
    notes = _notes(desk, name)
    left = (Span(f" {_NAMES[name]} ", inks), Span(total, total_ink))
    note = ink.cut(" · ".join(notes), max(width - ink.width_of(left) - 8, 0))
    right: Sequence[Span] = (ink.quiet(note),) if note else ()
    return ink.ruled(left, tuple(right), width)


def _notes(desk: Desk, name: Table) -> list[str]:
    counts, table = desk.shown.counts, desk.tables[name]
    notes: list[str] = []
    if table.filter:
        notes.append(f"filter: {safe_text(str(table.filter))}")
    elif name is Table.PENDING:
        parts = {"scheduled": State.SCHEDULED, "waiting": State.BLOCKED, "retrying": State.FAILED}
        notes = [f"{words.number(n)} {name}" for name, s in parts.items() if (n := counts.of(s))]
    elif name is Table.FINISHED:
        parts = {"completed": State.COMPLETED, "cancelled": State.CANCELLED}
        notes = [f"{words.number(counts.of(state))} {name}" for name, state in parts.items()]
    elif name is Table.DEAD and counts.causes:
        notes.append(words.causes(counts.causes))
    elif name is Table.CAUSE and (cause := desk.shown.known_cause(table.cause)):
        notes.append(words.cause_of(cause))
    if table.all_marked:
        notes.append("all *")
    elif table.marks:
        notes.append(f"{words.number(len(table.marks))} *")
    return notes
