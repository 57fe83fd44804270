"""`queuectl failures` and `explain`: why jobs are dead, and why one does not run."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, job_argument, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.tables import Column, print_table
from queuectl_engine.cli.terminal import note, say, when
from queuectl_engine.filter import parse_filter
from queuectl_engine.job import Cause

COLUMNS: Final = (
    Column("CAUSE", right=True),
    Column("DEAD", right=True),
    Column("LAST"),
    Column("FIRST"),
    Column("EXAMPLE", right=True),
    Column("PROGRAM"),
    Column("ENDED"),
    Column("WHY", last=True),
)


@click.command(cls=Command, context_settings=CONTEXT)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    metavar="N",
    help="At most N causes.",
)
@click.option(
    "--filter", "expression", metavar="EXPR", help="Only causes that match: words, exit:1."
)
@json_option
@db_option
@click.pass_obj
def failures(session: Session, limit: int, expression: str | None, as_json: bool) -> None:
    """List why jobs are dead: one line for all that died alike, newest first.

    WHY is the last line that they printed, with numbers, ids, paths, quoted text and times masked.
    'queuectl requeue --cause ID' sends all of them back.
    """
    wanted = parse_filter(expression or "", now=datetime.now().astimezone())
    with session.open() as engine:
        causes = engine.causes(limit, wanted)
    if as_json:
        shapes.print_json_array(shapes.cause(cause) for cause in causes)
    elif causes:
        print_table(COLUMNS, map(_row, causes))
    else:
        note("no cause matches" if wanted else "no job is dead")


@click.command(cls=Command, context_settings=CONTEXT)
@job_argument
@json_option
@db_option
@click.pass_obj
def explain(session: Session, job: str, as_json: bool) -> None:
    """Say in a sentence why a job does not run, or what it does.

    ID is an id or a key.
    """
    with session.open() as engine:
        found = engine.get(job)
        told = engine.explain(found.id)
    if as_json:
        shapes.print_json({"id": found.id, "state": found.state.value, "explanation": told})
    else:
        say(told)


def _row(cause: Cause) -> tuple[str, ...]:
    return (
        str(cause.id),
        str(cause.dead),
        when(cause.last_at),
        when(cause.first_at),
        str(cause.example),
        cause.program,
        cause.ended,
        cause.line or "(no output)",
    )
