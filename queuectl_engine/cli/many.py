"""Choosing many jobs, by cause or filter, and doing one thing to all of them after a question."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.terminal import ask, can_ask, counted, note, say
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput, QueuectlError
from queuectl_engine.filter import Filter, parse_filter
from queuectl_engine.job import Job, View
from queuectl_engine.plan import Act, Plan, Selection, view_of

_PAGE: Final = 1_000
_DEFAULT_VIEW: Final = {Act.REQUEUE: View.DEAD, Act.CANCEL: View.PENDING, Act.DELETE: View.DEAD}
_DONE: Final = {Act.REQUEUE: "requeued", Act.CANCEL: "cancelled", Act.DELETE: "deleted"}


def parsed_filter(expression: str) -> Filter:
    """What a person typed. Raises BadInput, also for an expression that says nothing."""
    wanted = parse_filter(expression, now=datetime.now().astimezone())
    if not wanted:
        raise BadInput("--filter is empty; try a word of the command, or queue:NAME")
    return wanted


def selection_of(act: Act, expression: str | None, cause: int | None) -> Selection:
    """The jobs that `--filter` or `--cause` mean; a filter without state: means the usual ones."""
    if cause is not None and expression is not None:
        raise BadInput("--filter and --cause exclude each other; give one of them")
    if cause is not None:
        return Selection(cause=cause)
    assert expression is not None
    wanted = parsed_filter(expression)
    return Selection(view=view_of(wanted, _DEFAULT_VIEW[act]), filter=wanted)


def do_many(
    engine: Engine,
    act: Act,
    selection: Selection,
    *,
    yes: bool,
    as_json: bool,
    run_at: datetime | None = None,
) -> None:
    """Ask, unless told not to, and act on all that are meant. Raises BadInput if none can ask."""
    plan = engine.plan(act, selection, run_at=run_at)
    if plan.count and not yes:
        _ask_first(plan)
    done = engine.carry_out(plan)
    if as_json:
        shapes.print_json({_DONE[act]: done.count})
    else:
        say(f"{counted(done.count, 'job')} {_DONE[act]}")
    if done.running:
        note(f"{counted(len(done.running), 'job')} of them run and are being ended")


def matching(engine: Engine, wanted: Filter) -> Iterator[Job]:
    """Every job that matches, read in slices as you go."""
    view, at = view_of(wanted, View.ALL), None
    while True:
        found = engine.scan(view, wanted, limit=_PAGE, at=at)
        yield from found.jobs
        if (at := found.rest) is None:
            return


def of_cause(engine: Engine, cause: int) -> Iterator[Job]:
    """Every job that is dead of a cause, newest first. Raises NoSuchCause."""
    engine.cause(cause)
    page = engine.page(View.DEAD, limit=_PAGE, cause=cause)
    yield from page.jobs
    while len(page.jobs) == _PAGE:
        last = page.keys[-1]
        page = engine.page(View.DEAD, limit=_PAGE, at=last, cause=cause)
        yield from page.jobs[int(page.keys[:1] == (last,)) :]  # `at` is inclusive


def _ask_first(plan: Plan) -> None:
    dead = plan.selection.cause is not None or plan.selection.view is View.DEAD
    noun = "dead job" if dead else "job"
    jobs = counted(plan.count, noun) if plan.counted else f"more than {plan.count} {noun}s"
    if not can_ask():
        raise BadInput(f"that means {jobs}; add --yes to {plan.act} them")
    if not ask(f"{plan.act} {jobs}?"):
        raise QueuectlError(f"nothing was {_DONE[plan.act]}, as you said")
