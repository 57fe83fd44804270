"""The lists of pools and workers, of queues, and of causes of death, as lines. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from queuectl_engine import (
    Cause,
    Counts,
    Filter,
    JobState,
    PoolInfo,
    QueueInfo,
    Schedule,
    WorkerInfo,
    safe_text,
)
from queuectl_tui import columns, ink, words
from queuectl_tui.cursor import pool_rows
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.schedule_lines import schedule_lines

_POOL: Final = (("POOL", 14), ("HOST", 16), ("STATE", 10), ("WORKERS", 9), ("SINCE", 7))
_QUEUE: Final = (
    ("QUEUE", 16),
    ("PENDING", 11),
    ("RUNNING", 9),
    ("RETRY", 9),
    ("DEAD", 9),
    ("FINISHED", 11),
)

_CAUSE: Final = (("COUNT", 10), ("LAST", 6), ("FIRST", 7), ("PROGRAM", 12))


def pool_lines(
    pools: Sequence[PoolInfo], cursor: int, width: int, height: int, now: datetime
) -> list[Line]:
    """Every pool with its workers; `cursor` is a row of `pool_rows`."""
    workers = sum(pool.running for pool in pools)
    title = _title("5 Pools and workers", len(pools), words.workers(workers), width)
    if not pools:
        return _padded([title, ink.BLANK, _hint("no pool runs")], height)
    rows: list[Line] = []
    for row in pool_rows(pools):
        at_cursor = len(rows) == cursor
        sign = columns.CURSOR if at_cursor else " "
        drawn = _worker(row.worker, sign, now) if row.worker else _pool(row.pool, sign, now)
        rows.append(columns.as_cursor(drawn, width) if at_cursor else ink.cut_line(drawn, width))
    return _list([title, _heading(_POOL, "QUEUES", width)], rows, cursor, height)


def queue_lines(
    queues: Sequence[QueueInfo],
    empty_in: Mapping[str | None, str],
    limit: int | None,
    schedules: Sequence[Schedule],
    cursor: int,
    width: int,
    height: int,
    now: datetime,
) -> list[Line]:
    """Every queue with its counts, and when it may be empty; below them every schedule.

    `limit` is that of all queues together. `cursor` is a row of both.
    """
    paused = sum(queue.paused for queue in queues)
    notes = [f"{paused} paused"] if paused else []
    notes += [f"all together run at most {words.number(limit)}"] if limit else []
    title = _title("6 Queues", len(queues), " · ".join(notes), width)
    if not queues and not schedules:
        return _padded([title, ink.BLANK, _hint("no queue yet")], height)
    rows: list[Line] = []
    for queue in queues:
        at_cursor = len(rows) == cursor
        left = empty_in.get(queue.name, "open")
        drawn = _queue(queue, left, columns.CURSOR if at_cursor else " ")
        rows.append(columns.as_cursor(drawn, width) if at_cursor else ink.cut_line(drawn, width))
    if schedules:
        at = cursor - len(queues)
        below = schedule_lines(schedules, at if at >= 0 else None, width, now)
        rows += below
        cursor += len(below) - len(schedules) if at >= 0 else 0
    return _list([title, _heading(_QUEUE, "STATE", width)], rows, cursor, height)


def cause_lines(
    causes: Sequence[Cause],
    dead: int,
    cursor: int,
    width: int,
    height: int,
    now: datetime,
    *,
    wanted: Filter | None = None,
) -> list[Line]:
    """Every cause of death with how many died of it, newest death first."""
    left = (Span(" Causes of ", Ink.TITLE), Span(words.jobs(dead, "dead"), Ink.BAD))
    order = f"filter: {safe_text(str(wanted))}" if wanted else "newest first"
    title = ink.ruled(left, (ink.quiet(ink.cut(order, width // 2)),), width)
    if not causes:
        known = "no dead jobs" if not dead else "none of them is known: they died long ago"
        why = "nothing matches · Esc clears the filter" if wanted else known
        return _padded([title, ink.BLANK, _hint(why)], height)
    rows: list[Line] = []
    for cause in causes:
        at_cursor = len(rows) == cursor
        drawn = _cause(cause, columns.CURSOR if at_cursor else " ", now)
        rows.append(columns.as_cursor(drawn, width) if at_cursor else ink.cut_line(drawn, width))
    return _list([title, _heading(_CAUSE, "WHY", width)], rows, cursor, height)


def _cause(cause: Cause, sign: str, now: datetime) -> Line:
    return ink.line(
        f"{sign}  ",
        ink.strong(ink.cell(words.number(cause.dead), 10)),
        ink.cell(words.age(cause.last_at, now), 6),
        ink.cell(words.age(cause.first_at, now), 7),
        ink.cell(safe_text(cause.program), 12),
        Span(ink.cell(safe_text(cause.ended), 10), Ink.BAD),
        safe_text(cause.line) or ink.quiet("(no output)"),
    )


def _pool(pool: PoolInfo, sign: str, now: datetime) -> Line:
    state, state_ink = _pool_state(pool)
    queues = ", ".join(map(safe_text, pool.queues)) or "all"
    trouble = f"  {safe_text(pool.trouble)}" if pool.trouble else ""
    return ink.line(
        f"{sign}  ",
        ink.cell(safe_text(pool.name), 14),
        ink.cell(safe_text(pool.host), 16),
        Span(ink.cell(state, 10), state_ink),
        ink.cell(_size(pool), 9),
        ink.cell(words.age(pool.started_at, now), 7),
        queues,
        Span(trouble, Ink.BAD),
    )


def _size(pool: PoolInfo) -> str:
    """Workers that run and that are wanted, and how many jobs each runs at once if several."""
    return f"{pool.running}/{pool.wanted}" + (f"×{pool.slots}" if pool.slots > 1 else "")


def _pool_state(pool: PoolInfo) -> tuple[str, Ink]:
    if pool.alive is False:
        return "died", Ink.BAD
    if pool.stopping:
        return "stopping", Ink.WARN
    return ("running", Ink.GOOD) if pool.alive else ("elsewhere", Ink.PLAIN)


def _worker(worker: WorkerInfo, sign: str, now: datetime) -> Line:
    if worker.job is not None:
        more = f" and {worker.running - 1} more" if worker.running > 1 else ""
        doing = f"job {worker.job} for {words.age(worker.job_since, now)}{more}"
    else:
        doing = "idle" if worker.alive else "died"
    return ink.line(
        f"{sign}    ",
        ink.cell(safe_text(worker.name), 12),
        ink.quiet(ink.cell(f"pid {worker.pid}", 16)),
        Span(doing, Ink.BAD if not worker.alive else Ink.PLAIN if worker.job else Ink.QUIET),
    )


def _queue(queue: QueueInfo, left: str, sign: str) -> Line:
    counts = Counts(queue.counts)
    numbers = (
        counts.of(JobState.PENDING),
        counts.of(JobState.PROCESSING),
        counts.of(JobState.FAILED),
        counts.of(JobState.DEAD),
        counts.of(JobState.COMPLETED, JobState.CANCELLED),
    )
    texts = [words.number(number) for number in numbers]
    if queue.max_running is not None:
        texts[1] += f"/{words.number(queue.max_running)}"
    parts = [ink.cell(text, width) for text, (_, width) in zip(texts, _QUEUE[1:], strict=True)]
    state = Span("paused", Ink.WARN) if queue.paused else ink.quiet(left)
    return ink.line(f"{sign}  ", ink.cell(safe_text(queue.name), 16), *parts, state)


def _title(name: str, count: int, note: str, width: int) -> Line:
    left = (Span(f" {name} {words.number(count)}", Ink.TITLE),)
    return ink.ruled(left, (ink.quiet(note),) if note else (), width)


def _heading(titles: Sequence[tuple[str, int]], last: str, width: int) -> Line:
    cells = "".join(ink.cell(title, size) for title, size in titles)
    return ink.line(ink.quiet(ink.cut(f"   {cells}{last}", width)))


def _hint(text: str) -> Line:
    return ink.line("   ", ink.quiet(text))


def _list(head: list[Line], rows: list[Line], cursor: int, height: int) -> list[Line]:
    room = max(height - len(head), 1)
    first = max(min(cursor - room + 1, len(rows) - room), 0)
    return _padded([*head, *rows[first : first + room]], height)


def _padded(lines: list[Line], height: int) -> list[Line]:
    return [*lines, *[ink.BLANK] * (height - len(lines))][:height]
