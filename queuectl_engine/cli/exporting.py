"""`queuectl export`: jobs as JSON Lines, for `import` into another database."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.arrivals import origin_of
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.many import matching, parsed_filter
from queuectl_engine.cli.options import STATES, db_option, filter_option, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.job import Job, JobState

_CONTEXTS: Final = 256  # kept at a time


@click.command("export", cls=Command, context_settings=CONTEXT)
@click.option("--state", type=STATES, help="Only jobs in this state, instead of all.")
@filter_option
@json_option
@db_option
@click.pass_obj
def export_jobs(session: Session, state: str | None, expression: str | None, as_json: bool) -> None:
    """Print jobs as JSON Lines, one object a line, for 'queuectl import'.

    Each line holds all that is needed to run the job elsewhere: also the values that --env set,
    which may be secret. History and output stay here. Jobs are read as they are printed, so a
    million of them need no memory; what changes meanwhile may be seen before or after.
    """
    del as_json  # it is JSON anyway
    if state and expression:
        raise BadInput("--state and --filter exclude each other; put state:NAME into the filter")
    with session.open() as engine:
        found: Iterable[Job]
        if expression:
            found = matching(engine, parsed_filter(expression))
        else:
            found = engine.jobs(JobState(state) if state else None)
        _print(engine, found)


def _print(engine: Engine, jobs: Iterable[Job]) -> None:
    database = engine.identity()
    read = lru_cache(_CONTEXTS)(engine.context_of_id)
    for job in jobs:
        origin = origin_of(database, job.id, job.created_at)
        shapes.print_json_line(shapes.exported(job, read(job.context_id), origin))
