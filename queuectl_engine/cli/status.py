"""`queuectl status`, also the bare command: everything at a glance."""

from __future__ import annotations

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.checking import Check, check, sentence, values
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, json_option
from queuectl_engine.cli.pools import print_pools
from queuectl_engine.cli.queues import print_queues
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import note, say
from queuectl_engine.errors import ExitCode
from queuectl_engine.estimate import about
from queuectl_engine.times import duration_text


@click.command(cls=Command, context_settings=CONTEXT)
@click.option(
    "--check",
    "checks",
    metavar="COND",
    multiple=True,
    type=check,
    help="Exit with 1 when this holds, like 'dead>0'; repeatable.",
)
@json_option
@db_option
@click.pass_obj
def status(session: Session, checks: tuple[Check, ...], as_json: bool) -> None:
    """Show the database, its counts, queues and pools.

    With --check one line says whether there is trouble, and the exit code is 0 or 1. A condition is
    NAME OP NUMBER: a state of jobs (also ready, scheduled), pools, workers or oldest_ready_age (of
    which 10m is a number, too); and one of > >= < <= = !=.
    """
    if checks:
        _check(session, checks, as_json)
        return
    with session.open(quiet=True) as engine:
        counts, queues, pools = engine.counts(), engine.queues(), engine.pools()
        estimate, keep = engine.estimate(pools), engine.retention()
        database, trouble = engine.database, engine.trouble()
    if as_json:
        shapes.print_json(shapes.status(database, counts, queues, pools, estimate, keep, trouble))
        return
    numbers = (f"{number} {state}" for state, number in counts.outward().items())
    say(f"Database  {database.location} ({database.why})")
    if trouble is not None:
        say(f"Trouble   {trouble}")
    say(f"Jobs      {', '.join(numbers)}")
    if estimate.total is not None:
        say(f"Empty in  {about(estimate.total)}")
    if counts.max_running is not None:
        say(f"Limit     {counts.max_running} running, over all queues")
    if keep is not None:
        say(f"Keeps     completed jobs for {duration_text(keep)}")
    if queues:
        say("")
        print_queues(queues, estimate)
    if pools:
        say("")
        print_pools(pools)
    else:
        note("no pool runs; 'queuectl worker' starts one")


def _check(session: Session, checks: tuple[Check, ...], as_json: bool) -> None:
    with session.open(quiet=True) as engine:
        found = values(engine)
    held = [each.holds(found[each.name]) for each in checks]
    if as_json:
        told = [
            {"check": each.text, "value": found[each.name], "holds": bad}
            for each, bad in zip(checks, held, strict=True)
        ]
        shapes.print_json({"ok": not any(held), "checks": told})
    else:
        say(sentence(checks, found))
    if any(held):
        raise click.exceptions.Exit(ExitCode.FAILED)
