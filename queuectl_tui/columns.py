"""The columns of the tables of jobs: short ones of fixed width, so that nothing jumps.

The command comes last: whatever it holds, it cannot push another column out of place. Of dead jobs
it is less telling than what they died of, so it gives way to that where there is little room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from queuectl_engine import Cause, Job, JobState, State, View, safe_text
from queuectl_tui import ink, words
from queuectl_tui.ink import Ink, Line, Span

CURSOR: Final = "▸"
SHOWN: Final = "›"  # stands at the job whose detail is shown, where the cursor is not
MARK: Final = "*"


def _due_ink(job: Job) -> Ink:
    if any(need.stuck for need in job.waits_for):
        return Ink.BAD
    return Ink.WARN if job.stored is State.FAILED else Ink.PLAIN


def _running_ink(job: Job) -> Ink:
    return Ink.WARN if job.parked or job.cancel_asked else Ink.PLAIN


def _result_ink(job: Job) -> Ink:
    return Ink.GOOD if job.state is JobState.COMPLETED else Ink.PLAIN


@dataclass(frozen=True, slots=True)
class Column:
    """One column; it is left out of tables narrower than `from_width`."""

    title: str
    width: int
    text: Callable[[Job, datetime], str]
    ink: Callable[[Job], Ink] = lambda job: Ink.PLAIN
    from_width: int = 0


_ID: Final = Column("ID", 9, lambda job, now: str(job.id))
_QUEUE: Final = Column("QUEUE", 9, lambda job, now: safe_text(job.queue))
_TRIES: Final = Column("TRIES", 7, lambda job, now: words.tries(job))
_PRIO: Final = Column("PRIO", 5, lambda job, now: f"p{job.priority}")
_KEY: Final = Column("KEY", 15, lambda job, now: safe_text(job.key or ""), from_width=120)
_ENDED: Final = Column("ENDED", 7, lambda job, now: words.age(job.finished_at, now))

COLUMNS: Final[Mapping[View, tuple[Column, ...]]] = {
    View.PENDING: (
        _ID,
        _QUEUE,
        _PRIO,
        Column("DUE", 16, words.due, _due_ink),
        Column("TRIES", 7, lambda job, now: words.tries(job), from_width=88),
        _KEY,
    ),
    View.PROCESSING: (
        _ID,
        _QUEUE,
        Column("WORKER", 8, lambda job, now: safe_text(job.worker or "")),
        Column("RUNNING", 8, words.running, _running_ink),
        Column("TRIES", 7, lambda job, now: words.tries(job), from_width=88),
        _KEY,
    ),
    View.DEAD: (
        _ID,
        _TRIES,
        _QUEUE,
        Column("DIED", 6, lambda job, now: words.age(job.finished_at, now)),
    ),
    View.FINISHED: (
        _ID,
        _QUEUE,
        Column("RESULT", 11, lambda job, now: job.state.value, _result_ink),
        _ENDED,
        Column("RAN", 8, lambda job, now: _ran(job)),
        _KEY,
    ),
}


_ENDED_BY: Final = 10  # width of what ended a job
_WHY: Final = 44  # width of the whole WHY where the command stands beside it
_BOTH_FROM: Final = 88  # width from which it does


def heading(view: View, width: int) -> Line:
    """The line of column titles."""
    titles = "".join(ink.cell(column.title, column.width) for column in _columns(view, width))
    last = "COMMAND"
    if view is View.DEAD:
        last = ink.cell("WHY", _WHY) + last if width >= _BOTH_FROM else "WHY"
    return ink.line(ink.quiet(ink.cut(f"   {titles}{last}", width)))


def row(
    view: View,
    job: Job,
    width: int,
    now: datetime,
    *,
    sign: str,
    marked: bool,
    cause: Cause | None = None,
) -> Line:
    """A job's line. `sign` is what stands before it: the cursor, or nothing."""
    before = f"{sign or ' '}{MARK if marked else ' '} "
    parts: list[Span | str] = [Span(before, Ink.STRONG if before.strip() else Ink.PLAIN)]
    left = width - len(before)
    for column in _columns(view, width):
        parts.append(Span(ink.cell(column.text(job, now), column.width), column.ink(job)))
        left -= column.width
    if view is View.DEAD and width < _BOTH_FROM:
        return ink.line(*parts, *why(words.short_reason(job), cause, left))
    if view is View.DEAD:
        parts += [*why(words.short_reason(job), cause, _WHY - 1), " "]
        left -= _WHY
    parts.append(ink.cut(safe_text(job.command), max(left, 0)))
    return ink.line(*parts)


def why(ended: str, cause: Cause | None, width: int) -> list[Span | str]:
    """What ended a job, and the last it said, masked: in `width` cells."""
    said = "" if cause is None else words.last_words(cause)
    first = min(_ENDED_BY, width)
    return [Span(ink.cell(ended, first), Ink.BAD), ink.fit(said, width - first)]


def as_cursor(drawn: Line, width: int) -> Line:
    """The same line where the cursor stands."""
    return ink.line(Span(ink.fit(ink.text_of(drawn), width), Ink.CURSOR))


def _columns(view: View, width: int) -> list[Column]:
    return [column for column in COLUMNS[view] if width >= column.from_width]


def _ran(job: Job) -> str:
    if job.started_at is None or job.finished_at is None:
        return ""
    return words.duration(job.finished_at - job.started_at)
