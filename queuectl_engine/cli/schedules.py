"""`queuectl schedule`: jobs that recur."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import click

from queuectl_engine import cron
from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.add import add, command_of, policy_of
from queuectl_engine.cli.command import CONTEXT, Command, Group
from queuectl_engine.cli.dashes import AFTER_DASHES, AddCommand
from queuectl_engine.cli.options import db_option, json_option, quiet_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.tables import Column, print_table
from queuectl_engine.cli.terminal import note, on_terminal, person_listens, say, when
from queuectl_engine.errors import BadInput
from queuectl_engine.new_job import Surroundings
from queuectl_engine.schedule import Missed, Schedule

COLUMNS: Final = (
    Column("ID", right=True),
    Column("NAME"),
    Column("WHEN"),
    Column("ZONE"),
    Column("NEXT"),
    Column("LAST"),
    Column("RESULT"),
    Column("COMMAND", last=True),
)
_SHOWN_TIMES: Final = 3
# Options of `add` that mean one job, or how it is told of; all others are a schedule's, too.
_OF_ONE_JOB: Final = frozenset(
    {
        "words",
        "key",
        "run_at",
        "file",
        "jsonl",
        "quiet",
        "as_json",
        "db",
        "allow_owner",
        "wait",
        "follow",
        "after_ok",
        "after_any",
        "after_fail",
        "as_object",
    }
)
_schedule: Final = click.argument("schedule", metavar="ID|NAME")


@click.group("schedule", cls=Group, context_settings=CONTEXT, invoke_without_command=True)
@db_option
@click.pass_context
def schedule_group(ctx: click.Context) -> None:
    """Jobs that recur, each time once; without a command it lists them.

    Pools add the jobs, so one must run. Times follow the rules of cron.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_schedules)


@schedule_group.command("add", cls=AddCommand, context_settings=CONTEXT)
@click.argument(
    "words", metavar="WHEN {LINE | -- PROGRAM [ARG]...}", nargs=-1, type=click.UNPROCESSED
)
@click.option("--tz", "zone", metavar="ZONE", help="Time zone, as Europe/Berlin; default: here.")
@click.option("--name", metavar="NAME", help="Unique name; the same again changes nothing.")
@click.option(
    "--missed",
    type=click.Choice([each.value for each in Missed]),
    default=Missed.RUN.value,
    show_default=True,
    help="Times without a pool: run once for all, or skip.",
)
@click.option("--overlap", is_flag=True, help="Also while the last job has not ended.")
@quiet_option
@json_option
@db_option
@click.pass_context
def add_schedule(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    zone: str | None,
    name: str | None,
    missed: str,
    overlap: bool,
    quiet: bool,
    as_json: bool,
    cwd: str | None,
    env: dict[str, str],
    secrets: tuple[str, ...],
    shell: str | None,
    **policy: Any,
) -> None:
    """Add a job again and again, and print the next times.

    WHEN is a quoted cron expression such as "0 3 * * *" or "*/5 8-18 * * mon-fri", or @hourly,
    @daily, @weekly, @monthly, @yearly. What follows is as in 'queuectl add'. A time is passed over
    while the last job has not ended.
    """
    session: Session = ctx.obj
    command = _command(words, ctx.meta[AFTER_DASHES])
    around = Surroundings(cwd=cwd, env=env, shell=shell, secrets=secrets)
    with session.open(quiet=quiet) as engine:
        job = engine.new_job(
            command, engine.context(**around), **policy_of(key=None, run_at=None, **policy)
        )
        found, created = engine.add_schedule(
            words[0], job, zone=zone, name=name, missed=missed, overlap=overlap
        )
        if as_json:
            shapes.print_json(shapes.schedule(found))
        elif quiet:
            say(str(found.id))
        else:
            say(f"Schedule {'added' if created else 'exists'} with ID: {found.id}")
            _say_next(found)
        if not quiet and person_listens() and not any(p.alive is not False for p in engine.pools()):
            note("no pool runs, and pools add its jobs; 'queuectl worker' starts one")


# Whatever a job can be told, each job of a schedule can be told.
add_schedule.params[1:1] = [each for each in add.params if each.name not in _OF_ONE_JOB]


@schedule_group.command("list", cls=Command, context_settings=CONTEXT)
@json_option
@db_option
@click.pass_obj
def list_schedules(session: Session, as_json: bool = False) -> None:
    """List the schedules: when they add a job next, and what came of the last time.

    A time of day is today's, and a local one; the local zone is not shown. In a pipe, columns are
    separated by tabs, there is no header, and nothing is left out.
    """
    with session.open() as engine:
        found = engine.schedules()
    if as_json:
        shapes.print_json_array(shapes.schedule(each) for each in found)
    elif found:
        print_table(COLUMNS, map(_row, found))
    else:
        note("no schedules yet; try: queuectl schedule add '0 3 * * *' 'make backup'")


@schedule_group.command("pause", cls=Command, context_settings=CONTEXT)
@_schedule
@json_option
@db_option
@click.pass_obj
def pause_schedule(session: Session, schedule: str, as_json: bool) -> None:
    """Add no more jobs. Times that pass meanwhile are not missed."""
    with session.open() as engine:
        _report(engine.pause_schedule(schedule), "paused", as_json)


@schedule_group.command("resume", cls=Command, context_settings=CONTEXT)
@_schedule
@json_option
@db_option
@click.pass_obj
def resume_schedule(session: Session, schedule: str, as_json: bool) -> None:
    """Go on with the next time from now on."""
    with session.open() as engine:
        found = engine.resume_schedule(schedule)
    _report(found, "resumed", as_json)
    if not as_json:
        _say_next(found)


@schedule_group.command("delete", cls=Command, context_settings=CONTEXT)
@_schedule
@json_option
@db_option
@click.pass_obj
def delete_schedule(session: Session, schedule: str, as_json: bool) -> None:
    """Forget a schedule. The jobs that it added stay."""
    with session.open() as engine:
        _report(engine.delete_schedule(schedule), "deleted", as_json)


@schedule_group.command("run-now", cls=Command, context_settings=CONTEXT)
@_schedule
@quiet_option
@json_option
@db_option
@click.pass_obj
def run_schedule(session: Session, schedule: str, quiet: bool, as_json: bool) -> None:
    """Add its job now, besides its times, also while it is paused."""
    with session.open(quiet=quiet) as engine:
        job = engine.run_schedule(schedule)
    if as_json:
        shapes.print_json(shapes.job(job))
    else:
        say(str(job.id) if quiet else f"Job enqueued with ID: {job.id}")


def last_of(schedule: Schedule) -> str:
    """What came of the last time, in words: `job 42 completed`, `skipped: job 42 is pending`."""
    if schedule.last_result is None:
        return ""
    if not schedule.last_result.startswith("added"):
        return schedule.last_result
    state = schedule.last_state
    became = state.value if state else "deleted"
    return f"job {schedule.last_job} {became}{schedule.last_result.removeprefix('added')}"


def _command(words: tuple[str, ...], after: int | None) -> str | tuple[str, ...]:
    if not words or after == len(words):
        raise BadInput("when? try: queuectl schedule add '0 3 * * *' 'make backup'")
    if after is None and len(words) > 2:
        raise BadInput(
            f"{len(words)} words; quote WHEN and the line, or put -- before the program:"
            " queuectl schedule add '0 3 * * *' -- PROGRAM ARG"
        )
    return command_of(words[1:], after, "queuectl schedule add '0 3 * * *'")


def _say_next(schedule: Schedule) -> None:
    if schedule.paused:
        say("  it is paused")
        return
    now = datetime.now(UTC)
    times = cron.next_times(schedule.expression, schedule.zone, now, _SHOWN_TIMES)
    for time in times:
        say(f"  {time.isoformat(sep=' ', timespec='minutes')}  {schedule.zone}")


def _report(schedule: Schedule, done: str, as_json: bool) -> None:
    if as_json:
        shapes.print_json(shapes.schedule(schedule))
    else:
        say(f"Schedule {schedule.title} {done}")


def _row(schedule: Schedule) -> tuple[str, ...]:
    upcoming = "paused" if schedule.paused else when(schedule.next_at) or "never"
    first = (str(schedule.id), schedule.name or "", schedule.expression)
    if on_terminal():  # where room is scarce, what goes without saying is left out
        zone = "" if schedule.zone == _here() else schedule.zone
        last = last_of(schedule).removesuffix(" by hand").replace("job ", "").replace(" is ", " ")
        return (*first, zone, upcoming, "", last, schedule.job.command)
    last = last_of(schedule)
    return (*first, schedule.zone, upcoming, when(schedule.last_at), last, schedule.job.command)


def _here() -> str:
    try:
        return cron.local_zone()
    except BadInput:  # it has no name
        return ""
