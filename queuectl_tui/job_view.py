"""A job as lines: what it is, and what happened to it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.cells import chop_cells

from queuectl_engine import Context, Job, JobState, exit_codes_text, safe_text
from queuectl_tui import ink, words
from queuectl_tui.history_view import attempt_lines, event_lines
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.picture import JobPicture

ROOMY: Final = 14  # lines from which on the facts and attempts have a place of their own
_LABEL: Final = 10
_STATE_INK: Final = {
    JobState.DEAD: Ink.BAD,
    JobState.FAILED: Ink.WARN,
    JobState.COMPLETED: Ink.GOOD,
    JobState.PROCESSING: Ink.TITLE,
}
READER: Final = (ink.BLANK, ink.line("   ", ink.strong("?"), " shows every key"))
WELCOME: Final = (
    ink.BLANK,
    ink.line("   ", ink.strong("a"), " adds a job: type a command, press Enter"),
    ink.line("   ", ink.strong("+"), " starts a worker, which runs what waits"),
    ink.line("   ", ink.strong("?"), " shows every key"),
)


def headline(picture: JobPicture, width: int, now: datetime, *, focused: bool, note: str) -> Line:
    """The pane's title: id, state and what matters about it."""
    name = Span(f"{picture.id} ", Ink.TITLE if focused else Ink.STRONG)
    right = (ink.quiet(note),) if note else ()
    if picture.job is None:
        return ink.ruled((ink.quiet("── "), name, Span("is gone", Ink.WARN)), right, width)
    state, *facts = words.status(picture.job, now)
    state_ink = _STATE_INK.get(picture.job.state, Ink.STRONG)
    start = (ink.quiet("── "), name, Span(state, state_ink))
    told = [fact for fact in facts if fact]
    # The note tells more than the last facts, which the full detail has as well.
    while len(told) > 1 and note and width < _needed(start, told, note):
        told.pop()
    rest = "".join(f" · {fact}" for fact in told)
    return ink.ruled((*start, Span(rest)), right, width)


def _needed(start: Line, facts: list[str], note: str) -> int:
    return ink.width_of(start) + sum(len(fact) + 3 for fact in facts) + len(note) + 8


def alike(picture: JobPicture) -> str:
    """How many died of the same."""
    if picture.cause is None or picture.cause.dead < 2:
        return ""
    return f"{words.number(picture.cause.dead)} died like this · F lists causes"


def info(
    picture: JobPicture, width: int, height: int, now: datetime, *, look: str = ""
) -> list[Line]:
    """What stands above the output: all of it where there is room, else the command.

    `look` says in which way the output is shown.
    """
    job = picture.job
    if job is None:
        return [ink.line("   ", ink.quiet("it was deleted, or its time to be kept is over"))]
    facts = [*_facts(job, picture, width, now)]
    if height < ROOMY:
        command = ink.line(ink.quiet(" $ "), ink.cut(safe_text(job.command), width - 3))
        hint = picture.explained or picture.advice
        hints = [ink.line(ink.quiet(" > "), ink.cut(safe_text(hint), width - 3))] if hint else []
        return [command, *hints, *(facts if not picture.output and not hint else [])]
    lines = [*_labelled("command", _command(job, width - _LABEL - 1, max(height // 5, 1))), *facts]
    if picture.attempts:
        lines += attempt_lines(picture.attempts, picture.shown, width, max(height // 4, 2), now)
    if picture.events:
        lines += event_lines(picture.events, width, max(height // 6, 1), now)
    if job.runs:
        lines += [ink.BLANK, _output_title(picture, width, look)]
    return lines


def no_output(job: Job) -> Line:
    """What stands where output would."""
    if not job.runs:
        return ink.BLANK
    words_for_it = "no output yet" if job.state is JobState.PROCESSING else "no output"
    return ink.line("   ", ink.quiet(words_for_it))


def _command(job: Job, width: int, most: int) -> list[str]:
    parts = chop_cells(safe_text(job.command), max(width, 1)) or [""]
    return (
        parts
        if len(parts) <= most
        else [*parts[: most - 1], ink.cut(parts[most - 1] + " ~", width)]
    )


def _labelled(label: str, texts: Sequence[str]) -> list[Line]:
    labels = [label, *[""] * (len(texts) - 1)]
    return [
        ink.line(" ", ink.quiet(ink.fit(name, _LABEL)), text)
        for name, text in zip(labels, texts, strict=True)
    ]


def _facts(job: Job, picture: JobPicture, width: int, now: datetime) -> list[Line]:
    room = width - _LABEL - 1
    rows = [("queue", _lane(job, now)), ("policy", _policy(job, picture.context))]
    if job.on_dead or job.on_completed:
        told = {"on_dead": job.on_dead, "on_completed": job.on_completed}
        rows.append(("hooks", [f"{on} {safe_text(line)}" for on, line in told.items() if line]))
    if picture.context is not None and picture.context.secrets:
        rows.append(("secrets", [safe_text(", ".join(picture.context.secrets))]))
    if picture.advice:
        rows.insert(0, ("try", [safe_text(picture.advice)]))
    if picture.explained:
        rows.insert(0, ("waits", [safe_text(picture.explained)]))
    if job.reason:
        said = f": {words.last_words(picture.cause)}" if picture.cause else ""
        rows.insert(0, ("why", [safe_text(job.reason) + said]))
    if job.parked:
        rows.insert(0, ("stuck", [safe_text(job.parked)]))
    return [
        line
        for label, parts in rows
        for line in _labelled(label, [ink.cut(" · ".join(parts), room)])
    ]


def _lane(job: Job, now: datetime) -> list[str]:
    parts = [safe_text(job.queue), f"priority {job.priority}"]
    if job.key:
        parts.append(f"key {safe_text(job.key)}")
    if job.mutex:
        parts.append(f"mutex {safe_text(job.mutex)}")
    if job.labels:
        parts.append(f"labels {safe_text(', '.join(job.labels))}")
    by = f" by schedule {job.schedule_id}" if job.schedule_id else ""
    return [*parts, f"added {words.clock(job.created_at, now)}{by}"]


def _policy(job: Job, context: Context | None) -> list[str]:
    parts = [f"{words.number(job.max_retries)} retr{'y' if job.max_retries == 1 else 'ies'}"]
    if job.retry_on:
        parts.append(f"only of exit {exit_codes_text(job.retry_on)}")
    if job.no_retry_on:
        parts.append(f"not of exit {exit_codes_text(job.no_retry_on)}")
    parts.append(f"timeout {words.duration(job.timeout)}" if job.timeout else "no timeout")
    if context is not None:
        parts.append(f"in {safe_text(words.tilde(context.cwd))}")
        parts.append("no shell" if job.argv is not None else safe_text(context.shell))
    return parts


def _output_title(picture: JobPicture, width: int, look: str) -> Line:
    attempt = next((each for each in picture.attempts if each.number == picture.shown), None)
    parts = [f"output of attempt {picture.shown}"]
    if attempt is not None and attempt.output_bytes:
        parts.append(words.size(attempt.output_bytes))
    if attempt is not None and attempt.dropped_bytes:
        parts.append(f"{words.size(attempt.dropped_bytes)} in between not kept")
    if look:
        parts.append(look)
    keys = (ink.quiet(", . attempt  o stream  w wrap  t times "),)
    return ink.spread(ink.line(" ", ink.quiet(" · ".join(parts))), keys, width)
