"""Between stored rows and the words of `job.py`, the same in every store: moments, contexts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Protocol

from queuectl_engine.exit_codes import parse_exit_codes
from queuectl_engine.job import (
    OUTWARD,
    After,
    Attempt,
    Cause,
    Chunk,
    Context,
    Job,
    Need,
    Piece,
    State,
    Stream,
)
from queuectl_engine.repository.values import (
    MS,
    body_of,
    ids_text,
    labels_text,
    moment,
    moment_or_none,
    ms,
)

Row = tuple[Any, ...]
__all__ = [
    "Reader",
    "Row",
    "attempt_of",
    "body_of",
    "cause_of",
    "chunk_of",
    "context_of",
    "ids_text",
    "job_of",
    "labels_text",
    "marks_of",
    "moment",
    "moment_or_none",
    "ms",
    "need_of",
]


class Reader(Protocol):
    """What is needed of a store's connection."""

    def run(self, sql: str, args: Mapping[str, Any] | Sequence[Any] = ..., /) -> list[Row]:
        """Execute one statement and return all rows."""

    def value(self, sql: str, args: Mapping[str, Any] | Sequence[Any] = ..., /) -> Any:
        """The first column of the first row, None without one."""


def job_of(row: Row) -> Job:
    """A job from the columns of a store's `JOB`; further columns are ignored."""
    return Job(
        id=row[0],
        key=row[1],
        command=row[2],
        argv=None if row[3] is None else tuple(json.loads(row[3])),
        stored=State(row[4]),
        queue=row[5],
        priority=row[6],
        attempts=row[7],
        runs=row[8],
        deaths=row[9],
        max_retries=row[10],
        timeout=None if row[11] is None else row[11] * MS,
        allow_background=bool(row[12]),
        run_at=moment(row[13]),
        created_at=moment(row[14]),
        updated_at=moment(row[15]),
        started_at=moment_or_none(row[16]),
        finished_at=moment_or_none(row[17]),
        reason=row[18],
        worker=row[19],
        cancel_asked=row[20] is not None,
        parked=row[21],
        context_id=row[22],
        log_file=row[23],
        cause_id=row[24],
        labels=() if row[25] is None else tuple(json.loads(row[25])),
        retry_on=parse_exit_codes(row[26]) if row[26] else (),
        no_retry_on=parse_exit_codes(row[27]) if row[27] else (),
        schedule_id=row[28],
        on_dead=row[29],
        on_completed=row[30],
        mutex=row[31],
        mutex_holder=row[32],
        waits_for=_needs_of(row[33]),
    )


def need_of(parent: int, after: str, state: str | None, *, met: bool = False) -> Need:
    """A need from its columns; the state is that of the parent's row, if it has one."""
    seen = None if state in (None, State.DELETED) else OUTWARD[State(state)]
    return Need(parent, After(after), seen, met)


def _needs_of(found: str | None) -> tuple[Need, ...]:
    return tuple(need_of(*each) for each in json.loads(found)) if found else ()


def attempt_of(row: Row) -> Attempt:
    """An attempt from the columns of a store's `ATTEMPT`."""
    job, number, worker, started, ended, *rest, cpu, peak = row
    attempt = Attempt(job, number, worker, moment(started), moment_or_none(ended), *rest)
    return replace(
        attempt,
        cpu=None if cpu is None else cpu * MS,
        peak_memory=None if peak is None else peak * 1024,
    )


def cause_of(row: Row) -> Cause:
    """A cause from its columns, with the ends of its dead jobs and the last of these."""
    cause_id, program, ended, line, dead, first, last, example = row
    return Cause(cause_id, program, ended, line, dead, moment(first), moment(last), example)


@lru_cache(maxsize=64)
def context_of(body: str) -> Context:
    """The inverse of `body_of`. Who gets it changes nothing in it: others get the same."""
    fields = json.loads(body)
    return Context(**{**fields, "secrets": tuple(fields.get("secrets", ()))})


def marks_of(chunk: Chunk) -> str:
    """Which stream wrote how many bytes: `o120e33`."""
    return "".join(f"{piece.stream}{len(piece.data)}" for piece in chunk.pieces)


def chunk_of(row: Row) -> Chunk:
    """A chunk from seq, at_ms, marks, data."""
    seq, at, marks, data = row
    pieces, start = [], 0
    for stream, length in re.findall(r"([oe])(\d+)", marks):
        pieces.append(Piece(Stream(stream), data[start : start + int(length)]))
        start += int(length)
    return Chunk(seq, moment(at), tuple(pieces))
