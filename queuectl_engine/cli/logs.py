"""`queuectl logs`: what a job printed, or prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import click

from queuectl_engine.cli import as_json as shapes
from queuectl_engine.cli.command import CONTEXT, Command
from queuectl_engine.cli.options import db_option, job_argument, json_option
from queuectl_engine.cli.output import printer
from queuectl_engine.cli.session import Session
from queuectl_engine.cli.terminal import iso, note
from queuectl_engine.engine import Engine
from queuectl_engine.errors import QueuectlError
from queuectl_engine.job import Chunk, Piece, Stream
from queuectl_engine.lifecycle import FINAL

POLL: Final = 0.05  # seconds between two looks for a change
_STREAMS: Final = {"out": Stream.OUT, "err": Stream.ERR}


@dataclass(frozen=True, slots=True)
class Part:
    """Output of one attempt; no chunk means that the attempt is over."""

    attempt: int
    chunk: Chunk | None


@click.command(cls=Command, context_settings=CONTEXT)
@job_argument
@click.option("-f", "--follow", is_flag=True, help="Wait for more, until the job has ended.")
@click.option(
    "--attempt", type=click.IntRange(min=1), metavar="N", help="The Nth run, not the last."
)
@click.option("--stream", type=click.Choice(list(_STREAMS)), help="Only stdout, or only stderr.")
@json_option
@db_option
@click.pass_obj
def logs(
    session: Session,
    job: str,
    follow: bool,
    attempt: int | None,
    stream: str | None,
    as_json: bool,
) -> None:
    """Print the output of a job's last run.

    Stdout and stderr come in order of arrival; in a pipe, every byte as it was. --follow goes
    through retries. --json prints objects with attempt, at, stream and text: an array, or with
    --follow one a line.
    """
    with session.open() as engine:
        found = engine.get(job)
        if attempt is not None and attempt > found.runs and not follow:
            raise QueuectlError(f"job {found.id} has {found.runs} attempts, so no {attempt}")
        number = attempt or found.runs
        only = _STREAMS[stream] if stream else None
        if follow:
            _follow(engine, found.id, attempt, only, as_json)
        elif as_json:
            parts = (Part(number, chunk) for chunk in engine.output(found.id, number))
            shapes.print_json_array(piece for part in parts for piece in _shapes(part, only))
        else:
            _print(engine, found.id, number, only)


def _print(engine: Engine, job: int, number: int, only: Stream | None) -> None:
    if not number:
        note(f"job {job} has not run yet; --follow waits for it")
        return
    out = printer()
    for chunk in engine.output(job, number):
        out.write(_pieces(chunk, only))
    out.end()
    dropped = engine.attempts(job)[number - 1].dropped_bytes
    if dropped:
        note(f"{dropped} bytes in the middle were not kept")


def _follow(
    engine: Engine, job: int, number: int | None, only: Stream | None, as_json: bool
) -> None:
    out = printer()
    for part in parts_to_come(engine, job, number):
        if as_json:
            for shape in _shapes(part, only):
                shapes.print_json_line(shape)
            sys.stdout.flush()
        elif part.chunk is None:
            out.end()
        else:
            out.write(_pieces(part.chunk, only))


def parts_to_come(engine: Engine, job_id: int, number: int | None = None) -> Iterator[Part]:
    """The output of a job from its last attempt on, as it comes, until the job has ended.

    With `number` only that attempt, which may not have begun. Raises NoSuchJob when the job is
    deleted meanwhile.
    """
    engine.changed()  # what changes from here on is news
    current, seen = number or max(engine.get(job_id).runs, 1), -1
    while True:
        # Before the output, so that the end of it is not missed.
        job, over = engine.get(job_id), _is_over(engine, job_id, current)
        for chunk in engine.output(job_id, current, after=seen):
            seen = chunk.seq
            yield Part(current, chunk)
        if over:
            yield Part(current, None)
        if (over and number) or (job.stored in FINAL and job.runs < current + over):
            return
        if over:
            current, seen = current + 1, -1
            continue
        while not engine.changed():
            time.sleep(POLL)


def _is_over(engine: Engine, job: int, number: int) -> bool:
    attempts = engine.attempts(job)
    return number <= len(attempts) and attempts[number - 1].ended_at is not None


def _pieces(chunk: Chunk, only: Stream | None) -> tuple[Piece, ...]:
    return tuple(piece for piece in chunk.pieces if only in (None, piece.stream))


def _shapes(part: Part, only: Stream | None) -> Iterator[shapes.Shape]:
    for piece in _pieces(part.chunk, only) if part.chunk else ():
        assert part.chunk
        yield {
            "attempt": part.attempt,
            "at": iso(part.chunk.at),
            "stream": shapes.stream_name(piece.stream),
            "text": piece.data.decode("utf-8", "replace"),
        }
