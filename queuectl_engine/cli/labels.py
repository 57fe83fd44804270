"""`queuectl labels`: which labels jobs have, and how many jobs have them."""

from __future__ import annotations

from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.tables import Column, print_table
from queuectl_engine.cli.terminal import note
from queuectl_engine.job import JobState, LabelInfo

_MOST: Final = 1_000
COLUMNS: Final = (
    *(Column(state.upper(), right=True) for state in JobState),
    Column("LABEL", last=True),
)


@click.command(cls=Command, context_settings=CONTEXT)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=_MOST,
    show_default=True,
    metavar="N",
    help="At most N labels.",
)
@json_option
@db_option
@click.pass_obj
def labels(session: Session, limit: int, as_json: bool) -> None:
    """List the labels and how many jobs have them.

    'queuectl list --label TEXT' lists those jobs; --filter label:TEXT acts on all of them.
    """
    with session.open() as engine:
        found = engine.labels(limit)
    if as_json:
        shapes.print_json_array(shapes.label(label) for label in found)
    elif found:
        print_table(COLUMNS, map(_row, found))
    else:
        note("no job has a label; 'queuectl add --label TEXT' gives one")


def _row(label: LabelInfo) -> tuple[str, ...]:
    counts = shapes.queue_counts(label)
    return (*(str(counts[state.value]) for state in JobState), label.name)
