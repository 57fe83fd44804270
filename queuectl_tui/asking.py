"""The questions before acts, and what is said of them afterwards. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from queuectl_engine import Act, Done, Job, JobState, Plan, safe_text
from queuectl_tui import words
from queuectl_tui.target import Target

DONE: Final[Mapping[Act, str]] = {
    Act.REQUEUE: "requeued",
    Act.CANCEL: "cancelled",
    Act.DELETE: "deleted",
}
_DOING: Final[Mapping[Act, str]] = {
    Act.REQUEUE: "requeueing",
    Act.CANCEL: "cancelling",
    Act.DELETE: "deleting",
}


def question(plan: Plan, meant: Target, job: Job | None, now: datetime) -> str:
    """What is about to happen: to how many, what cannot be undone, and which are out of sight."""
    if meant.job is not None:
        return _about_one(plan, meant.job, job, now)
    kind = "dead" if meant.cause is not None else meant.view.value if meant.view else ""
    count = words.jobs(plan.count, kind)
    text = f"{plan.act} {count if plan.counted else f'at least {count}'}{_which(plan, meant)}"
    text += _when(plan, now) + "?"
    if not plan.undoable:
        text += " that cannot be undone;"
    if meant.hidden:
        text += f" {words.number(meant.hidden)} of them out of sight;"
    return text


def progress(plan: Plan, done: int) -> str:
    """How far it is."""
    total = words.number(plan.count) + ("" if plan.counted else "+")
    return f"{_DOING[plan.act]} {words.number(done)} of {total} · Esc stops"


def outcome(plan: Plan, meant: Target, done: Done, *, stopped: bool) -> str:
    """What was done, and whether it can be taken back."""
    if meant.job is not None and done.count:
        text = f"{meant.job} {DONE[plan.act]}"
    else:
        text = f"{words.number(done.count)} {DONE[plan.act]}"
    left = plan.count - done.count
    if stopped:
        text = f"stopped: {text}"
    elif plan.counted and left > 0:
        text += f" · {words.number(left)} left as {'it was' if left == 1 else 'they were'}"
    if done.running:
        text += f" · {words.number(len(done.running))} being ended"
    if done.undo is not None:
        text += " · u takes back" + (" those waiting" if plan.act is Act.REQUEUE else "")
    return text


def _about_one(plan: Plan, job_id: int, job: Job | None, now: datetime) -> str:
    runs = job is not None and job.state is JobState.PROCESSING and plan.act is Act.CANCEL
    command = f": {safe_text(job.command)}" if job is not None else ""
    return f"{'end' if runs else plan.act} {job_id}{_when(plan, now)}{command} ?"


def _which(plan: Plan, meant: Target) -> str:
    if meant.cause is not None:
        return f" that ended with '{words.cause_of(meant.cause)}'"
    wanted = plan.selection.filter
    return f" that match {safe_text(str(wanted))}" if wanted else ""


def _when(plan: Plan, now: datetime) -> str:
    return f" for {words.clock(plan.run_at, now)}" if plan.run_at is not None else ""
