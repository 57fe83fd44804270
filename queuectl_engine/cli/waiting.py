"""`queuectl wait`: block until jobs have ended, or a queue is empty, and answer with how."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.following import failure, going_on, how_it_failed, note_stuck
from queuectl_engine.cli.options import (
    db_option,
    duration,
    jobs_argument,
    json_option,
    queue_option,
)
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import counted, note, say
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput, JobFailed, QueuectlError
from queuectl_engine.job import Job, JobState
from queuectl_engine.lifecycle import FINAL
from queuectl_engine.new_job import check_queue


@click.command(cls=Command, context_settings=CONTEXT)
@jobs_argument
@click.option("-a", "--all", "every", is_flag=True, help="Until no job waits, retries or runs.")
@queue_option(help="Like --all, for one queue.")
@click.option(
    "--timeout", type=duration, metavar="DURATION", help="Give up after so long: 90, 30s, 10m."
)
@json_option
@db_option
@click.pass_obj
def wait(
    session: Session,
    jobs: tuple[str, ...],
    every: bool,
    queue: str | None,
    timeout: timedelta | None,
    as_json: bool,
) -> None:
    """Wait until jobs have ended, and print how.

    Exits with 0 when all completed, 4 when one is dead or cancelled, 1 at the timeout. --all and
    --queue wait for jobs that are added meanwhile, too, and exit with 4 when a job died meanwhile.
    """
    if (every or queue is not None) == bool(jobs):
        raise BadInput("say what to wait for: ids or keys, or --all, or --queue NAME")
    seconds = None if timeout is None else timeout.total_seconds()
    since = datetime.now(UTC) - timedelta(milliseconds=1)  # moments are stored so
    with session.open(stays=True) as engine:
        if jobs:
            _wait_for(engine, jobs, seconds, as_json)
        else:
            _wait_until_empty(engine, queue, since, seconds, as_json)


def _wait_for(engine: Engine, jobs: tuple[str, ...], seconds: float | None, as_json: bool) -> None:
    ids = [job.id for job in engine.get_all(jobs)]
    note_stuck(engine, ids)
    with going_on(ids):
        ended = engine.wait(*jobs, timeout=seconds)
    if as_json:
        shapes.print_json_array(shapes.job(job) for job in ended)
    else:
        for job in ended:
            say(f"Job {job.id} {job.state}")
    _judge(ended)


def _judge(jobs: list[Job]) -> None:
    failed = [job for job in jobs if job.state in (JobState.DEAD, JobState.CANCELLED)]
    if failed:
        raise failure(failed[0], len(failed))
    unfinished = [job for job in jobs if job.stored not in FINAL]
    if unfinished:
        job = unfinished[0]
        more = f", and so are {len(unfinished) - 1} more" if unfinished[1:] else ""
        raise QueuectlError(f"timed out: job {job.id} is still {job.state}{more}; wait again")


def _wait_until_empty(
    engine: Engine, queue: str | None, since: datetime, seconds: float | None, as_json: bool
) -> None:
    if queue is not None:
        check_queue(queue)
        if queue not in {each.name for each in engine.queues()}:
            raise BadInput(f"no queue {queue}; 'queuectl queues' lists them")
    _note_what_hinders(engine, queue)
    empty = engine.wait_until_empty(queue, timeout=seconds)
    died = list(_died_since(engine, queue, since))
    where = "every queue" if queue is None else f"queue {queue}"
    if as_json:
        shapes.print_json({"queue": queue, "empty": empty, "died": [job.id for job in died]})
    elif empty:
        say(f"{where[0].upper()}{where[1:]} is empty")
    if not empty:
        raise QueuectlError(
            f"timed out: {where} is not empty; 'queuectl status' shows what is left"
        )
    if died:
        also = f", and {counted(len(died) - 1, 'other job')} died meanwhile" if died[1:] else ""
        raise JobFailed(how_it_failed(died[-1], also))


def _died_since(engine: Engine, queue: str | None, since: datetime) -> Iterator[Job]:
    """The jobs that are dead and died after that moment, newest first; no others are read."""
    dead = takewhile(
        lambda job: job.finished_at is not None and job.finished_at >= since,
        engine.jobs(JobState.DEAD),
    )
    return (job for job in dead if queue in (None, job.queue))


def _note_what_hinders(engine: Engine, queue: str | None) -> None:
    for each in engine.queues():
        if each.paused and queue in (None, each.name):
            note(f"queue {each.name} is paused; 'queuectl resume {each.name}' goes on")
    if not any(pool.alive is not False for pool in engine.pools()):
        note("no pool runs; 'queuectl worker' starts one")
