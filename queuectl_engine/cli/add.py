"""`queuectl add`: one job from the command line, or one a line from a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Any, BinaryIO, Final

import click

from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import (
    after_options,
    db_option,
    duration,
    json_option,
    moment,
    quiet_option,
)
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import note, person_listens, say, with_offset
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput
from queuectl_engine.job import DEFAULT_QUEUE, DEFAULT_RETRIES, Added
from queuectl_engine.new_job import Policy, Surroundings

_AFTER_DASHES: Final = "queuectl.after_dashes"  # words after `--`; None without it


class AddCommand(Command):
    """Tells a quoted line from an argv: click itself drops the `--` that makes the difference."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember how many words follow the `--` that ends the options."""
        at = self._separator(ctx, args)
        ctx.meta[_AFTER_DASHES] = None if at is None else len(args) - at - 1
        return super().parse_args(ctx, args)

    def _separator(self, ctx: click.Context, args: Sequence[str]) -> int | None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        taking = {name for option in options if not option.is_flag for name in option.opts}
        position = 0
        while position < len(args):
            word = args[position]
            if word == "--":
                return position
            position += 2 if _wants_value(word, taking) else 1
        return None


def _wants_value(word: str, taking: set[str]) -> bool:
    """Whether the next word is the value of this one: `--file`, `-f`, `-qf`, but not `-fjobs`."""
    if word.startswith("--") or not word.startswith("-"):
        return word in taking
    valued = [at for at, letter in enumerate(word) if f"-{letter}" in taking]
    return bool(valued) and valued[0] == len(word) - 1


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
@click.option(
    "--max-retries",
    type=click.IntRange(min=0),
    metavar="N",
    default=DEFAULT_RETRIES,
    show_default=True,
    help="Runs after the first one that fails.",
)
@click.option(
    "--priority",
    type=int,
    metavar="N",
    default=0,
    show_default=True,
    help="Higher runs earlier.",
)
@click.option(
    "--run-at", type=moment, metavar="WHEN", help="Not before: ISO 8601, +10m or 'tomorrow 09:00'."
)
@click.option(
    "--queue", metavar="NAME", default=DEFAULT_QUEUE, show_default=True, help="Lane to wait in."
)
@click.option(
    "--timeout",
    type=duration,
    metavar="DURATION",
    help="End a run that takes longer: 90, 30s, 10m.",
)
@click.option("--key", metavar="KEY", help="Unique name; adding it again changes nothing.")
@click.option("--cwd", metavar="DIR", help="Directory to run in, instead of this one.")
@click.option(
    "--env",
    metavar="NAME[=VALUE]",
    multiple=True,
    callback=_read_env,
    help="Variable to set; without a value, as it is here.",
)
@click.option("--shell", metavar="PATH", help="Shell that runs LINE, instead of /bin/sh.")
@click.option("--allow-background", is_flag=True, help="Spare what the job leaves running.")
@click.option("--log-file", metavar="PATH", help="File that gets all its output, appended.")
@after_options
@click.option("--mutex", metavar="NAME", help="Never run two jobs of this name at a time.")
@click.option("-f", "--file", metavar="FILE", help="Add a job for each line; - reads stdin.")
@click.option("--jsonl", is_flag=True, help="Lines of FILE are JSON objects (as in *.jsonl).")
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
    shell: str | None,
    **policy: Any,
) -> None:
    """Queue a job and print its id.

    LINE is one quoted word for the shell. After -- a program and its arguments are run exactly
    as given, without a shell. With --file, empty lines are skipped and the other options are the
    defaults of every job.

    A job that waits for others is pending until all of them have ended as they must. One that is
    cancelled or deleted counts as ended, but not as completed or dead.
    """
    session: Session = ctx.obj
    asked = _policy(**policy)
    around = Surroundings(cwd=cwd, env=env, shell=shell)
    if file is None:
        command = _command(words, ctx.meta[_AFTER_DASHES], jsonl)
        _add_one(session, command, asked, around, quiet, as_json)
    else:
        _refuse_with_file(words, asked)
        _add_file(session, file, jsonl, asked, around, quiet, as_json)


def _add_one(
    session: Session,
    command: str | tuple[str, ...],
    policy: Policy,
    around: Surroundings,
    quiet: bool,
    as_json: bool,
) -> None:
    with session.open(quiet=quiet) as engine:
        added = engine.add_many([engine.new_job(command, engine.context(**around), **policy)])[0]
        if as_json:
            from queuectl_engine.cli import as_json as shapes

            shapes.print_json(shapes.job(engine.get(added.id)))
        else:
            say(str(added.id) if quiet else _sentence(added))
        if not quiet:
            _hints(engine, policy.get("run_at") if added.created else None)


def _add_file(
    session: Session,
    file: str,
    jsonl: bool,
    policy: Policy,
    around: Surroundings,
    quiet: bool,
    as_json: bool,
) -> None:
    from queuectl_engine.cli.bulk import Report, add_lines
    from queuectl_engine.cli.jsonl import LineReader, ObjectReader

    objects = jsonl or file.lower().endswith(".jsonl")
    with ExitStack() as open_files:
        stream = sys.stdin.buffer if file == "-" else open_files.enter_context(_opened(file))
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


def _policy(
    *,
    max_retries: int,
    priority: int,
    run_at: datetime | None,
    queue: str,
    timeout: timedelta | None,
    key: str | None,
    allow_background: bool,
    log_file: str | None,
    after_ok: Sequence[str] | None,
    after_any: Sequence[str] | None,
    after_fail: Sequence[str] | None,
    mutex: str | None,
) -> Policy:
    return Policy(
        max_retries=max_retries,
        priority=priority,
        run_at=run_at,
        queue=queue,
        timeout=timeout,
        key=key,
        allow_background=allow_background,
        log_file=log_file,
        after_ok=after_ok or (),
        after_any=after_any or (),
        after_fail=after_fail or (),
        mutex=mutex,
    )


def _command(words: Sequence[str], after: int | None, jsonl: bool) -> str | tuple[str, ...]:
    if jsonl:
        raise BadInput("--jsonl says how to read --file, which is missing")
    if not words:
        raise BadInput("the command is missing; try: queuectl add 'echo hello'")
    if after is None:
        if len(words) > 1:
            raise BadInput(
                f"{len(words)} words where one line is expected; quote the line, or put -- before"
                " the program: queuectl add -- PROGRAM ARG"
            )
        return words[0]
    if after != len(words):
        raise BadInput("words before and after --; put the whole command after it")
    return tuple(words)


def _refuse_with_file(words: Sequence[str], policy: Policy) -> None:
    if words:
        raise BadInput("a command and --file; give one of them")
    if policy["key"] is not None:
        raise BadInput("--key cannot name every job of a file; put keys into JSON objects")


def _opened(file: str) -> BinaryIO:
    try:
        return open(file, "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"cannot read '{file}': {reason}") from error


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
