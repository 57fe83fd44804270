"""`queuectl events`: what happened, as JSON Lines, now and from now on."""

from __future__ import annotations

import sys

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, json_option
from queuectl_engine.cli.session import Session


@click.command(cls=Command, context_settings=CONTEXT)
@click.option("-f", "--follow", is_flag=True, help="Wait for more, for ever.")
@click.option("--since", type=click.IntRange(min=0), metavar="N", help="Only what came after N.")
@click.option("--job", metavar="ID", help="Only what happened to this job.")
@json_option
@db_option
@click.pass_obj
def events(
    session: Session, follow: bool, since: int | None, job: str | None, as_json: bool
) -> None:
    """Print what happened to jobs: one JSON object a line, in the order in which it happened.

    What people did (added, edited, requeued, cancelled, deleted, undone), and each attempt's start
    and end. Every line has an id: --since ID goes on after it, and misses nothing. --follow without
    --since starts now. Deleted jobs take their events along; about half a million are kept.
    """
    del as_json  # it is JSON anyway
    with session.open(stays=follow) as engine:
        for happening in engine.journal(since=since, job=job, follow=follow):
            shapes.print_json_line(shapes.happening(happening))
            if follow:
                sys.stdout.flush()
