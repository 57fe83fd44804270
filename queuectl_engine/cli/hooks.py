"""`queuectl hook`: what a pool runs when something happens in a queue."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.add import command_of
from queuectl_engine.cli.command import CONTEXT, Command, Group
from queuectl_engine.cli.dashes import AFTER_DASHES, AddCommand
from queuectl_engine.cli.options import db_option, duration, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.tables import Column, print_table
from queuectl_engine.cli.terminal import note, say
from queuectl_engine.errors import BadInput
from queuectl_engine.hook import DEFAULT_TIMEOUT, Hook, event_of

COLUMNS: Final = (
    Column("QUEUE"),
    Column("EVENT"),
    Column("TIMEOUT", right=True),
    Column("COMMAND", last=True),
)
_queue: Final = click.argument("queue", metavar="QUEUE")
_event: Final = click.argument("event", metavar="EVENT")


@click.group("hook", cls=Group, context_settings=CONTEXT, invoke_without_command=True)
@db_option
@click.pass_context
def hook_group(ctx: click.Context) -> None:
    """Commands that tell people what became of jobs; without a command it lists them.

    Events are on_dead and on_completed, of each job of a queue, and on_drained, when the last job
    of a queue has ended. Pools run them. For a single job: 'queuectl add --on-dead LINE'.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_hooks)


@hook_group.command("set", cls=AddCommand, context_settings=CONTEXT)
@click.argument(
    "words",
    metavar="QUEUE EVENT {LINE | -- PROGRAM [ARG]...}",
    nargs=-1,
    type=click.UNPROCESSED,
)
@click.option(
    "--timeout",
    type=duration,
    metavar="DURATION",
    default=f"{DEFAULT_TIMEOUT.total_seconds():g}",
    help="End it, and all that it started, after so long: 90, 30s, 10m.",
    show_default=True,
)
@json_option
@db_option
@click.pass_context
def set_hook(
    ctx: click.Context, /, words: tuple[str, ...], timeout: timedelta, as_json: bool
) -> None:
    """Run a command at an event of a queue, instead of what it ran so far.

    It runs here, with this environment as a job has it, and QUEUECTL_HOOK, QUEUECTL_QUEUE,
    QUEUECTL_DB; of a job also QUEUECTL_JOB_ID, _KEY, _STATE, _REASON, _EXIT_CODE, _SIGNAL, _ATTEMPT
    and _COMMAND. If a pool dies meanwhile it runs again.
    """
    session: Session = ctx.obj
    after = ctx.meta[AFTER_DASHES]
    if len(words) < 2 or (after is not None and len(words) - after < 2):
        raise BadInput("where and when? try: queuectl hook set default on_dead 'notify-send dead'")
    queue, event, *command = words
    found = event_of(event)
    with session.open() as engine:
        hook = engine.set_hook(
            queue,
            found,
            command_of(command, after, f"queuectl hook set QUEUE {found}"),
            timeout=timeout,
        )
    _report(hook, "set", as_json)


@hook_group.command("list", cls=Command, context_settings=CONTEXT)
@json_option
@db_option
@click.pass_obj
def list_hooks(session: Session, as_json: bool = False) -> None:
    """List the hooks of all queues."""
    with session.open() as engine:
        found = engine.hooks()
    if as_json:
        shapes.print_json_array(shapes.hook(each) for each in found)
    elif found:
        print_table(COLUMNS, map(_row, found))
    else:
        note("no hooks yet; try: queuectl hook set default on_dead 'notify-send dead'")


@hook_group.command("delete", cls=Command, context_settings=CONTEXT)
@_queue
@_event
@json_option
@db_option
@click.pass_obj
def delete_hook(session: Session, queue: str, event: str, as_json: bool) -> None:
    """Run nothing at this event any more."""
    found = event_of(event)
    with session.open() as engine:
        engine.delete_hook(queue, found)
    if as_json:
        shapes.print_json({"deleted": {"queue": queue, "event": found.value}})
    else:
        say(f"Hook {found} of queue {queue} deleted")


def _report(hook: Hook, done: str, as_json: bool) -> None:
    if as_json:
        shapes.print_json(shapes.hook(hook))
    else:
        say(f"Hook {hook.event} of queue {hook.queue} {done}")


def _row(hook: Hook) -> tuple[str, ...]:
    return (hook.queue, hook.event.value, f"{hook.timeout.total_seconds():g}s", hook.command)
