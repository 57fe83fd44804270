"""`queuectl list`: a table of jobs."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import STATES, db_option, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.tables import Column, print_table
from queuectl_engine.cli.terminal import counted, note, on_terminal, person_listens, when
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.job import Job, JobState
from queuectl_engine.new_job import check_queue

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
@click.option("--all", "every", is_flag=True, help="Jobs in every state, by id.")
@click.option("--queue", metavar="NAME", help="Jobs of this queue only.")
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
    wanted = JobState.DEAD if dlq else None if every else JobState(state or JobState.PENDING)
    with session.open() as engine:
        if as_json:
            jobs = engine.jobs(wanted, queue=queue, limit=limit)
            shapes.print_json_array(shapes.job(job) for job in jobs)
        else:
            _table(engine, wanted, queue, limit)
        if wanted is JobState.PENDING:
            _note_retries(engine, queue)


def _table(engine: Engine, state: JobState | None, queue: str | None, limit: int | None) -> None:
    if not on_terminal():
        print_table(COLUMNS, map(_row, engine.jobs(state, queue=queue, limit=limit)))
        return
    most = limit or ON_TERMINAL
    jobs = list(islice(engine.jobs(state, queue=queue), most + 1))
    if jobs:
        print_table(COLUMNS, map(_row, jobs[:most]))
    else:
        note(f"no {state or 'jobs'}{' jobs' if state else ''} here")
    if len(jobs) > most and limit is None:
        note(f"the first {most} are shown; --limit N shows more")


def _row(job: Job) -> tuple[str, ...]:
    return (
        str(job.id),
        job.state.value,
        job.queue,
        str(job.priority),
        f"{job.attempts}/{job.max_retries + 1}",
        when(_moment(job)),
        job.parked or job.reason or "",
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
