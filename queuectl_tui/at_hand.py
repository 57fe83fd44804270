"""What a key would be about: which job, cause, queue or pool is at hand. Pure."""

from __future__ import annotations

from queuectl_engine import Cause, Job, PoolInfo, QueueInfo, Schedule
from queuectl_tui import target
from queuectl_tui.cursor import LaneRow, lane_rows, pool_rows
from queuectl_tui.desk import Desk, Place
from queuectl_tui.target import Target


def pool_under_cursor(desk: Desk) -> PoolInfo | None:
    """The pool that the cursor of the pools list stands on."""
    rows = pool_rows(desk.shown.pools) if desk.place is Place.POOLS else []
    return rows[desk.pools.line].pool if desk.pools.line < len(rows) else None


def queue_under_cursor(desk: Desk) -> QueueInfo | None:
    """The queue that the cursor of the queues list stands on."""
    return _lane(desk).queue


def schedule_under_cursor(desk: Desk) -> Schedule | None:
    """The schedule that the cursor of the queues list stands on, while that has the keys."""
    return None if desk.detail_has_keys else _lane(desk).schedule


def cause_under_cursor(desk: Desk) -> Cause | None:
    """The cause that the cursor of the causes stands on."""
    causes = desk.shown.causes if desk.place is Place.CAUSES else ()
    return causes[desk.causes.line] if desk.causes.line < len(causes) else None


def target_of(desk: Desk) -> Target | None:
    """What an act is about: a cause, the marked jobs, else the job under the cursor.

    In the detail, and where the cursor stands on a job that nobody chose because the chosen
    one has just left, it is the job in the detail.
    """
    table = desk.table
    if not desk.detail_has_keys:
        if (cause := cause_under_cursor(desk)) is not None:
            return target.of_cause(cause)
        if table is not None and (marked := target.marked(table, desk.shown.causes, _size(desk))):
            return marked
        job = table.current() if table is not None else None
        if table is not None and job is not None and table.anchored:
            return target.one(job.id, table.view)
    return None if desk.chosen is None else target.one(desk.chosen)


def job(desk: Desk, job_id: int) -> Job | None:
    """A job that is somewhere on the screen."""
    detail = desk.shown.detail
    if detail is not None and detail.id == job_id:
        return detail.job
    windows = (table.window for table in desk.tables.values())
    return next((job for window in windows for job in window.jobs if job.id == job_id), None)


def job_at_hand(desk: Desk) -> Job | None:
    """The single job that an act would be about, else the one in the detail."""
    meant = target_of(desk)
    only = meant.job if meant is not None and meant.job is not None else desk.chosen
    return None if only is None else job(desk, only)


def queue_at_hand(desk: Desk) -> QueueInfo | None:
    """The queue under the cursor of its list, else that of the job at hand."""
    if not desk.detail_has_keys and (queue := queue_under_cursor(desk)) is not None:
        return queue
    at_hand = job_at_hand(desk)
    return next((q for q in desk.shown.queues if at_hand and q.name == at_hand.queue), None)


def _lane(desk: Desk) -> LaneRow:
    rows = []
    if desk.place is Place.QUEUES:
        rows = lane_rows(desk.shown.queues, desk.shown.schedules)
    return rows[desk.queues.line] if desk.queues.line < len(rows) else LaneRow()


def _size(desk: Desk) -> int | None:
    """How many jobs the table with the focus has; None while they are counted."""
    size = None if desk.table_name is None else desk.size(desk.table_name)
    return size.count if size is not None and size.complete else None
