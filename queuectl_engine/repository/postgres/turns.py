"""A worker's turn: settle what ended, promote what is due; `claiming` takes what is next.

The whole fence is here: a claim writes a random token into the job's row, and every later write
about that attempt has the token in its WHERE.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.job import State
from queuectl_engine.lifecycle import ForcedStop, GivenBack, result_of, words
from queuectl_engine.repository.postgres import hooks, suspects, telling
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.hooks import HOOKED
from queuectl_engine.repository.postgres.storing import cause_id
from queuectl_engine.repository.postgres.suspects import SUSPECT
from queuectl_engine.repository.protocol import (
    Asked,
    AttemptId,
    Claim,
    Ended,
    Output,
    Progress,
    Verdict,
)
from queuectl_engine.repository.rows import (
    marks_of,
    moment_or_none,
    ms,
)
from queuectl_engine.repository.settlement import args_of, columns_of, history_of

PROMOTED_AT_ONCE: Final = 100

# A cancel that was asked while the job ran wins over all but success, and is decided here because
# only here it is known for sure.
_SETTLE: Final = f"""
    UPDATE job
       SET state = CASE WHEN cancel_ms IS NULL THEN %(state)s ELSE %(state_if_cancelled)s END,
           reason = CASE WHEN cancel_ms IS NULL THEN %(reason)s ELSE %(reason_if_cancelled)s END,
           started_ms = coalesce(%(began)s::bigint, started_ms),
           finished_ms = CASE WHEN cancel_ms IS NULL THEN %(finished)s::bigint
                              ELSE %(finished_if_cancelled)s::bigint END,
           run_at_ms = CASE WHEN cancel_ms IS NULL THEN coalesce(%(due)s::bigint, run_at_ms)
                            ELSE run_at_ms END,
           attempts = attempts - %(refund)s, deaths = deaths + %(deaths)s,
           cause = coalesce(%(cause)s::bigint, cause), updated_ms = %(now)s,
           token = NULL, worker = NULL, cancel_ms = NULL, parked = NULL
     WHERE id = %(job)s AND token = %(token)s AND state = 'processing'
    RETURNING state, {SUSPECT}, {HOOKED}
"""
_END_ATTEMPT: Final = """
    UPDATE attempt SET started_ms = coalesce(%(began)s::bigint, started_ms),
                       ended_ms = %(ended)s, result = %(result)s, exit_code = %(exit_code)s,
                       signal = %(signal)s, reason = %(words)s, cpu_ms = %(cpu)s,
                       peak_kib = %(peak)s
     WHERE job = %(job)s AND number = %(number)s AND token = %(token)s
"""
_SETTLED: Final = """
    SELECT 1 FROM attempt WHERE job = %(job)s AND number = %(number)s AND token = %(token)s
                            AND ended_ms = %(ended)s AND result = %(result)s
"""
_KEEP_LATE: Final = """
    UPDATE attempt SET late = %(late)s
     WHERE job = %(job)s AND number = %(number)s AND token = %(token)s AND result <> %(result)s
"""
_ADD_OUTPUT: Final = """
    INSERT INTO output (job, number, seq, at_ms, marks, data) VALUES (%s, %s, %s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_DROP_OUTPUT: Final = """
    DELETE FROM output WHERE job = %s AND number = %s AND seq >= %s AND seq < %s
"""
_COUNT_OUTPUT: Final = """
    UPDATE attempt SET output_bytes = %(total)s, dropped_bytes = %(dropped)s
     WHERE job = %(job)s AND number = %(number)s AND token = %(token)s
"""
_LEADER: Final = """
    UPDATE attempt SET leader_pid = %(pid)s, leader_ticks = %(ticks)s
     WHERE job = %(job)s AND number = %(number)s AND token = %(token)s
"""
# Who settles meanwhile waits until what was printed is stored.
_HELD: Final = """
    SELECT 1 FROM job WHERE id = %s AND token = %s AND state = 'processing' FOR SHARE
"""
_CANCELS: Final = """
    SELECT token FROM job
     WHERE id = ANY (%(jobs)s::bigint[]) AND cancel_ms IS NOT NULL AND worker = %(worker)s
"""
_STOP: Final = "SELECT stop FROM worker JOIN pool ON pool.id = worker.pool WHERE worker.id = %s"

_NEXT_DUE: Final = """
    SELECT run_at_ms FROM job
     WHERE state IN ('scheduled', 'failed') ORDER BY run_at_ms, id LIMIT 1
"""
_CLAMP: Final = """
    UPDATE job SET run_at_ms = %(now)s + (run_at_ms - updated_ms), updated_ms = %(now)s
     WHERE state = 'failed' AND updated_ms > %(now)s AND run_at_ms > %(now)s
"""
# Two who promote at once take different jobs.
PROMOTE: Final = """
    UPDATE job SET state = 'ready', updated_ms = %(now)s WHERE id IN (
      SELECT id FROM job
       WHERE state IN ('scheduled', 'failed') AND run_at_ms <= %(now)s
       ORDER BY run_at_ms, id LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED)
"""


def settle(db: Connection, ended: Ended, now: datetime) -> tuple[Verdict, State | None]:
    """Write the outcome if the attempt still holds its job, else keep it as evidence.

    Returns the state the job is in now, None when it was not ours to change.
    """
    who = args_of(ended.attempt)
    columns = columns_of(ended, now)
    rows = db.run(_SETTLE, {**who, **columns._asdict(), "cause": cause_id(db, ended.signature)})
    written = {**who, "ended": ms(ended.ended_at), "result": result_of(ended.ending)}
    if not rows and db.run(_SETTLED, written):  # by a commit whose answer was lost
        return Verdict.SETTLED, None
    if not rows:
        late = f"{words(ended.ending)}, reported {ended.ended_at.isoformat(timespec='seconds')}"
        db.run(_KEEP_LATE, {**who, "late": late, "result": result_of(ended.ending)})
        telling.late(db, ended.attempt)
        return Verdict.LOST, None
    db.run(_END_ATTEMPT, {**who, **history_of(ended)._asdict()})
    _write_output(db, ended.attempt, ended.output)
    now_is, was_suspect, *hooked = rows[0]
    state = State(now_is)
    telling.ended(db, ended.attempt, state)
    suspects.settled(db, ended.attempt.job, state, ended.ending, was=was_suspect)
    hooks.settled(db, ended.attempt.job, state, tuple(hooked), ended.ending, now)
    return Verdict.SETTLED, state


def give_back(db: Connection, claims: Sequence[Claim]) -> None:
    """Undo claims of which nothing was started."""
    for claim in claims:
        begun, ending = claim.job.started_at or claim.job.updated_at, ForcedStop()
        settle(db, Ended(claim.attempt, ending, GivenBack(words(ending)), begun), begun)


def progress(db: Connection, item: Progress) -> None:
    """Write a running attempt's leader and new output, if it still holds its job."""
    if not db.run(_HELD, (item.attempt.job, item.attempt.token)):
        return
    if item.leader is not None:
        leader = {"pid": item.leader.pid, "ticks": item.leader.ticks}
        db.run(_LEADER, {**args_of(item.attempt), **leader})
    _write_output(db, item.attempt, item.output)


def asked(db: Connection, worker: int, jobs: Sequence[int]) -> Asked:
    """What people asked of these jobs of a worker, and of its pool."""
    tokens = db.run(_CANCELS, {"worker": worker, "jobs": list(jobs)})
    return Asked(frozenset(token for (token,) in tokens), stop_asked(db, worker))


def stop_asked(db: Connection, worker: int) -> str | None:
    """What was asked of a worker's pool."""
    stop: str | None = db.value(_STOP, (worker,))
    return stop


def promote(db: Connection, now: datetime) -> int:
    """Make due jobs ready, in the order they fell due, a bounded number; how many."""
    if not anything_due(db, now):
        return 0
    db.run(PROMOTE, {"now": ms(now), "limit": PROMOTED_AT_ONCE})
    return db.changes()


def anything_due(db: Connection, now: datetime) -> bool:
    """Whether `promote` would find a job."""
    due = db.value(_NEXT_DUE)
    return due is not None and due <= ms(now)


def anything_to_tell(db: Connection) -> bool:
    """Whether dependants of ended jobs, or those who wait for a mutex, are still to be told."""
    sql = "SELECT EXISTS (SELECT 1 FROM ended) OR EXISTS (SELECT 1 FROM loosened)"
    return bool(db.value(sql))


def clamp_retries(db: Connection, now: datetime) -> None:
    """Jobs that failed in what is now the future: what was planned then counts from now."""
    db.run(_CLAMP, {"now": ms(now)})


def next_due(db: Connection) -> datetime | None:
    """When the next scheduled or failed job falls due."""
    return moment_or_none(db.value(_NEXT_DUE))


def _write_output(db: Connection, attempt: AttemptId, output: Output) -> None:
    if not output.chunks and not output.gone:
        return
    for chunk in output.chunks:
        data = b"".join(piece.data for piece in chunk.pieces)
        row = (attempt.job, attempt.number, chunk.seq, ms(chunk.at), marks_of(chunk), data)
        db.run(_ADD_OUTPUT, row)
    for gone in output.gone:
        db.run(_DROP_OUTPUT, (attempt.job, attempt.number, gone.start, gone.stop))
    totals = {"total": output.total, "dropped": output.dropped}
    db.run(_COUNT_OUTPUT, {**args_of(attempt), **totals})
