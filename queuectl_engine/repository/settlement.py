"""What a settlement writes, as columns: the same in every store."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from queuectl_engine.lifecycle import (
    FINAL,
    Completed,
    Exited,
    GivenBack,
    Outcome,
    RetryAt,
    Signalled,
    WorkerDied,
    if_cancelled,
    result_of,
    state_after,
    words,
)
from queuectl_engine.repository.protocol import AttemptId, Ended
from queuectl_engine.repository.values import MS, ms, ms_or_none


def args_of(attempt: AttemptId) -> dict[str, Any]:
    """What names an attempt and proves its ownership."""
    return {"job": attempt.job, "number": attempt.number, "token": attempt.token}


class Columns(NamedTuple):
    """What a settlement makes of the job, and what if a cancel was asked meanwhile."""

    state: str
    state_if_cancelled: str
    reason: str | None
    reason_if_cancelled: str | None
    finished: int | None
    finished_if_cancelled: int | None
    due: int | None
    refund: int
    deaths: int
    began: int | None
    now: int


class History(NamedTuple):
    """What an end leaves in the history of attempts."""

    began: int | None
    ended: int
    result: str
    exit_code: int | None
    signal: int | None
    words: str
    cpu: int | None
    peak: int | None
    total: int
    dropped: int


def columns_of(ended: Ended, now: datetime) -> Columns:
    """How the job is written. Most have completed, and a cancel changes nothing of that."""
    outcome, ending, ended_at = ended.outcome, ended.ending, ended.ended_at
    state, reason, finished = _became(outcome, ended_at)
    began, at = ms_or_none(ended.began_at), ms(now)
    if isinstance(outcome, Completed):
        return Columns(state, state, None, None, finished, finished, None, 0, 0, began, at)
    if_so = _became(if_cancelled(outcome), ended_at)
    return Columns(
        state,
        if_so[0],
        reason,
        if_so[1],
        finished,
        if_so[2],
        ms(outcome.at) if isinstance(outcome, RetryAt) else None,
        int(isinstance(outcome, GivenBack)),
        int(isinstance(ending, WorkerDied) and ending.counts),
        began,
        at,
    )


def _became(outcome: Outcome, ended_at: datetime) -> tuple[str, str | None, int | None]:
    state = state_after(outcome)
    reason = None if isinstance(outcome, Completed) else outcome.reason
    return str(state), reason, ms(ended_at) if state in FINAL else None


def history_of(ended: Ended) -> History:
    """How its attempt is written."""
    ending, usage = ended.ending, ended.usage
    peak = usage.peak_memory if usage else None
    return History(
        ms_or_none(ended.began_at),
        ms(ended.ended_at),
        result_of(ending),
        int(ending.code) if isinstance(ending, Exited) else None,
        ending.signal if isinstance(ending, Signalled) else None,
        words(ending),
        usage.cpu // MS if usage else None,
        None if peak is None else peak // 1024,
        ended.output.total,
        ended.output.dropped,
    )
