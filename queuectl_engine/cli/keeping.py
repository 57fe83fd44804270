"""`queuectl backup`, `restore`, `prune`, `retention`: the database as a thing to be kept."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.many import parsed_filter
from queuectl_engine.cli.options import db_option, duration, json_option
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import ask, can_ask, counted, note, say, size_text
from queuectl_engine.engine import Engine
from queuectl_engine.engine import restore as restore_database
from queuectl_engine.errors import BadInput, QueuectlError
from queuectl_engine.filter import Filter
from queuectl_engine.job import JobState
from queuectl_engine.keeping import Pruned, Restored
from queuectl_engine.times import duration_text

_ENDS: Final = (JobState.COMPLETED, JobState.CANCELLED, JobState.DEAD)
_OFF: Final = "off"


@click.command(cls=Command, context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE if it exists.")
@json_option
@db_option
@click.pass_obj
def backup(session: Session, file: Path, force: bool, as_json: bool) -> None:
    """Copy the database to FILE while it is in use.

    The copy is one moment of the database. It is checked, on disk and readable by you alone before
    it has its name, and it is a database that can be used as it is.
    """
    with session.open() as engine:
        made = engine.backup(file, force=force)
    if as_json:
        shapes.print_json(shapes.copied(made))
    else:
        jobs = counted(sum(made.jobs.values()), "job")
        say(f"Backed up {jobs} to {made.path} ({size_text(made.size)})")


@click.command(cls=Command, context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@db_option
@click.pass_obj
def restore(session: Session, file: Path, yes: bool, as_json: bool) -> None:
    """Let the database hold what the backup FILE holds.

    What it held before is kept in a file beside it. Jobs that ran when the backup was made are
    lost: they are retried, or dead where no retries are left. No pool may run meanwhile.
    """
    database = session.database()
    if not yes:
        _ask(
            f"replace all jobs of {database.location} by those of {file}?",
            "that replaces every job; add --yes to do it",
        )
    done = restore_database(database, file)
    if as_json:
        shapes.print_json(shapes.restored(done))
    else:
        _tell_restored(done, file)


@click.command(cls=Command, context_settings=CONTEXT)
@click.option(
    "--older-than",
    type=duration,
    metavar="AGE",
    required=True,
    help="Jobs that ended so long ago: 30d, 12h.",
)
@click.option(
    "-s",
    "--state",
    "states",
    type=click.Choice([state.value for state in _ENDS]),
    multiple=True,
    default=[JobState.COMPLETED.value],
    show_default=True,
    help="Jobs in this state; repeatable.",
)
@click.option(
    "--filter",
    "expression",
    metavar="EXPR",
    help="Only those that match, like queue:mail or label:ci.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@json_option
@db_option
@click.pass_obj
def prune(
    session: Session,
    older_than: timedelta,
    states: tuple[str, ...],
    expression: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove old jobs for good, with their history and output.

    Completed ones unless --state says others. Jobs that another job waits for stay. It cannot be
    undone; pools go on meanwhile, and the file becomes smaller.
    """
    meant = [JobState(state) for state in dict.fromkeys(states)]
    wanted = Filter() if expression is None else parsed_filter(expression)
    with session.open() as engine:
        if not (dry_run or yes):
            _ask_before_pruning(engine, older_than, meant, wanted)
        done = engine.prune(older_than, states=meant, wanted=wanted, dry_run=dry_run)
    if as_json:
        shapes.print_json(shapes.pruned(done, dry_run=dry_run))
    else:
        _tell_pruned(done, dry_run=dry_run)


@click.command(cls=Command, context_settings=CONTEXT)
@click.argument("age", metavar="[AGE|off]", required=False)
@json_option
@db_option
@click.pass_obj
def retention(session: Session, age: str | None, as_json: bool) -> None:
    """Let pools remove completed jobs older than AGE; without one, say how it is.

    It is a setting of the database, off at first. Only completed jobs go, never dead or cancelled
    ones, and none that another job waits for.
    """
    with session.open() as engine:
        if age is not None:
            engine.set_retention(None if age.lower() == _OFF else duration(age))
        keep = engine.retention()
    if as_json:
        shapes.print_json({"keep_completed": None if keep is None else keep.total_seconds()})
    elif keep is None:
        say("Completed jobs are kept until you prune or delete them")
    else:
        say(f"Completed jobs are kept for {duration_text(keep)}, then pools remove them")


def _ask(question: str, otherwise: str) -> None:
    """Go on only if a person says yes; raises BadInput that says `otherwise` where nobody can."""
    if not can_ask():
        raise BadInput(otherwise)
    if not ask(question):
        raise QueuectlError("nothing was changed, as you said")


def _ask_before_pruning(
    engine: Engine, older_than: timedelta, states: list[JobState], wanted: Filter
) -> None:
    """Ask a person; a script is told only where jobs would go that wait for a person."""
    if not can_ask():
        if JobState.DEAD in states:
            raise BadInput("dead jobs wait for a person; add --yes to prune them")
        return
    found = engine.prune(older_than, states=states, wanted=wanted, dry_run=True)
    if found.count and not ask(f"remove {counted(found.count, 'job')} for good?"):
        raise QueuectlError("nothing was removed, as you said")


def _tell_pruned(done: Pruned, *, dry_run: bool) -> None:
    by_state = ", ".join(f"{n} {state}" for state, n in done.jobs.items())
    what = f"{counted(done.count, 'job')}" + (f" ({by_state})" if len(done.jobs) > 1 else "")
    if dry_run:
        say(f"{what} would be removed, with {size_text(done.output)} of output")
    else:
        say(f"Removed {what}; {size_text(done.returned)} given back")
    if done.waited_for == 1:
        note("1 job stays, because another one waits for it")
    elif done.waited_for:
        note(f"{done.waited_for} jobs stay, because others wait for them")


def _tell_restored(done: Restored, file: Path) -> None:
    jobs = counted(sum(done.jobs.values()), "job")
    older = f", upgraded from format {done.upgraded_from}" if done.upgraded_from else ""
    say(f"Restored {done.path} from {file}: {jobs}{older}")
    if changes := _changes(done.before, done.jobs):
        say(f"Changed   {changes}")
    if done.lost:
        fates = ", ".join(f"job {job} is {state}" for job, state in list(done.lost.items())[:5])
        more = ", …" if len(done.lost) > 5 else ""
        say(f"Lost      {counted(len(done.lost), 'job')} that ran then: {fates}{more}")
    if done.kept:
        damaged = "" if done.kept_whole else " (damaged)"
        say(f"Before    {done.kept}{damaged}")


def _changes(before: Mapping[JobState, int] | None, now: Mapping[JobState, int]) -> str:
    if before is None:
        return ""
    return ", ".join(
        f"{state} {before.get(state, 0)} → {now.get(state, 0)}"
        for state in JobState
        if before.get(state, 0) != now.get(state, 0)
    )
