"""What a person does to the queue: each deed is a function of an engine, run off the loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from queuectl_engine import (
    Act,
    BadInput,
    Done,
    Engine,
    Filter,
    JobState,
    Key,
    NoSuchPool,
    Plan,
    PoolInfo,
    Selection,
    Undo,
    View,
    WrongState,
    parse_filter,
    safe_text,
)
from queuectl_tui import asking, words
from queuectl_tui.hands import Deed
from queuectl_tui.table import MOST_MARKS, JobTable
from queuectl_tui.target import Target

# What an act may be about; the line of keys shows it where such a job is meant.
ABOUT: Final = {
    Act.REQUEUE: frozenset(
        {JobState.DEAD, JobState.CANCELLED, JobState.COMPLETED, JobState.FAILED}
    ),
    Act.CANCEL: frozenset({JobState.PENDING, JobState.FAILED, JobState.PROCESSING}),
    Act.DELETE: frozenset(JobState) - {JobState.PROCESSING},
}
EDITABLE: Final = frozenset({JobState.PENDING, JobState.FAILED, JobState.DEAD})


@dataclass(frozen=True, slots=True)
class Told:
    """A deed's result: what to say, the command line that does the same, the job to show.

    `gone` are jobs that exist no more. `undo` takes it back.
    """

    text: str
    command: str = ""
    job: int | None = None
    gone: frozenset[int] = frozenset()
    undo: Undo | None = None


def plan(act: Act, meant: Target, run_at: datetime | None = None) -> Deed[Plan]:
    """What would be done; nothing is."""

    def deed(engine: Engine) -> Plan:
        selection = _those_that_can(act, meant.selection)
        found = engine.plan(act, selection, run_at=run_at)
        if not found.counted and selection is meant.selection and meant.known is not None:
            # We have looked further than a question may take.
            found = replace(found, count=max(meant.known, found.count), counted=True)
        if not found.count:
            raise WrongState(f"no job here can be {asking.DONE[act]}")
        return found

    return deed


def carry_out(agreed: Plan, meant: Target, progress: Callable[[int], bool]) -> Deed[Told]:
    """Do what was planned; only jobs that have not moved since are touched."""
    stopped = False

    def go_on(count: int) -> bool:
        nonlocal stopped
        stopped = not progress(count)
        return not stopped

    def deed(engine: Engine) -> Told:
        done = engine.carry_out(agreed, progress=go_on)
        if not done.count and not stopped:
            raise WrongState(_none_left(engine, agreed, meant))
        text = asking.outcome(agreed, meant, done, stopped=stopped and done.count < agreed.count)
        return _told(agreed, meant, done, text)

    return deed


def at_once(act: Act, meant: Target, run_at: datetime | None = None) -> Deed[Told]:
    """Plan it and do it, without a question between."""

    def deed(engine: Engine) -> Told:
        return carry_out(plan(act, meant, run_at)(engine), meant, lambda done: True)(engine)

    return deed


def undo(last: Undo) -> Deed[Told]:
    """Take an act back where its jobs have not moved on."""

    def deed(engine: Engine) -> Told:
        count = engine.undo(last)
        left = len(last.jobs) - count
        rest = f" · {words.number(left)} moved on and stay" if left else ""
        only = last.jobs[0].id if len(last.jobs) == 1 else None
        return Told(f"{words.jobs(count)} taken back{rest}", job=only)

    return deed


def between(table: JobTable, one: tuple[int, Key], other: tuple[int, Key]) -> Deed[list[int]]:
    """The jobs of a table from one to the other, both included; at most as many as can be marked.

    Raises BadInput when there are more.
    """
    view, wanted, cause = table.view, table.searched, table.cause

    def deed(engine: Engine) -> list[int]:
        for (_, start), (end, _) in ((one, other), (other, one)):
            ids = _ids_from(engine, view, wanted, cause, start)
            if end in ids:
                return ids[: ids.index(end) + 1]
        raise BadInput(f"that are more than {words.number(MOST_MARKS)} jobs; * marks all of them")

    return deed


def set_paused(queue: str, *, paused: bool) -> Deed[Told]:
    """Start nothing more from a queue, or go on."""

    def deed(engine: Engine) -> Told:
        (engine.pause if paused else engine.resume)(queue)
        name, verb = safe_text(queue), "pause" if paused else "resume"
        return Told(f"queue {name} {verb}d", f"queuectl {verb} {name}")

    return deed


def scale(by: int, pool: str | None) -> Deed[Told]:
    """One worker more or less."""

    def deed(engine: Engine) -> Told:
        found = engine.scale(by=by, pool=pool)
        wanted = words.workers(found.wanted)
        return Told(f"pool {safe_text(found.name)}: {wanted} wanted", _scale_line(found))

    return deed


def start_pool() -> Deed[Told]:
    """Start a pool in the background."""

    def deed(engine: Engine) -> Told:
        pool = engine.start_pool()
        return Told(
            f"pool {safe_text(pool.name)} runs in the background", "queuectl worker --detach"
        )

    return deed


def more_workers(pool: str | None) -> Deed[Told]:
    """One worker more, or a first pool where there is none after all."""
    scaled, started = scale(1, pool), start_pool()

    def deed(engine: Engine) -> Told:
        try:
            return scaled(engine)
        except NoSuchPool:
            if engine.pools():
                raise
            return started(engine)

    return deed


def _those_that_can(act: Act, meant: Selection) -> Selection:
    """In the table of what waits, requeueing is for what waits for a retry."""
    if act is not Act.REQUEUE or meant.view is not View.PENDING:
        return meant
    text = f"{meant.filter or ''} state:failed".strip()
    return Selection(view=View.PENDING, filter=parse_filter(text, now=datetime.now().astimezone()))


def _told(agreed: Plan, meant: Target, done: Done, text: str) -> Told:
    command = agreed.command
    if len(meant.ids) > _SPELLED:
        command = " ".join(command.split(" ")[: _SPELLED + 2]) + " …"
    gone = frozenset(meant.ids) if agreed.act is Act.DELETE else frozenset[int]()
    shown = None if gone else meant.job
    return Told(text, command, job=shown, gone=gone, undo=done.undo)


def _none_left(engine: Engine, agreed: Plan, meant: Target) -> str:
    if meant.job is None:
        return f"none of the {words.jobs(agreed.count)} can be {asking.DONE[agreed.act]} any more"
    job = engine.get(meant.job)
    return f"job {job.id} is {job.state}; it cannot be {asking.DONE[agreed.act]}"


def _ids_from(
    engine: Engine, view: View, wanted: Filter, cause: int | None, start: Key
) -> list[int]:
    if not wanted:
        page = engine.page(view, limit=MOST_MARKS, at=start, cause=cause)
        return [job.id for job in page.jobs]
    ids: list[int] = []
    at: Key | None = start
    while at is not None and len(ids) < MOST_MARKS:
        found = engine.scan(view, wanted, limit=MOST_MARKS - len(ids), at=at)
        ids += [job.id for job in found.jobs]
        at = found.rest
    return ids


def _scale_line(pool: PoolInfo) -> str:
    return f"queuectl scale {pool.wanted} --pool {safe_text(pool.name)}"


_SPELLED: Final = 5  # ids that a command line names in the message line
