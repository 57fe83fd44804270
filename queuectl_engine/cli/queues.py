"""`queuectl queues`, `pause`, `resume`: the lanes that jobs wait in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import complete_queues, db_option, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.tables import Column, print_table
from queuectl_engine.cli.terminal import counted, note, say
from queuectl_engine.estimate import Estimate, about
from queuectl_engine.job import JobState, QueueInfo

COLUMNS: Final = (
    Column("QUEUE"),
    Column("PAUSED"),
    *(Column(state.upper(), right=True) for state in JobState),
    Column("LIMIT", right=True),
    Column("EMPTY IN"),
)
_names: Final = click.argument(
    "names", metavar="[QUEUE]...", nargs=-1, shell_complete=complete_queues
)


@click.command(cls=Command, context_settings=CONTEXT)
@json_option
@db_option
@click.pass_obj
def queues(session: Session, as_json: bool) -> None:
    """List the queues and how many jobs they hold."""
    with session.open() as engine:
        found, estimate = engine.queues(), engine.estimate()
    if as_json:
        shapes.print_json_array(shapes.queue(queue, estimate) for queue in found)
    elif found:
        print_queues(found, estimate)
    else:
        note("no queues yet; the first job makes one")


@click.command(cls=Command, context_settings=CONTEXT)
@_names
@json_option
@db_option
@click.pass_obj
def pause(session: Session, names: tuple[str, ...], as_json: bool) -> None:
    """Start nothing more from these queues, or from all.

    Without a name every queue is paused, later ones too. Jobs stay in their place; those that run
    go on.
    """
    with session.open() as engine:
        _report(engine.pause(*names), names, "paused", as_json)


@click.command(cls=Command, context_settings=CONTEXT)
@_names
@json_option
@db_option
@click.pass_obj
def resume(session: Session, names: tuple[str, ...], as_json: bool) -> None:
    """Go on with these paused queues, or with all."""
    with session.open() as engine:
        _report(engine.resume(*names), names, "resumed", as_json)


@click.command(cls=Command, context_settings=CONTEXT)
@_names
@click.option(
    "--max-running",
    type=click.IntRange(min=0),
    metavar="N",
    required=True,
    help="Jobs that may run at a time; 0 takes the limit away.",
)
@json_option
@db_option
@click.pass_obj
def limit(session: Session, names: tuple[str, ...], max_running: int, as_json: bool) -> None:
    """Let at most N jobs of these queues run at a time.

    Each of the queues gets the limit; without a name it is that of all queues together. It holds
    over all pools. Jobs that run already go on.
    """
    most = max_running or None
    with session.open() as engine:
        engine.limit(most, *names)
    if as_json:
        shapes.print_json({"limited": list(names), "all": not names, "max_running": most})
        return
    what = "no limit" if most is None else f"at most {counted(most, 'job')} at a time"
    for who in [f"Queue {name}" for name in names] or ["All queues together"]:
        say(f"{who}: {what}")


def print_queues(found: Sequence[QueueInfo], estimate: Estimate) -> None:
    """Print the queues as a table."""
    print_table(COLUMNS, (_row(queue, estimate.queues.get(queue.name)) for queue in found))


def _row(queue: QueueInfo, empty_in: timedelta | None) -> tuple[str, ...]:
    counts = shapes.queue_counts(queue)
    numbers = (str(counts[state.value]) for state in JobState)
    most = "" if queue.max_running is None else str(queue.max_running)
    left = "" if empty_in is None else about(empty_in)
    return (queue.name, "paused" if queue.paused else "", *numbers, most, left)


def _report(done: Sequence[str], asked: Sequence[str], verb: str, as_json: bool) -> None:
    if as_json:
        shapes.print_json({verb: list(done), "all": not asked})
    elif asked:
        for name in asked:
            say(f"Queue {name} {verb}")
    else:
        say(f"All queues {verb}")
