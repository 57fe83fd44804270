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
from queuectl_engine.cli.terminal import note, say
from queuectl_engine.estimate import Estimate, about
from queuectl_engine.job import JobState, QueueInfo

COLUMNS: Final = (
    Column("QUEUE"),
    Column("PAUSED"),
    *(Column(state.upper(), right=True) for state in JobState),
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


def print_queues(found: Sequence[QueueInfo], estimate: Estimate) -> None:
    """Print the queues as a table."""
    print_table(COLUMNS, (_row(queue, estimate.queues.get(queue.name)) for queue in found))


def _row(queue: QueueInfo, empty_in: timedelta | None) -> tuple[str, ...]:
    counts = shapes.queue_counts(queue)
    numbers = (str(counts[state.value]) for state in JobState)
    left = "" if empty_in is None else about(empty_in)
    return (queue.name, "paused" if queue.paused else "", *numbers, left)


def _report(done: Sequence[str], asked: Sequence[str], verb: str, as_json: bool) -> None:
    if as_json:
        shapes.print_json({verb: list(done), "all": not asked})
    elif asked:
        for name in asked:
            say(f"Queue {name} {verb}")
    else:
        say(f"All queues {verb}")
