"""`queuectl requeue`, `cancel`, `delete`: what a person does to jobs; all of them or none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.many import do_many, selection_of
from queuectl_engine.cli.options import (
    cause_option,
    db_option,
    filter_option,
    jobs_argument,
    json_option,
    moment,
    yes_option,
)
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import note, say, with_offset
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.job import View
from queuectl_engine.plan import Act, Selection


@click.command(cls=Command, context_settings=CONTEXT)
@jobs_argument
@click.option("-a", "--all", "every", is_flag=True, help="Every dead job.")
@click.option(
    "--at", type=moment, metavar="WHEN", help="Not before: ISO 8601, +10m or 'tomorrow 09:00'."
)
@filter_option
@cause_option
@yes_option
@json_option
@db_option
@click.pass_obj
def requeue(
    session: Session,
    jobs: tuple[str, ...],
    every: bool,
    at: datetime | None,
    expression: str | None,
    cause: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Send jobs back to pending with fresh retries.

    Their history stays. Jobs that are dead, cancelled, completed or failed can be requeued; a
    filter means dead ones unless it says state:.
    """
    _one_choice(jobs, every, expression, cause)
    with session.open() as engine:
        if jobs:
            ids = _ids(engine, jobs)
            engine.requeue(*ids, run_at=at)
            _report(engine, ids, "requeued", as_json)
        else:
            meant = (
                Selection(view=View.DEAD) if every else selection_of(Act.REQUEUE, expression, cause)
            )
            do_many(engine, Act.REQUEUE, meant, yes=yes, as_json=as_json, run_at=at)
        if at is not None:
            note(f"runs at {with_offset(at)} or later")


@click.command(cls=Command, context_settings=CONTEXT)
@jobs_argument
@filter_option
@yes_option
@json_option
@db_option
@click.pass_obj
def cancel(
    session: Session,
    jobs: tuple[str, ...],
    expression: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Cancel jobs, waiting or running.

    Those that run are ended by their worker. A filter means waiting ones unless it says state:.
    """
    _one_choice(jobs, False, expression, None)
    with session.open() as engine:
        if not jobs:
            meant = selection_of(Act.CANCEL, expression, None)
            do_many(engine, Act.CANCEL, meant, yes=yes, as_json=as_json)
            return
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
@filter_option
@cause_option
@yes_option
@json_option
@db_option
@click.pass_obj
def delete(
    session: Session,
    jobs: tuple[str, ...],
    expression: str | None,
    cause: int | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete jobs with their history.

    One that runs must be cancelled first. A filter means dead ones unless it says state:.
    """
    _one_choice(jobs, False, expression, cause)
    with session.open() as engine:
        if not jobs:
            meant = selection_of(Act.DELETE, expression, cause)
            do_many(engine, Act.DELETE, meant, yes=yes, as_json=as_json)
            return
        ids = _ids(engine, jobs)
        engine.delete(*ids)
        if as_json:
            shapes.print_json({"deleted": ids})
        else:
            for job_id in ids:
                say(f"Job {job_id} deleted")


def _one_choice(
    jobs: Sequence[str], every: bool, expression: str | None, cause: int | None
) -> None:
    given = [bool(jobs), every, expression is not None, cause is not None].count(True)
    if given != 1:
        raise BadInput("which jobs? give their ids, or one option that chooses them")


def _ids(engine: Engine, jobs: Sequence[str]) -> list[int]:
    """The ids that are meant, each once. Raises NoSuchJob."""
    return list(dict.fromkeys(job.id for job in engine.get_all(jobs)))


def _report(engine: Engine, ids: Sequence[int], verb: str, as_json: bool) -> None:
    if as_json:
        shapes.print_json_array(shapes.job(job) for job in engine.find(ids).values())
        return
    for job_id in ids:
        say(f"Job {job_id} {verb}")
