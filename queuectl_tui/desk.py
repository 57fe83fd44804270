"""What a person is looking at: which table, which job, which pane. Pure state, no drawing.

The detail pane shows the job that was chosen last: by moving the cursor, by adding it or by acting
on it. It stays there through every state until the cursor moves.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final

from queuectl_engine import Cause, Filter
from queuectl_tui.cursor import Cursor, pool_rows
from queuectl_tui.picture import Snapshot, Speech, Table, Tally, Wanted
from queuectl_tui.table import JobTable
from queuectl_tui.target import Target

TABLES: Final = (Table.PENDING, Table.PROCESSING, Table.DEAD)


class Place(StrEnum):
    """What the main area shows."""

    TABLES = "tables"
    FINISHED = "finished"
    POOLS = "pools"
    QUEUES = "queues"
    CAUSES = "causes"
    CAUSE = "cause"  # the jobs of one cause


_ALONE: Final = {Place.FINISHED: Table.FINISHED, Place.CAUSE: Table.CAUSE}
_BEFORE: Final = {Place.CAUSE: Place.CAUSES}  # where going back leads, else to the tables


class Desk:
    """The state behind the main screen. Everything here is quick and touches no database."""

    def __init__(self) -> None:
        self.tables = {table: JobTable(table.view) for table in Table}
        self.place = Place.TABLES
        self.focus = Table.PENDING
        self.on_detail = False  # the keys that move scroll the detail
        self.opened = False  # the detail fills the screen
        self.chosen: int | None = None
        self.attempt: int | None = None  # whose output is shown; None for the last
        self.shown = Snapshot()
        self.held: Snapshot | None = None  # the newest picture, while an older one is held
        self.said: Speech | None = None  # stands in the detail until the cursor moves
        self.pools = Cursor()
        self.queues = Cursor()
        self.causes = Cursor()
        self.causes_filter = Filter()
        self._choosing = True  # the next job that the cursor stands on is chosen
        self.tables[self.focus].hold()

    # -- what there is

    @property
    def table_name(self) -> Table | None:
        """The table of jobs that has the focus, None where a list has it."""
        return self.focus if self.place is Place.TABLES else _ALONE.get(self.place)

    @property
    def table(self) -> JobTable | None:
        """The same, itself."""
        return None if self.table_name is None else self.tables[self.table_name]

    @property
    def detail_has_keys(self) -> bool:
        """Whether moving means the detail."""
        return self.on_detail or self.opened

    # -- the feed

    def wanted(self, detail: int | None) -> Wanted:
        """What to read; `detail` is the job whose detail is wanted by now."""
        alone = _ALONE.get(self.place)
        tables = TABLES if alone is None else (*TABLES, alone)
        return Wanted(
            spots={table: self.tables[table].spot() for table in tables},
            detail=detail,
            attempt=self.attempt if detail == self.chosen else None,
            causes=self._causes_wanted(),
        )

    def _causes_wanted(self) -> Filter | None:
        return self.causes_filter if self.place in (Place.CAUSES, Place.CAUSE) else None

    def size(self, table: Table) -> Tally:
        """How many jobs a table has, as far as that is known."""
        if self.tables[table].filter:
            return self.shown.found.get(table, Tally())
        if table is Table.CAUSE:
            cause = self.shown.known_cause(self.tables[table].cause)
            return Tally(cause.dead if cause else 0, complete=True)
        return Tally(self.shown.counts.of(*table.states), complete=True)

    def adopt(self, snapshot: Snapshot) -> None:
        """Take a new picture of the queue."""
        self.shown = snapshot
        for table, window in snapshot.windows.items():
            self.tables[table].adopt(window)
        self.pools.settle([row.name for row in pool_rows(snapshot.pools)])
        self.queues.settle([queue.name for queue in snapshot.queues])
        self.causes.settle([str(cause.id) for cause in snapshot.causes])
        self._choose()

    def missed(self) -> int | None:
        """How many jobs have moved since the picture that is held; None when none is."""
        return None if self.held is None else self.held.moved_since(self.shown)

    def resize(self, rows: int) -> None:
        """The table that has the focus can show so many rows."""
        for table in self.tables.values():
            table.resize(rows)

    # -- going places

    def go(self, place: Place, focus: Table | None = None) -> None:
        """Show a place; among the tables, give one the focus."""
        if self.table is not None:
            self.table.release()
        self.place = place
        self.focus = focus or self.focus
        self.on_detail = self.opened = False
        if self.table is not None:
            self.table.hold()
        self._chosen_by_cursor()

    def list_cause(self, cause: Cause) -> None:
        """Show the jobs of one cause."""
        table = JobTable(Table.CAUSE.view, cause=cause.id)
        table.resize(self.tables[Table.CAUSE].rows)
        self.tables[Table.CAUSE] = table
        self.go(Place.CAUSE)

    def next_pane(self, by: int) -> None:
        """Give the focus to the next pane: the tables in turn, then the detail."""
        if self.opened:
            return
        if self.place is not Place.TABLES:
            self.on_detail = not self.on_detail
            return
        panes = len(TABLES) + 1
        here = len(TABLES) if self.on_detail else TABLES.index(self.focus)
        there = (here + by) % panes
        if there == len(TABLES):
            self.on_detail = True
        elif TABLES[there] is self.focus:
            self.on_detail = False
        else:
            self.go(Place.TABLES, TABLES[there])

    def back(self) -> bool:
        """One step back; False when there is none."""
        if self.opened:
            self.opened = False
        elif self.on_detail:
            self.on_detail, self.said = False, None
        elif self.filter:
            self.search(Filter())
        elif self.place is not Place.TABLES:
            self.go(_BEFORE.get(self.place, Place.TABLES))
        else:
            return False
        return True

    # -- moving

    def move(self, by: int) -> None:
        """Move the cursor by rows."""
        if self.table is not None:
            self.table.move(by)
        else:
            self._move_in_list(by)
        self._chosen_by_cursor()

    def page(self, by: int) -> None:
        """Move rows and cursor together."""
        if self.table is not None:
            self.table.page(by)
        else:
            self._move_in_list(by)
        self._chosen_by_cursor()

    def first(self) -> None:
        """Go to the first row."""
        if self.table is not None:
            self.table.first()
        else:
            self._move_in_list(-len(self._list()[1]))
        self._chosen_by_cursor()

    def last(self) -> None:
        """Go to the last row."""
        if self.table is not None:
            self.table.last()
        else:
            self._move_in_list(len(self._list()[1]))
        self._chosen_by_cursor()

    def point(self, table: Table, line: int) -> None:
        """Go to a row that is on the screen."""
        if self.table_name is not table:
            self.go(Place.TABLES, table)
        self.on_detail = False
        here = self.tables[table]
        if line < len(here.window.jobs):
            here.move(line - here.line)
        self._chosen_by_cursor()

    @property
    def filter(self) -> Filter:
        """What the list with the focus is narrowed to."""
        if self.place is Place.CAUSES:
            return self.causes_filter
        return Filter() if self.table is None else self.table.filter

    def search(self, wanted: Filter) -> None:
        """Show only what matches in the list with the focus; the cursor goes to the first."""
        if self.place is Place.CAUSES:
            self.causes_filter, self.causes = wanted, Cursor()
        elif self.table is not None:
            self.table.search(wanted)
        self._chosen_by_cursor()

    def show_attempt(self, by: int) -> None:
        """Show the output of an earlier or later attempt."""
        detail = self.shown.detail
        if detail is None or detail.job is None or not detail.job.runs:
            return
        last = detail.job.runs
        wanted = max(min((self.attempt or last) + by, last), 1)
        self.attempt = None if wanted == last else wanted

    # -- acting

    def toggle_mark(self) -> bool:
        """Mark or unmark; False when there are too many marks."""
        done = self.table is None or self.table.toggle_mark()
        self._chosen_by_cursor()
        return done

    def acted_on(self, meant: Target) -> None:
        """An act on these jobs was asked for: that they leave their table is no surprise."""
        ids = set(meant.ids)
        for table in self.tables.values():
            table.marks.difference_update(ids)
            if table.cursor is not None and (table.cursor in ids or not ids):
                table.leaving.add(table.cursor)
        if self.table is not None and not ids:
            self.table.all_marked = False

    def hold(self, job_id: int) -> None:
        """Keep this job in the detail until the cursor moves."""
        self._show(job_id)
        self._choosing, self.said = False, None

    def say(self, speech: Speech) -> None:
        """Show lines of text in the detail, which has the keys until a step back."""
        self.said, self.on_detail = speech, True

    def let_go(self, ids: Collection[int]) -> None:
        """These jobs exist no more: the cursor chooses, as soon as it stands on another."""
        if self.chosen in ids:
            self._choosing = True
            if self.table is not None and self.table.cursor not in ids:
                self._choose()

    # --

    def _list(self) -> tuple[Cursor, list[str]]:
        match self.place:
            case Place.POOLS:
                return self.pools, [row.name for row in pool_rows(self.shown.pools)]
            case Place.CAUSES:
                return self.causes, [str(cause.id) for cause in self.shown.causes]
            case _:
                return self.queues, [queue.name for queue in self.shown.queues]

    def _move_in_list(self, by: int) -> None:
        cursor, names = self._list()
        cursor.move(by, names)

    def _chosen_by_cursor(self) -> None:
        self._choosing, self.said = True, None
        self._choose()

    def _choose(self) -> None:
        if self._choosing and (job := self._job_under_cursor()) is not None:
            self._show(job)
            self._choosing = False

    def _job_under_cursor(self) -> int | None:
        match self.place:
            case Place.POOLS:
                rows = pool_rows(self.shown.pools)
                worker = rows[self.pools.line].worker if self.pools.line < len(rows) else None
                return worker.job if worker else None
            case Place.CAUSES:
                causes = self.shown.causes
                at = self.causes.line
                return causes[at].example if at < len(causes) else None
            case _:
                job = self.table.current() if self.table else None
                return job.id if job else None

    def _show(self, job_id: int) -> None:
        if job_id != self.chosen:
            self.chosen, self.attempt = job_id, None
