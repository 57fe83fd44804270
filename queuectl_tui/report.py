"""What is copied: an id, a command, or a report on a failure that someone else can read. Pure."""

from __future__ import annotations

from typing import Final

from queuectl_engine import safe_text
from queuectl_tui import words
from queuectl_tui.picture import JobPicture

MOST: Final = 64 * 1024  # bytes that terminals and multiplexers take by OSC 52
_LINES: Final = 60  # of output


def clip(text: str) -> tuple[str, str]:
    """What fits into the clipboard, and how to say how much that is."""
    data = text.encode("utf-8", "replace")
    if len(data) <= MOST:
        return text, words.size(len(data))
    kept = data[:MOST].decode("utf-8", "ignore")
    return kept, f"the first {words.size(MOST)} of {words.size(len(data))}"


def failure_report(picture: JobPicture) -> str:
    """A job, why it ended, its attempts and the end of its output, as plain text."""
    job = picture.job
    if job is None:
        return f"job {picture.id} is gone\n"
    lines = [
        f"job {job.id}: {job.state}, attempt {job.attempts} of {job.max_retries + 1}",
        f"queue:   {safe_text(job.queue)}" + (f", key {safe_text(job.key)}" if job.key else ""),
        f"command: {safe_text(job.command)}",
    ]
    if picture.context is not None:
        lines.append(f"in:      {safe_text(picture.context.cwd)}")
    if job.reason:
        lines.append(f"reason:  {safe_text(job.reason)}")
    if picture.cause is not None:
        lines.append(f"cause:   {words.cause_of(picture.cause)} ({picture.cause.dead} dead)")
    if picture.advice:
        lines.append(f"try:     {safe_text(picture.advice)}")
    lines += ["", "attempts:"]
    for attempt in picture.attempts[-10:]:
        began = attempt.started_at.isoformat(timespec="seconds")
        ran = words.duration(attempt.ran) or "still runs"
        result = safe_text(attempt.reason or attempt.result or "running")
        lines.append(f"  {attempt.number}  {began}  {safe_text(attempt.worker)}  {ran}  {result}")
    lines += ["", f"end of the output of attempt {picture.shown}:"]
    names = {"o": "out", "e": "err"}
    lines += [
        f"  {names[said.stream] if said.stream else '   '} | {said.text}"
        for said in picture.output[-_LINES:]
    ]
    return "\n".join(lines) + "\n"
