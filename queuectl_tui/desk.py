"""What a person is looking at: which table, which job, which pane. Pure state, no drawing.

The detail pane shows the job that was chosen last: by moving the cursor, by adding it or by acting
on it. It stays there through every state until the cursor moves.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from queuectl_engine import Job, JobState, PoolInfo, QueueInfo, View, WorkerInfo
from queuectl_tui.picture import Snapshot, Wanted
from queuectl_tui.table import Cursor, JobTable

TABLES: Final = (View.PENDING, View.PROCESSING, View.DEAD)


class Place(StrEnum):
    """What the main area shows."""

    TABLES = "tables"
    FINISHED = "finished"
    POOLS = "pools"
    QUEUES = "queues"


@dataclass(frozen=True, slots=True)
class PoolRow:
    """A row of the pools list: a pool, or one of its workers."""

    pool: PoolInfo
    worker: WorkerInfo | None = None

    @property
    def name(self) -> str:
        """What the cursor remembers it by."""
        return f"{self.pool.id}/{self.worker.id if self.worker else ''}"


def pool_rows(pools: Sequence[PoolInfo]) -> list[PoolRow]:
    """Each pool, with its workers below it."""
    rows: list[PoolRow] = []
    for pool in pools:
        rows.append(PoolRow(pool))
        rows += [PoolRow(pool, worker) for worker in pool.workers]
    return rows


class Desk:
    """The state behind the main screen. Everything here is quick and touches no database."""

    def __init__(self) -> None:
        self.tables = {view: JobTable(view) for view in (*TABLES, View.FINISHED)}
        self.place = Place.TABLES
        self.focus = View.PENDING
        self.on_detail = False  # the keys that move scroll the detail
        self.opened = False  # the detail fills the screen
        self.chosen: int | None = None
        self.shown = Snapshot()
        self.pools = Cursor()
        self.queues = Cursor()
        self._choosing = True  # the next job that the cursor stands on is chosen
        self.tables[self.focus].hold()

    # -- what there is

    @property
    def table(self) -> JobTable | None:
        """The table of jobs that has the focus, None where a list has it."""
        match self.place:
            case Place.TABLES:
                return self.tables[self.focus]
            case Place.FINISHED:
                return self.tables[View.FINISHED]
            case _:
                return None

    @property
    def detail_has_keys(self) -> bool:
        """Whether moving means the detail."""
        return self.on_detail or self.opened

    def live_pools(self) -> list[PoolInfo]:
        """Pools that can start jobs: a pool elsewhere is believed."""
        return [pool for pool in self.shown.pools if pool.alive is not False]

    def pool_under_cursor(self) -> PoolInfo | None:
        """The pool that the cursor of the pools list stands on."""
        row = self._pool_row()
        return row.pool if row else None

    def targets(self) -> list[int]:
        """The jobs an act is about: the marked ones, else the one under the cursor.

        In the detail, and where the cursor stands on a job that nobody chose because the chosen
        one has just left, it is the job in the detail.
        """
        table = self.table
        if table is not None and not self.detail_has_keys:
            if table.marks:
                return sorted(table.marks)
            job = table.current()
            if job is not None and table.anchored:
                return [job.id]
        return [] if self.chosen is None else [self.chosen]

    def job(self, job_id: int) -> Job | None:
        """A job that is somewhere on the screen."""
        detail = self.shown.detail
        if detail is not None and detail.id == job_id:
            return detail.job
        windows = (table.window for table in self.tables.values())
        return next((job for window in windows for job in window.jobs if job.id == job_id), None)

    def waiting(self) -> int:
        """How many jobs a first worker would find to do."""
        return self.shown.counts.of(JobState.PENDING, JobState.FAILED)

    # -- the feed

    def wanted(self, detail: int | None) -> Wanted:
        """What to read; `detail` is the job whose detail is wanted by now."""
        views = TABLES if self.place is not Place.FINISHED else (*TABLES, View.FINISHED)
        return Wanted(
            spots={view: self.tables[view].spot() for view in views},
            detail=detail,
            queues=self.place is Place.QUEUES,
        )

    def adopt(self, snapshot: Snapshot) -> None:
        """Take a new picture of the queue."""
        self.shown = snapshot
        for view, window in snapshot.windows.items():
            self.tables[view].adopt(window)
        self.pools.settle([row.name for row in pool_rows(snapshot.pools)])
        self.queues.settle([queue.name for queue in snapshot.queues])
        self._choose()

    def resize(self, rows: int) -> None:
        """The table that has the focus can show so many rows."""
        for table in self.tables.values():
            table.resize(rows)

    # -- going places

    def go(self, place: Place, focus: View | None = None) -> None:
        """Show a place; among the tables, give one the focus."""
        if self.table is not None:
            self.table.release()
        self.place = place
        self.focus = focus or self.focus
        self.on_detail = self.opened = False
        if self.table is not None:
            self.table.hold()
        self._chosen_by_cursor()

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
            self.on_detail = False
        elif self.place is not Place.TABLES:
            self.go(Place.TABLES)
        else:
            return False
        return True

    # -- moving

    def move(self, by: int) -> None:
        """Move the cursor by rows."""
        match self.place:
            case Place.POOLS:
                self.pools.move(by, [row.name for row in pool_rows(self.shown.pools)])
            case Place.QUEUES:
                self.queues.move(by, [queue.name for queue in self.shown.queues])
            case _:
                self._table().move(by)
        self._chosen_by_cursor()

    def page(self, by: int) -> None:
        """Move rows and cursor together."""
        if self.table is None:
            self.move(by)
        else:
            self.table.page(by)
            self._chosen_by_cursor()

    def first(self) -> None:
        """Go to the first row."""
        if self.table is None:
            self.move(-len(self._names()))
        else:
            self.table.first()
            self._chosen_by_cursor()

    def last(self) -> None:
        """Go to the last row."""
        if self.table is None:
            self.move(len(self._names()))
        else:
            self.table.last()
            self._chosen_by_cursor()

    # -- acting

    def toggle_mark(self) -> bool:
        """Mark or unmark; False when there are too many marks."""
        done = self.table is None or self.table.toggle_mark()
        self._chosen_by_cursor()
        return done

    def acted_on(self, ids: Sequence[int]) -> None:
        """An act on these jobs was asked for: that they leave their table is no surprise."""
        for table in self.tables.values():
            table.marks.difference_update(ids)
            if table.cursor is not None and table.cursor in ids:
                table.leaving.add(table.cursor)

    def hold(self, job_id: int) -> None:
        """Keep this job in the detail until the cursor moves."""
        self.chosen, self._choosing = job_id, False

    def let_go(self, ids: Collection[int]) -> None:
        """These jobs exist no more: the cursor chooses, as soon as it stands on another."""
        if self.chosen in ids:
            self._choosing = True
            if self.table is not None and self.table.cursor not in ids:
                self._choose()

    # --

    def _table(self) -> JobTable:
        assert self.table is not None
        return self.table

    def _names(self) -> list[PoolRow] | tuple[QueueInfo, ...]:
        return pool_rows(self.shown.pools) if self.place is Place.POOLS else self.shown.queues

    def _pool_row(self) -> PoolRow | None:
        rows = pool_rows(self.shown.pools) if self.place is Place.POOLS else []
        return rows[self.pools.line] if self.pools.line < len(rows) else None

    def _chosen_by_cursor(self) -> None:
        self._choosing = True
        self._choose()

    def _choose(self) -> None:
        if not self._choosing:
            return
        row = self._pool_row()
        if row is not None and row.worker is not None and row.worker.job is not None:
            self.chosen, self._choosing = row.worker.job, False
        elif self.table is not None and (job := self.table.current()) is not None:
            self.chosen, self._choosing = job.id, False
