"""`queuectl list`: a table of jobs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.many import matching, of_cause, parsed_filter
from queuectl_engine.cli.options import (
    STATES,
    cause_option,
    db_option,
    filter_option,
    json_option,
    label_option,
    queue_option,
)
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.tables import Column, print_table
from queuectl_engine.cli.terminal import counted, note, on_terminal, person_listens, when
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.filter import Filter
from queuectl_engine.job import Job, JobState
from queuectl_engine.new_job import check_queue, checked_labels

ON_TERMINAL: Final = 50  # rows, when nobody said how many
COLUMNS: Final = (
    Column("ID", right=True),
    Column("STATE"),
    Column("QUEUE"),
    Column("PRIO", right=True),
    Column("RUNS"),
    Column("WHEN"),
    Column("REASON"),
    Column("COMMAND", last=True),
)


@click.command("list", cls=Command, context_settings=CONTEXT)
@click.option("--state", type=STATES, help="Jobs in this state, instead of pending ones.")
@click.option("--dlq", is_flag=True, help="The dead-letter queue: the same as --state dead.")
@click.option("-a", "--all", "every", is_flag=True, help="Jobs in every state, by id.")
@queue_option(help="Jobs of this queue only.")
@label_option("Short for --filter label:TEXT.")
@filter_option
@cause_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help=f"At most N jobs; without it {ON_TERMINAL} in a table on a terminal, else all.",
)
@json_option
@db_option
@click.pass_obj
def list_jobs(
    session: Session,
    state: str | None,
    dlq: bool,
    every: bool,
    queue: str | None,
    labels: tuple[str, ...],
    expression: str | None,
    cause: int | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """List jobs: the pending ones, unless told otherwise.

    Pending jobs stand in the order in which they run, ended ones newest first. RUNS are those used
    since add or the last requeue, of those allowed. WHEN is when a job is due, began or ended. In
    a pipe, columns are separated by tabs and there is no header.
    """
    if bool(state) + dlq + every > 1:
        raise BadInput("--state, --dlq and --all exclude each other; give one of them")
    if queue is not None:
        check_queue(queue)
    if labels:
        expression = " ".join([expression or "", *map(_label_term, checked_labels(labels))])
    if cause is not None and (state or every or queue or expression):
        raise BadInput("--cause goes with no other choice of jobs")
    wanted = JobState.DEAD if dlq else None if every else JobState(state or JobState.PENDING)
    chosen = bool(state or dlq or every)
    limit = limit and min(limit, sys.maxsize - 1)
    with session.open() as engine:
        if cause is not None:
            jobs = of_cause(engine, cause)
        elif expression is not None:
            jobs = matching(engine, _filter(expression, queue, wanted if chosen else None))
        else:
            jobs = engine.jobs(wanted, queue=queue)
        if as_json:
            shapes.print_json_array(shapes.job(job) for job in islice(jobs, limit))
        else:
            asked_for = cause is not None or expression is not None
            none = "such jobs" if asked_for else f"{wanted} jobs" if wanted else "jobs"
            _table(jobs, limit, none)
        if wanted is JobState.PENDING and cause is None and expression is None:
            _note_retries(engine, queue)


def _label_term(label: str) -> str:
    return f'label:"{label}"'


def _filter(expression: str, queue: str | None, state: JobState | None) -> Filter:
    """The expression, and what the other options add to it."""
    more = [f"queue:{queue}"] if queue else []
    more += [f"state:{state}"] if state else []
    return parsed_filter(" ".join([expression, *more]))


def _table(jobs: Iterator[Job], limit: int | None, none: str) -> None:
    if not on_terminal():
        print_table(COLUMNS, map(_row, islice(jobs, limit)))
        return
    most = limit or ON_TERMINAL
    shown = list(islice(jobs, most + 1))
    if shown:
        print_table(COLUMNS, map(_row, shown[:most]))
    else:
        note(f"no {none} here")
    if len(shown) > most and limit is None:
        note(f"the first {most} are shown; --limit N shows more")


def _row(job: Job) -> tuple[str, ...]:
    return (
        str(job.id),
        job.state.value,
        job.queue,
        str(job.priority),
        f"{job.attempts}/{job.max_retries + 1}",
        when(_moment(job)),
        job.parked or job.waiting or job.reason or "",
        job.command,
    )


def _moment(job: Job) -> datetime | None:
    match job.state:
        case JobState.PENDING | JobState.FAILED:
            return job.run_at
        case JobState.PROCESSING:
            return job.started_at
        case JobState.COMPLETED | JobState.DEAD | JobState.CANCELLED:
            return job.finished_at


def _note_retries(engine: Engine, queue: str | None) -> None:
    if not person_listens():
        return
    waiting = sum(
        shapes.queue_counts(each)[JobState.FAILED.value]
        for each in engine.queues()
        if queue in (None, each.name)
    )
    if waiting:
        verb = "waits" if waiting == 1 else "wait"
        note(f"{counted(waiting, 'job')} {verb} for a retry; --state failed lists them")
