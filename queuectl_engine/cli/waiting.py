"""`queuectl wait`: block until jobs have ended, and answer with how."""

from __future__ import annotations

from datetime import timedelta

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, duration, jobs_argument, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import counted, say
from queuectl_engine.errors import BadInput, JobFailed, QueuectlError
from queuectl_engine.job import Job, JobState
from queuectl_engine.lifecycle import FINAL


@click.command(cls=Command, context_settings=CONTEXT)
@jobs_argument
@click.option(
    "--timeout", type=duration, metavar="DURATION", help="Give up after so long: 90, 30s, 10m."
)
@json_option
@db_option
@click.pass_obj
def wait(session: Session, jobs: tuple[str, ...], timeout: timedelta | None, as_json: bool) -> None:
    """Wait until jobs have ended, and print how.

    Exits with 0 when all completed, 4 when one is dead or cancelled, 1 at the timeout.
    """
    if not jobs:
        raise BadInput("no job to wait for; give its id or key")
    with session.open() as engine:
        seconds = None if timeout is None else timeout.total_seconds()
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
        job = failed[0]
        why = f" ({job.reason})" if job.reason and job.state is JobState.DEAD else ""
        more = f", and {counted(len(failed) - 1, 'other job')} failed" if failed[1:] else ""
        raise JobFailed(f"job {job.id} is {job.state}{why}{more}; 'queuectl show {job.id}' tells")
    unfinished = [job for job in jobs if job.stored not in FINAL]
    if unfinished:
        job = unfinished[0]
        more = f", and so are {len(unfinished) - 1} more" if unfinished[1:] else ""
        raise QueuectlError(f"timed out: job {job.id} is still {job.state}{more}; wait again")
