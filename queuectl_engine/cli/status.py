"""`queuectl status`, also the bare command: everything at a glance."""

from __future__ import annotations

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, json_option
from queuectl_engine.cli.pools import print_pools
from queuectl_engine.cli.queues import print_queues
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import note, say


@click.command(cls=Command, context_settings=CONTEXT)
@json_option
@db_option
@click.pass_obj
def status(session: Session, as_json: bool) -> None:
    """Show the database, its counts, queues and pools."""
    with session.open(quiet=True) as engine:
        counts, queues, pools = engine.counts(), engine.queues(), engine.pools()
        database = engine.database
    if as_json:
        shapes.print_json(shapes.status(database, counts, queues, pools))
        return
    numbers = (f"{number} {state}" for state, number in counts.outward().items())
    say(f"Database  {database.location} ({database.why})")
    say(f"Jobs      {', '.join(numbers)}")
    if counts.max_running is not None:
        say(f"Limit     {counts.max_running} running, over all queues")
    if queues:
        say("")
        print_queues(queues)
    if pools:
        say("")
        print_pools(pools)
    else:
        note("no pool runs; 'queuectl worker' starts one")
