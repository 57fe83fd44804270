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
from queuectl_engine.repository.kinds import STATE_OF
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
(
    _ARGV, _STATE, _TIMEOUT, _BACKGROUND, _RUN_AT, _CREATED_AT, _UPDATED_AT, _STARTED_AT,
    _FINISHED_AT, _CANCEL_ASKED, _LABELS, _RETRY_ON, _NO_RETRY_ON, _WAITS_FOR,
) = map(Job._fields.index, (
    "argv", "stored", "timeout", "allow_background", "run_at", "created_at", "updated_at",
    "started_at", "finished_at", "cancel_asked", "labels", "retry_on", "no_retry_on", "waits_for",
))  # fmt: skip
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
    """A job from the columns of a store's `JOB`; further columns are ignored.

    Those are in the order of its fields, and only what is stored otherwise is made anew: every
    claim waits for it.
    """
    made = list(row[: len(Job._fields)])
    made[_STATE] = STATE_OF[row[_STATE]]
    made[_BACKGROUND] = bool(row[_BACKGROUND])
    made[_CANCEL_ASKED] = row[_CANCEL_ASKED] is not None
    made[_RUN_AT] = moment(row[_RUN_AT])
    made[_CREATED_AT] = moment(row[_CREATED_AT])
    made[_UPDATED_AT] = moment(row[_UPDATED_AT])
    made[_STARTED_AT] = moment_or_none(row[_STARTED_AT])
    made[_FINISHED_AT] = moment_or_none(row[_FINISHED_AT])
    if row[_TIMEOUT] is not None:
        made[_TIMEOUT] = row[_TIMEOUT] * MS
    if row[_ARGV] is not None:
        made[_ARGV] = tuple(json.loads(row[_ARGV]))
    made[_LABELS] = tuple(json.loads(row[_LABELS])) if row[_LABELS] else ()
    made[_RETRY_ON] = parse_exit_codes(row[_RETRY_ON]) if row[_RETRY_ON] else ()
    made[_NO_RETRY_ON] = parse_exit_codes(row[_NO_RETRY_ON]) if row[_NO_RETRY_ON] else ()
    made[_WAITS_FOR] = _needs_of(row[_WAITS_FOR]) if row[_WAITS_FOR] else ()
    return Job._make(made)


def need_of(parent: int, after: str, state: str | None, *, met: bool = False) -> Need:
    """A need from its columns; the state is that of the parent's row, if it has one."""
    seen = None if state in (None, State.DELETED) else OUTWARD[State(state)]
    return Need(parent, After(after), seen, met)


def _needs_of(found: str) -> tuple[Need, ...]:
    return tuple(need_of(*each) for each in json.loads(found))


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
