"""`queuectl import`: jobs from an export of ours, or from the list of another program."""

from __future__ import annotations

import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import BinaryIO, Final, cast

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli import rivals
from queuectl_engine.cli.arrivals import Arrival, Builder, own
from queuectl_engine.cli.bulk import Report, numbered_lines, opened, store_all
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.crontab import CronJob, crontab, written
from queuectl_engine.cli.options import (
    db_option,
    json_option,
    queue_option,
)
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import counted, note, say
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput, QueuectlError
from queuectl_engine.job import DEFAULT_SHELL, NewJob
from queuectl_engine.new_job import Policy
from queuectl_engine.safe_text import safe_text
from queuectl_engine.schedule import Schedule

_LONGEST_LINE: Final = 8 * 1024 * 1024  # an export has a command twice, with escapes
_LARGEST_TEXT: Final = 256 * 1024 * 1024
_TOLD: Final = 3  # missing directories
_FORMATS: Final = ("queuectl", "pueue", "tsp", "parallel", "crontab")


@dataclass
class _Seen:
    """What was not taken, by reason, and what may surprise."""

    left_out: Counter[str] = field(default_factory=Counter)
    stashed: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)  # directories


@click.command("import", cls=Command, context_settings=CONTEXT)
@click.argument("file", metavar="FILE|-")
@click.option(
    "--from",
    "kind",
    type=click.Choice(_FORMATS),
    default=_FORMATS[0],
    show_default=True,
    help="Who wrote it.",
)
@click.option("--failed", is_flag=True, help="Also take jobs that failed there for good.")
@queue_option(help="Queue for all of them.")
@click.option(
    "--max-retries",
    type=click.IntRange(min=0),
    metavar="N",
    help="Retries for all of them; else as there, where other programs have none.",
)
@click.option("--cwd", metavar="DIR", help="Directory for all; where none is named, this one.")
@click.option("--dry-run", is_flag=True, help="Print the lines that would do it, and do nothing.")
@json_option
@db_option
@click.pass_obj
def import_jobs(
    session: Session,
    file: str,
    kind: str,
    failed: bool,
    queue: str | None,
    max_retries: int | None,
    cwd: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Add the jobs of an export, or of another program's list; - reads stdin.

    Only what waits there becomes a job: nothing that is done is run again, and what was left out is
    told. The same file imported once more adds nothing; repeat an import that was cut short.
    Of other programs it reads 'pueue status --json', the list of 'tsp', a --joblog of GNU parallel
    and 'crontab -l'.
    """
    if as_json and dry_run:
        raise BadInput("--dry-run prints lines for a shell, not JSON")
    with ExitStack() as stack:
        stream = sys.stdin.buffer if file == "-" else stack.enter_context(opened(file))
        if kind == "crontab":
            _schedules(session, stream, dry_run, as_json)
            return
        engine = stack.enter_context(session.open())
        unit = "task" if kind == "pueue" else "line"
        builder = Builder(engine, over=_over(queue, max_retries), cwd=cwd, unit=unit)
        arrivals = _read(kind, stream, engine, failed)
        seen = _Seen()
        if dry_run:
            _show(arrivals, builder, seen)
        else:
            _store(engine, arrivals, builder, seen, as_json)


def _read(kind: str, stream: BinaryIO, engine: Engine, failed: bool) -> Iterator[Arrival]:
    if kind == "pueue":
        return rivals.pueue(_whole(stream), failed=failed)
    lines = numbered_lines(stream, _LONGEST_LINE)
    if kind == "tsp":
        return rivals.tsp(lines, failed=failed)
    if kind == "parallel":
        return rivals.parallel(lines, failed=failed)
    return own(lines, engine, failed=failed)


def _over(queue: str | None, max_retries: int | None) -> Policy:
    given = {"queue": queue, "max_retries": max_retries}
    return cast(Policy, {name: value for name, value in given.items() if value is not None})


def _whole(stream: BinaryIO) -> str:
    data = stream.read(_LARGEST_TEXT + 1)
    if len(data) > _LARGEST_TEXT:
        raise BadInput(f"the file is larger than {_LARGEST_TEXT} bytes")
    return data.decode("utf-8", "surrogateescape")  # `new_job` refuses what is no text


def _taken(
    arrivals: Iterator[Arrival], builder: Builder, seen: _Seen
) -> Iterator[tuple[int, NewJob]]:
    for arrival in arrivals:
        if arrival.left_out:
            seen.left_out[arrival.left_out] += 1
            continue
        job = builder.job(arrival)
        if job.queue.endswith(rivals.STASHED):
            seen.stashed.add(job.queue)
        if len(seen.missing) < _TOLD and not os.path.isdir(job.context.cwd):
            seen.missing.add(job.context.cwd)
        yield arrival.line, job


def _store(
    engine: Engine, arrivals: Iterator[Arrival], builder: Builder, seen: _Seen, as_json: bool
) -> None:
    report = Report(
        word="imported", unit=f"{builder.unit}s", more=lambda: {"left_out": dict(seen.left_out)}
    )
    try:
        store_all(engine, _pausing(engine, _taken(arrivals, builder, seen)), report)
    except QueuectlError:
        if report.through:
            report.print(as_json=as_json)
        raise
    report.print(as_json=as_json)
    if not as_json:
        for reason, number in seen.left_out.items():
            say(f"{counted(number, 'job')} left out: {reason}")
    for name in sorted(seen.stashed):
        note(
            f"what was stashed waits in the paused queue {name}; 'queuectl resume {name}' frees it"
        )
    for directory in sorted(seen.missing):
        note(f"there is no directory {directory} here: jobs fail that run in it")


def _pausing(engine: Engine, jobs: Iterator[tuple[int, NewJob]]) -> Iterator[tuple[int, NewJob]]:
    """Pause the queues of stashed jobs before the first of them is stored."""
    paused: set[str] = set()
    for line, job in jobs:
        if job.queue.endswith(rivals.STASHED) and job.queue not in paused:
            paused.add(job.queue)
            engine.pause(job.queue)
        yield line, job


def _show(arrivals: Iterator[Arrival], builder: Builder, seen: _Seen) -> None:
    for _, job in _taken(arrivals, builder, seen):
        say(shlex.join(_words(job)))
    for reason, number in seen.left_out.items():
        say(f"# {counted(number, 'job')} left out: {safe_text(reason)}")


def _words(job: NewJob) -> list[str]:
    """The `add` that makes this job, but for what it captured of its environment."""
    words = ["queuectl", "add", "--cwd", job.context.cwd, "--queue", job.queue]
    words += ["--priority", str(job.priority)] if job.priority else []
    words += ["--max-retries", str(job.max_retries)]
    words += ["--run-at", job.run_at.isoformat()] if job.run_at else []
    words += ["--timeout", f"{job.timeout.total_seconds():g}s"] if job.timeout else []
    words += ["--key", job.key] if job.key else []
    words += ["--allow-background"] if job.allow_background else []
    words += ["--log-file", job.log_file] if job.log_file else []
    for name, value in job.context.env.items():
        words += ["--env", f"{name}={value}"]
    for name in job.context.secrets:
        words += ["--secret", name]
    if job.argv is not None:
        return [*words, "--", *job.argv]
    words += ["--shell", job.context.shell] if job.context.shell != DEFAULT_SHELL else []
    return [*words, job.command]


def _schedules(session: Session, stream: BinaryIO, dry_run: bool, as_json: bool) -> None:
    """Entries of a crontab as schedules, each once however often it is imported."""
    entries = list(crontab(numbered_lines(stream)))
    if dry_run:
        for entry in entries:
            say(written(entry))
        return
    with session.open() as engine:
        stored = [_stored(engine, entry) for entry in entries if not entry.left_out]
    if as_json:
        shapes.print_json_array(shapes.schedule(schedule) for schedule, _ in stored)
    else:
        new = sum(created for _, created in stored)
        known = f", {len(stored) - new} known already" if new < len(stored) else ""
        left = sum(entry.left_out is not None for entry in entries)
        say(f"{counted(new, 'schedule')} added{known}" + (f", {left} left out" if left else ""))
    for entry in entries:
        if entry.left_out:
            note(f"line {entry.line} is left out: {entry.left_out}")


def _stored(engine: Engine, entry: CronJob) -> tuple[Schedule, bool]:
    try:
        context = engine.context(cwd="~", env=entry.env, shell=entry.shell)
        job = engine.new_job(entry.command, context)
        return engine.add_schedule(entry.when, job, zone=entry.zone, name=entry.name)
    except BadInput as error:
        raise BadInput(f"line {entry.line}: {error}; those before it were added") from error
