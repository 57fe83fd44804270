"""What happened to a job, as lines: its attempts, and what people did to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine import Attempt, Event, safe_text
from queuectl_tui import columns, ink, words
from queuectl_tui.ink import Ink, Line, Span


def attempt_lines(
    attempts: Sequence[Attempt], chosen: int, width: int, most: int, now: datetime
) -> list[Line]:
    """The last attempts; a sign stands at the one whose output is shown, which is among them."""
    numbers = [attempt.number for attempt in attempts]
    end = len(attempts)
    if chosen in numbers:
        end = min(end, max(numbers.index(chosen) + most // 2 + 1, most))
    shown = attempts[max(end - most, 0) : end]
    titles = "".join(map(ink.cell, ("attempts", "started", "worker", "waited", "ran"), _WIDTHS))
    lines = [ink.line(" ", ink.quiet(ink.cut(titles + "result", width - 1)))]
    if len(shown) < len(attempts):
        more = words.number(len(attempts) - len(shown))
        lines.append(ink.line("   ", ink.quiet(f"… {more} more")))
    before = dict(zip((attempt.number for attempt in attempts[1:]), attempts, strict=False))
    return [*lines, *(_attempt(a, before.get(a.number), chosen, width, now) for a in shown)]


_WIDTHS: Final = (10, 13, 8, 8, 8)


def _attempt(
    attempt: Attempt, before: Attempt | None, chosen: int, width: int, now: datetime
) -> Line:
    waited = ""
    if before is not None and before.ended_at is not None:
        waited = words.duration(attempt.started_at - before.ended_at)
    cells = (
        f"{columns.SHOWN if attempt.number == chosen else ' '} {attempt.number}",
        words.clock(attempt.started_at, now),
        safe_text(attempt.worker),
        waited,
        words.duration(attempt.ran) if attempt.ended_at else words.age(attempt.started_at, now),
    )
    result = safe_text(attempt.reason or attempt.result or "running")
    if attempt.late:
        result += f" (late: {safe_text(attempt.late)})"
    result_ink = {"completed": Ink.GOOD, None: Ink.TITLE}.get(attempt.result, Ink.PLAIN)
    text = "".join(map(ink.cell, cells, _WIDTHS))
    used = ink.quiet(_used(attempt))
    return ink.cut_line(ink.line(" ", text, Span(result, result_ink), used), width)


def _used(attempt: Attempt) -> str:
    cpu = f" · cpu {words.duration(attempt.cpu)}" if attempt.cpu is not None else ""
    memory = attempt.peak_memory
    return cpu + (f" · {words.size(memory)}" if memory is not None else "")


def event_lines(events: Sequence[Event], width: int, most: int, now: datetime) -> list[Line]:
    """The last things that people did to it."""
    titles = ["events", *[""] * (most - 1)]
    return [
        ink.cut_line(
            ink.line(
                " ",
                ink.quiet(ink.fit(title, 10)),
                ink.cell(words.clock(event.at, now), 13),
                f"{safe_text(event.kind)} by {safe_text(event.user) or 'someone'}",
                ink.quiet(f" · {safe_text(event.detail)}" if event.detail else ""),
            ),
            width,
        )
        for title, event in zip(titles, events[-most:], strict=False)
    ]
