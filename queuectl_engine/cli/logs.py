"""`queuectl logs`: what jobs printed, or print."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.following import going_on
from queuectl_engine.cli.options import db_option, jobs_argument, json_option
from queuectl_engine.cli.output import Printer, prefixed, printer
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import iso, note
from queuectl_engine.engine import Engine
from queuectl_engine.errors import BadInput, QueuectlError
from queuectl_engine.following import Printed
from queuectl_engine.job import Chunk, Job, Piece, Stream

_STREAMS: Final = {"out": Stream.OUT, "err": Stream.ERR}


@click.command(cls=Command, context_settings=CONTEXT)
@jobs_argument
@click.option("-f", "--follow", is_flag=True, help="Wait for more, until the jobs have ended.")
@click.option(
    "--attempt", type=click.IntRange(min=1), metavar="N", help="The Nth run, not the last."
)
@click.option("--stream", type=click.Choice(list(_STREAMS)), help="Only stdout, or only stderr.")
@json_option
@db_option
@click.pass_obj
def logs(
    session: Session,
    jobs: tuple[str, ...],
    follow: bool,
    attempt: int | None,
    stream: str | None,
    as_json: bool,
) -> None:
    """Print the output of the last run of jobs.

    Stdout and stderr come in order of arrival; in a pipe, every byte as it was. Of several jobs
    whole lines are printed, each after its job's id. --follow goes through retries. --json prints
    objects with job, attempt, at, stream and text: an array, or with --follow one a line.
    """
    if not jobs:
        raise BadInput("no job to read; give its id or key")
    with session.open(stays=follow) as engine:
        found = list(dict.fromkeys(engine.get_all(jobs)))
        only = _STREAMS[stream] if stream else None
        if follow:
            with going_on([job.id for job in found]):
                _follow(engine, found, attempt, only, as_json)
            return
        printed = _stored(engine, found, attempt)
        if as_json:
            shapes.print_json_array(piece for part in printed for piece in _shapes(part, only))
        else:
            _print(printed, _printers(found), only)
            for job in found:
                _note_dropped(engine, job, attempt or job.runs)


def _stored(engine: Engine, jobs: Iterable[Job], attempt: int | None) -> Iterator[Printed]:
    """What is there of each job, one after the other."""
    for job in jobs:
        if attempt is not None and attempt > job.runs:
            raise QueuectlError(f"job {job.id} has {job.runs} attempts, so no {attempt}")
        if number := attempt or job.runs:
            for chunk in engine.output(job.id, number):
                yield Printed(job.id, number, chunk)
        else:
            note(f"job {job.id} has not run yet; --follow waits for it")
        yield Printed(job.id, number, None)


def _follow(
    engine: Engine, jobs: list[Job], attempt: int | None, only: Stream | None, as_json: bool
) -> None:
    printed = engine.follow(*(job.id for job in jobs), attempt=attempt)
    if not as_json:
        _print(printed, _printers(jobs), only)
        return
    for part in printed:
        for shape in _shapes(part, only):
            shapes.print_json_line(shape)
        sys.stdout.flush()


def _printers(jobs: list[Job]) -> Mapping[int, Printer]:
    if len(jobs) == 1:
        return {jobs[0].id: printer()}
    return prefixed([job.id for job in jobs])


def _print(
    printed: Iterable[Printed], printers: Mapping[int, Printer], only: Stream | None
) -> None:
    for part in printed:
        if part.chunk is None:
            printers[part.job].end()
        else:
            printers[part.job].write(_pieces(part.chunk, only))


def _note_dropped(engine: Engine, job: Job, number: int) -> None:
    dropped = engine.attempts(job.id)[number - 1].dropped_bytes if number else 0
    if dropped:
        note(f"{dropped} bytes in the middle of job {job.id} were not kept")


def _pieces(chunk: Chunk, only: Stream | None) -> tuple[Piece, ...]:
    return tuple(piece for piece in chunk.pieces if only in (None, piece.stream))


def _shapes(part: Printed, only: Stream | None) -> Iterator[shapes.Shape]:
    for piece in _pieces(part.chunk, only) if part.chunk else ():
        assert part.chunk
        yield {
            "job": part.job,
            "attempt": part.attempt,
            "at": iso(part.chunk.at),
            "stream": shapes.stream_name(piece.stream),
            "text": piece.data.decode("utf-8", "replace"),
        }
