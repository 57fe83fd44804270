"""`queuectl metrics`: everything that monitoring wants, as OpenMetrics text."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import shown


@click.command(cls=Command, context_settings=CONTEXT)
@json_option
@db_option
@click.pass_obj
def metrics(session: Session, as_json: bool) -> None:
    """Print metrics as OpenMetrics text, as Prometheus and its kin read it.

    Jobs by queue and state, the oldest ready job's age, run and wait times, retries, rescues, late
    results, pools and workers. 'queuectl worker --metrics-listen' serves the same over HTTP.
    """
    with session.open(quiet=True) as engine:
        queues, found, pools = engine.queues(), engine.metrics(), engine.pools()
    now = datetime.now(UTC)
    if as_json:
        shapes.print_json_array(shapes.metrics(each, now) for each in found)
        return
    from queuectl_engine.exposition import openmetrics

    page = openmetrics(queues, found, pools, now).decode()
    sys.stdout.write("\n".join(map(shown, page.split("\n"))))  # names of queues are foreign
