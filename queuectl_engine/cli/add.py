"""`queuectl add`: one job from the command line, or one a line from a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from queuectl_engine.cli.command import CONTEXT, option
from queuectl_engine.cli.dashes import AFTER_DASHES, AddCommand
from queuectl_engine.cli.following import (
    follow_and_exit,
    going_on,
    leave,
    note_stuck,
    wait_for_many,
)
from queuectl_engine.cli.options import (
    after_options,
    db_option,
    duration,
    json_option,
    label_option,
    moment,
    names_nothing,
    no_retry_on_option,
    queue_option,
    quiet_option,
    retry_on_option,
)
from queuectl_engine.cli.terminal import deliver, note, person_listens, say, with_offset
from queuectl_engine.errors import BadInput, StorageError, StoredUnconfirmed
from queuectl_engine.intake import DEFAULT_QUEUE, DEFAULT_RETRIES, Added, NewJob
from queuectl_engine.new_job import Policy, Surroundings

if TYPE_CHECKING:
    from queuectl_engine.cli.session import Session
    from queuectl_engine.engine import Engine
    from queuectl_engine.job import Job


def _read_env(
    _ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    env = {}
    for given in values:
        name, equals, value = given.partition("=")
        if not equals and name not in os.environ:
            raise BadInput(f"--env {name}: it is not set here; give --env {name}=VALUE")
        env[name] = value if equals else os.environ[name]
    return env


@click.command(cls=AddCommand, context_settings=CONTEXT)
@click.argument("words", metavar="LINE | -- PROGRAM [ARG]...", nargs=-1, type=click.UNPROCESSED)
@option(
    "--max-retries",
    also=("--retries",),
    type=click.IntRange(min=0),
    metavar="N",
    default=DEFAULT_RETRIES,
    show_default=True,
    help="Runs after the first one that fails.",
)
@option(
    "-o",
    "--priority",
    type=int,
    metavar="N",
    default=0,
    show_default=True,
    help="Higher runs earlier.",
)
@option(
    "-d",
    "--run-at",
    also=("--delay",),
    type=moment,
    metavar="WHEN",
    help="Not before: ISO 8601, +10m or 'tomorrow 09:00'.",
)
@queue_option(help="Lane to wait in.", default=DEFAULT_QUEUE, show_default=True)
@option(
    "--timeout",
    type=duration,
    metavar="DURATION",
    help="End a run that takes longer: 90, 30s, 10m.",
)
@option("--key", metavar="KEY", help="Unique name; adding it again changes nothing.")
@option(
    "-w",
    "--cwd",
    also=("--working-directory",),
    metavar="DIR",
    help="Directory to run in, instead of this one.",
)
@option(
    "--env",
    metavar="NAME[=VALUE]",
    multiple=True,
    callback=_read_env,
    help="Variable to set; without a value, as it is here.",
)
@option(
    "--secret",
    "secrets",
    metavar="NAME",
    multiple=True,
    help="Variable from 'queuectl secret', read at the start.",
)
@option("--shell", metavar="PATH", help="Shell that runs LINE in any case, instead of /bin/sh.")
@option("--allow-background", is_flag=True, help="Spare what the job leaves running.")
@option("--log-file", metavar="PATH", help="File that gets all its output, appended.")
@label_option("Label to find it by; repeatable.")
@retry_on_option
@no_retry_on_option
@option("--on-dead", metavar="LINE", help="What a pool runs when it is dead.")
@option("--on-completed", metavar="LINE", help="What a pool runs when it has completed.")
@after_options
@option("--mutex", metavar="NAME", help="Never run two jobs of this name at a time.")
@option("-f", "--file", metavar="FILE", help="Add a job for each line; - reads stdin.")
@option("--jsonl", is_flag=True, help="Lines of FILE are JSON objects (as in *.jsonl).")
@option("--object", "as_object", is_flag=True, hidden=True)  # what `enqueue` stands for
@option("--wait", is_flag=True, help="Return when the job has ended, with its exit code.")
@option("--follow", is_flag=True, help="Like --wait, and print its output as it comes.")
@quiet_option
@json_option
@db_option
@click.pass_context
def add(
    ctx: click.Context,
    /,
    words: tuple[str, ...],
    file: str | None,
    jsonl: bool,
    quiet: bool,
    as_json: bool,
    cwd: str | None,
    env: dict[str, str],
    secrets: tuple[str, ...],
    shell: str | None,
    as_object: bool,
    wait: bool,
    follow: bool,
    **policy: Any,
) -> None:
    """Queue a job and print its id.

    LINE is one quoted word for the shell. After -- a program and its arguments are run exactly
    as given, without a shell. With --file, empty lines are skipped and the other options are the
    defaults of every job.

    A job that waits for others is pending until all of them have ended as they must. One that is
    cancelled or deleted counts as ended, but not as completed or dead.

    With --wait or --follow the exit code is that of the job's last run: 128 + N for signal N, 124
    for a timeout, 4 for a job that ended without one (cancelled, or lost with its worker). With
    --file it is 4 when any job failed. Ctrl+C leaves the job running.
    """
    session: Session = ctx.obj
    asked = policy_of(**policy)
    around = Surroundings(cwd=cwd, env=env, shell=shell, secrets=secrets)
    _note_missing(secrets)
    if file is None:
        if jsonl:
            raise BadInput("--jsonl says how to read --file, which is missing")
        command = command_of(words, ctx.meta[AFTER_DASHES])
        make = _maker(command, asked, around, as_object)
        if follow:
            _refuse_with_follow(as_json)
            _add_and_follow(session, make, asked, quiet)
        else:
            _add_one(session, make, asked, quiet, as_json, wait)
    else:
        _refuse_with_file(words, asked, follow)
        _add_file(session, file, jsonl, asked, around, quiet, as_json, wait)


def _maker(
    command: str | tuple[str, ...], policy: Policy, around: Surroundings, as_object: bool
) -> Callable[[Engine], NewJob]:
    """What makes the job once the database is open."""
    if as_object and isinstance(command, str) and command.lstrip().startswith("{"):
        from queuectl_engine.cli.jsonl import ObjectReader, with_key_for_id

        line = with_key_for_id(command)
        if line is not None:
            return lambda engine: ObjectReader(engine, policy, around).job(line)
    return lambda engine: engine.new_job(command, engine.context(**around), **policy)


def _add_one(
    session: Session,
    make: Callable[[Engine], NewJob],
    policy: Policy,
    quiet: bool,
    as_json: bool,
    wait: bool,
) -> None:
    with session.open(quiet=quiet) as engine:
        added = engine.add_many([make(engine)])[0]
        if not as_json:
            say(str(added.id) if quiet else _sentence(added))
            deliver()
        with going_on([added.id]):
            if not quiet:
                with suppress(StorageError):  # the job is stored, whatever else cannot be told
                    note_stuck(engine, [added.id])
                    _hints(engine, policy.get("run_at") if added.created else None)
            if wait:
                engine.wait(added.id)
        if as_json:
            from queuectl_engine.cli import as_json as shapes

            shapes.print_json(shapes.job(_read_back(engine, added)))
        if wait:
            leave(engine, added.id)


def _read_back(engine: Engine, added: Added) -> Job:
    try:
        return engine.get(added.id)
    except StorageError as error:
        raise StoredUnconfirmed(f"stored job {added.id}, but cannot look at it: {error}") from error


def _add_and_follow(
    session: Session, make: Callable[[Engine], NewJob], policy: Policy, quiet: bool
) -> None:
    """Stdout and stderr belong to the job; whatever we say is a note to a person."""
    # Before the hints: Ctrl+C while classes are made would end us by its signal, not with 130.
    import queuectl_engine.following  # noqa: F401

    with session.open(quiet=quiet) as engine:
        added = engine.add_many([make(engine)])[0]
        with going_on([added.id]):
            if not quiet:
                note(_sentence(added))
                note_stuck(engine, [added.id])
                _hints(engine, policy.get("run_at") if added.created else None)
            follow_and_exit(engine, added.id)


def _add_file(
    session: Session,
    file: str,
    jsonl: bool,
    policy: Policy,
    around: Surroundings,
    quiet: bool,
    as_json: bool,
    wait: bool,
) -> None:
    from queuectl_engine.cli.bulk import Report, add_lines, opened
    from queuectl_engine.cli.jsonl import LineReader, ObjectReader

    objects = jsonl or file.lower().endswith(".jsonl")
    with ExitStack() as open_files:
        stream = sys.stdin.buffer if file == "-" else open_files.enter_context(opened(file))
        engine = open_files.enter_context(session.open(quiet=quiet))
        reader: LineReader | ObjectReader
        reader = (ObjectReader if objects else LineReader)(engine, policy, around)
        report = Report(ids_as_we_go=quiet)
        try:
            add_lines(engine, stream, reader.job, report)
        except BaseException:
            if report.through:
                report.print(as_json=as_json)
            raise
        report.print(as_json=as_json)
        if not quiet:
            _hints(engine, policy.get("run_at"))
        if wait:
            deliver()
            wait_for_many(engine, report.ids())


def policy_of(
    *,
    max_retries: int,
    priority: int,
    run_at: datetime | None,
    queue: str,
    timeout: timedelta | None,
    key: str | None,
    allow_background: bool,
    log_file: str | None,
    labels: tuple[str, ...],
    retry_on: tuple[int, ...] | None,
    no_retry_on: tuple[int, ...] | None,
    on_dead: str | None,
    on_completed: str | None,
    after_ok: Sequence[str] | None = None,
    after_any: Sequence[str] | None = None,
    after_fail: Sequence[str] | None = None,
    mutex: str | None,
) -> Policy:
    """What the options say of a job."""
    return Policy(
        max_retries=max_retries,
        priority=priority,
        run_at=run_at,
        queue=queue,
        timeout=timeout,
        key=key,
        allow_background=allow_background,
        log_file=log_file,
        labels=labels,
        retry_on=retry_on or (),
        no_retry_on=no_retry_on or (),
        on_dead=on_dead,
        on_completed=on_completed,
        after_ok=_some(after_ok, "--after-ok"),
        after_any=_some(after_any, "--after-any"),
        after_fail=_some(after_fail, "--after-fail"),
        mutex=mutex,
    )


def _some(names: Sequence[str] | None, option_name: str) -> Sequence[str]:
    if names is None:
        return ()
    if not names:
        raise names_nothing(option_name)
    return names


def command_of(
    words: Sequence[str], after: int | None, called: str = "queuectl add"
) -> str | tuple[str, ...]:
    """The line, or the program and its arguments, of which `after` words stand after a `--`.

    Raises BadInput that shows how to put it after what was `called`.
    """
    if not words:
        raise BadInput(f"the command is missing; try: {called} 'echo hello'")
    if after is None:
        if len(words) > 1:
            raise BadInput(
                f"{len(words)} words where one line is expected; quote the line, or put -- before"
                f" the program: {called} -- PROGRAM ARG"
            )
        return words[0]
    if after != len(words):
        raise BadInput("words before and after --; put the whole command after it")
    return tuple(words)


def _refuse_with_follow(as_json: bool) -> None:
    if as_json:
        raise BadInput("--follow prints what the job prints; for --json take --wait")


def _refuse_with_file(words: Sequence[str], policy: Policy, follow: bool) -> None:
    if words:
        raise BadInput("a command and --file; give one of them")
    if follow:
        raise BadInput("--follow is for one job; take --wait, or 'queuectl logs -f' for several")
    if policy["key"] is not None:
        raise BadInput("--key cannot name every job of a file; put keys into JSON objects")


def _sentence(added: Added) -> str:
    if added.created:
        return f"Job enqueued with ID: {added.id}"
    return f"Job exists with ID: {added.id} ({added.state})"


def _hints(engine: Engine, run_at: datetime | None) -> None:
    if not person_listens():
        return
    if run_at is not None:
        note(f"runs at {with_offset(run_at)} or later")
    if not any(pool.alive is not False for pool in engine.pools()):
        note("no pool runs; 'queuectl worker' starts one")


def _note_missing(names: Sequence[str]) -> None:
    """Pools may be another user's, who has other secrets: a hint is all that can be given."""
    if names and person_listens():
        from queuectl_engine.secret import Secrets
        from queuectl_engine.settings import load_settings

        missing = sorted(set(names) - set(Secrets(load_settings().secrets).names()))
        if missing:
            note(f"you have no secret {missing[0]}; store it: queuectl secret set {missing[0]}")
