"""The schedules below the list of queues, as lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine import JobState, Schedule, safe_text
from queuectl_tui import columns, ink, words
from queuectl_tui.ink import Ink, Line, Span

_COLUMNS: Final = (("SCHEDULE", 11), ("WHEN", 16), ("ZONE", 14), ("NEXT", 13))
_LAST: Final = 32  # width of what came of the last time where the command stands beside it
_COMMAND_FROM: Final = 104  # width from which it does


def schedule_lines(
    schedules: Sequence[Schedule], cursor: int | None, width: int, now: datetime
) -> list[Line]:
    """A title, a heading, and every schedule; `cursor` is one of them, None where it is not."""
    paused = sum(schedule.paused for schedule in schedules)
    note = (ink.quiet(f"{paused} paused"),) if paused else ()
    left = Span(f" Recurring {words.number(len(schedules))}", Ink.TITLE)
    titles = "".join(ink.cell(title, size) for title, size in _COLUMNS)
    last = ink.cell("LAST", _LAST) + "COMMAND" if width >= _COMMAND_FROM else "LAST"
    lines = [
        ink.ruled((left,), note, width),
        ink.line(ink.quiet(ink.cut(f"   {titles}{last}", width))),
    ]
    for number, schedule in enumerate(schedules):
        drawn = _schedule(schedule, columns.CURSOR if number == cursor else " ", width, now)
        at_cursor = number == cursor
        lines.append(columns.as_cursor(drawn, width) if at_cursor else ink.cut_line(drawn, width))
    return lines


def _schedule(schedule: Schedule, sign: str, width: int, now: datetime) -> Line:
    texts = (safe_text(schedule.title), safe_text(schedule.expression), safe_text(schedule.zone))
    cells = [ink.cell(text, size) for text, (_, size) in zip(texts, _COLUMNS[:3], strict=True)]
    upcoming = words.clock(schedule.next_at, now) if schedule.next_at else "never"
    if schedule.paused:
        upcoming = "paused"
    warned = Ink.PLAIN if schedule.next_at else Ink.WARN
    last, last_ink = _last(schedule, now)
    if width >= _COMMAND_FROM:
        last = ink.cell(last, _LAST)
    return ink.line(
        f"{sign}  ",
        *cells,
        Span(ink.cell(upcoming, _COLUMNS[3][1]), warned),
        Span(last, last_ink),
        safe_text(schedule.job.command) if width >= _COMMAND_FROM else "",
    )


def _last(schedule: Schedule, now: datetime) -> tuple[str, Ink]:
    """What came of the last time: `<1m 42 completed`, `3h skipped: 42 processing`."""
    result = safe_text(schedule.last_result or "")
    since = f"{words.age(schedule.last_at, now)} " if schedule.last_at else ""
    if not result or schedule.last_job is None or not result.startswith("added"):
        return since + result.replace("job ", "").replace(" is ", " "), Ink.WARN
    state = schedule.last_state
    more = result.removeprefix("added")
    told = f"{since}{schedule.last_job} {state.value if state else 'deleted'}{more}"
    return told, _INKS.get(state, Ink.PLAIN) if state else Ink.QUIET


_INKS: Final = {JobState.COMPLETED: Ink.GOOD, JobState.DEAD: Ink.BAD, JobState.FAILED: Ink.WARN}
