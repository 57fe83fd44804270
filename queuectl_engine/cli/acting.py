"""`queuectl requeue`, `cancel`, `delete`: what a person does to jobs; all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, jobs_argument, json_option, moment
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import ask, can_ask, counted, note, say, with_offset
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput, QueuectlError
from queuectl_engine.job import JobState


@click.command(cls=Command, context_settings=CONTEXT)
@jobs_argument
@click.option("--all", "every", is_flag=True, help="Every dead job.")
@click.option(
    "--at", type=moment, metavar="WHEN", help="Not before: ISO 8601, +10m or 'tomorrow 09:00'."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask before --all.")
@json_option
@db_option
@click.pass_obj
def requeue(
    session: Session,
    jobs: tuple[str, ...],
    every: bool,
    at: datetime | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Send jobs back to pending with fresh retries.

    Their history stays. Jobs that are dead, cancelled, completed or failed can be requeued.
    """
    if every == bool(jobs):
        raise BadInput("which jobs? give their ids, or --all for every dead one")
    if every and at is not None:
        raise BadInput("--at goes with ids, not with --all")
    with session.open() as engine:
        if every:
            _requeue_all(engine, yes, as_json)
            return
        ids = _ids(engine, jobs)
        engine.requeue(*ids, run_at=at)
        _report(engine, ids, "requeued", as_json)
        if at is not None:
            note(f"runs at {with_offset(at)} or later")


@click.command(cls=Command, context_settings=CONTEXT)
@jobs_argument
@json_option
@db_option
@click.pass_obj
def cancel(session: Session, jobs: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs, waiting or running.

    Those that run are ended by their worker.
    """
    with session.open() as engine:
        ids = _ids(engine, jobs)
        running = set(engine.cancel(*ids))
        if as_json:
            _report(engine, ids, "cancelled", as_json)
            return
        owned = {w.job for pool in engine.pools() for w in pool.workers if w.alive}
        for job_id in ids:
            if job_id not in running:
                say(f"Job {job_id} cancelled")
            elif job_id in owned:
                say(f"Job {job_id} is being ended")
            else:
                say(f"Job {job_id} was left by a pool that died; the next pool will end it")


@click.command(cls=Command, context_settings=CONTEXT)
@jobs_argument
@json_option
@db_option
@click.pass_obj
def delete(session: Session, jobs: tuple[str, ...], as_json: bool) -> None:
    """Delete jobs with their history.

    One that runs must be cancelled first.
    """
    with session.open() as engine:
        ids = _ids(engine, jobs)
        engine.delete(*ids)
        if as_json:
            shapes.print_json({"deleted": ids})
        else:
            for job_id in ids:
                say(f"Job {job_id} deleted")


def _ids(engine: Engine, jobs: Sequence[str]) -> list[int]:
    """The ids that are meant, each once. Raises NoSuchJob."""
    if not jobs:
        raise BadInput("which jobs? give their ids or keys")
    return list(dict.fromkeys(job.id for job in engine.get_all(jobs)))


def _report(engine: Engine, ids: Sequence[int], verb: str, as_json: bool) -> None:
    if as_json:
        shapes.print_json_array(shapes.job(job) for job in engine.find(ids).values())
        return
    for job_id in ids:
        say(f"Job {job_id} {verb}")


def _requeue_all(engine: Engine, yes: bool, as_json: bool) -> None:
    dead = engine.counts().of(JobState.DEAD)
    if dead and not yes:
        if not can_ask():
            raise BadInput(f"--all means {counted(dead, 'dead job')}; add --yes to requeue them")
        if not ask(f"requeue {counted(dead, 'dead job')}?"):
            raise QueuectlError("nothing was requeued, as you said")
    done = engine.requeue_dead()
    if as_json:
        shapes.print_json({"requeued": done})
    else:
        say(f"{counted(done, 'job')} requeued")
