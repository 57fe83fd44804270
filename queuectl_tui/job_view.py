"""A job as lines: what it is, how its attempts went, and what it prints. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich.cells import cell_len, chop_cells

from queuectl_engine import Attempt, Context, Job, JobState, Stream, safe_text
from queuectl_tui import ink, words
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.picture import JobPicture, Said

ROOMY: Final = 14  # lines from which on the facts and attempts have a place of their own
_LABEL: Final = 10
_STATE_INK: Final = {
    JobState.DEAD: Ink.BAD,
    JobState.FAILED: Ink.WARN,
    JobState.COMPLETED: Ink.GOOD,
    JobState.PROCESSING: Ink.TITLE,
}
_MARKS: Final = {
    Stream.OUT: ink.quiet("out │ "),
    Stream.ERR: Span("err │ ", Ink.WARN),
    None: ink.quiet("    · "),
}
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
    rest = "".join(f" · {fact}" for fact in facts if fact)
    state_ink = _STATE_INK.get(picture.job.state, Ink.STRONG)
    return ink.ruled((ink.quiet("── "), name, Span(state, state_ink), Span(rest)), right, width)


def info(picture: JobPicture, width: int, height: int, now: datetime) -> list[Line]:
    """What stands above the output: all of it where there is room, else the command."""
    job = picture.job
    if job is None:
        return [ink.line("   ", ink.quiet("it was deleted, or its time to be kept is over"))]
    facts = [*_facts(job, picture.context, width, now)]
    if height < ROOMY:
        command = ink.line(ink.quiet(" $ "), ink.cut(safe_text(job.command), width - 3))
        return [command, *(facts if not picture.output else [])]
    lines = [*_labelled("command", _command(job, width - _LABEL - 1, max(height // 5, 1))), *facts]
    if picture.attempts:
        lines += _attempts(picture.attempts, width, max(height // 4, 2), now)
    if job.runs:
        lines += [ink.BLANK, _output_title(job, picture)]
    return lines


def fold(output: Sequence[Said], width: int, *, wrap: bool) -> list[Said]:
    """Output as lines that fit: continued on further lines with `wrap`, else cut when drawn."""
    room = max(width - 7, 1)
    if not wrap:
        return list(output)
    folded: list[Said] = []
    for said in output:
        if cell_len(said.text) <= room:
            folded.append(said)
        else:
            folded += [Said(said.stream, part) for part in chop_cells(said.text, room)]
    return folded


def output_line(said: Said, width: int) -> Line:
    """A line of output with the mark of its stream."""
    mark = _MARKS[said.stream]
    text = ink.cut(said.text, width - 7)
    return ink.line(" ", mark, text if said.stream else ink.quiet(text))


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


def _facts(job: Job, context: Context | None, width: int, now: datetime) -> list[Line]:
    room = width - _LABEL - 1
    queue = [safe_text(job.queue), f"priority {job.priority}"]
    if job.key:
        queue.append(f"key {safe_text(job.key)}")
    queue.append(f"added {words.clock(job.created_at, now)}")
    policy = [f"{words.number(job.max_retries)} retr{'y' if job.max_retries == 1 else 'ies'}"]
    policy.append(f"timeout {words.duration(job.timeout)}" if job.timeout else "no timeout")
    if context is not None:
        policy.append(f"in {safe_text(words.tilde(context.cwd))}")
        policy.append("no shell" if job.argv is not None else safe_text(context.shell))
    rows = [("queue", queue), ("policy", policy)]
    if job.reason:
        rows.insert(0, ("why", [safe_text(job.reason)]))
    if job.parked:
        rows.insert(0, ("stuck", [safe_text(job.parked)]))
    return [
        line
        for label, parts in rows
        for line in _labelled(label, [ink.cut(" · ".join(parts), room)])
    ]


def _attempts(attempts: Sequence[Attempt], width: int, most: int, now: datetime) -> list[Line]:
    shown = attempts[-most:]
    titles = "".join(map(ink.cell, ("attempts", "started", "worker", "waited", "ran"), _WIDTHS))
    lines = [ink.line(" ", ink.quiet(ink.cut(titles + "result", width - 1)))]
    if len(shown) < len(attempts):
        earlier = words.number(len(attempts) - len(shown))
        lines.append(ink.line("   ", ink.quiet(f"… {earlier} earlier")))
    before = dict(zip((attempt.number for attempt in attempts[1:]), attempts, strict=False))
    return [*lines, *(_attempt(a, before.get(a.number), width, now) for a in shown)]


_WIDTHS: Final = (10, 13, 8, 8, 8)


def _attempt(attempt: Attempt, before: Attempt | None, width: int, now: datetime) -> Line:
    waited = ""
    if before is not None and before.ended_at is not None:
        waited = words.duration(attempt.started_at - before.ended_at)
    cells = (
        f"  {attempt.number}",
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
    return ink.cut_line(ink.line(" ", text, Span(result, result_ink)), width)


def _output_title(job: Job, picture: JobPicture) -> Line:
    attempt = picture.attempts[-1] if picture.attempts else None
    parts = [f"output of attempt {job.runs}"]
    if attempt is not None and attempt.output_bytes:
        parts.append(words.size(attempt.output_bytes))
    if attempt is not None and attempt.dropped_bytes:
        parts.append(f"{words.size(attempt.dropped_bytes)} in between not kept")
    return ink.line(" ", ink.quiet(" · ".join(parts)))
