"""A worker's turn: settle what ended, promote what is due; `claiming` takes what is next.

The whole fence is here: a claim writes a random token into the job's row, and every later write
about that attempt has the token in its WHERE.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Final, NamedTuple

from queuectl_engine.cause import Signature
from queuectl_engine.job import Chunk, State
from queuectl_engine.lifecycle import (
    ForcedStop,
    GivenBack,
    result_of,
    words,
)
from queuectl_engine.repository.kinds import STATE_OF
from queuectl_engine.repository.protocol import (
    Asked,
    AttemptId,
    Claim,
    Ended,
    Output,
    Progress,
    Verdict,
)
from queuectl_engine.repository.settlement import (
    Columns,
    History,
    args_of,
    columns_of,
    history_of,
)
from queuectl_engine.repository.sqlite import claiming, hooks, suspects, telling
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.hooks import HOOKED
from queuectl_engine.repository.sqlite.rows import marks_of, moment_or_none, ms
from queuectl_engine.repository.sqlite.statements import numbered
from queuectl_engine.repository.sqlite.suspects import SUSPECT

PROMOTED_AT_ONCE: Final = 100

# A cancel that was asked while the job ran wins over all but success, and is decided here because
# only here it is known for sure.
_SETTLE: Final = numbered(
    """
    UPDATE job
       SET state = iif(cancel_ms IS NULL, :state, :state_if_cancelled),
           reason = iif(cancel_ms IS NULL, :reason, :reason_if_cancelled),
           started_ms = coalesce(:began, started_ms),
           finished_ms = iif(cancel_ms IS NULL, :finished, :finished_if_cancelled),
           run_at_ms = iif(cancel_ms IS NULL, coalesce(:due, run_at_ms), run_at_ms),
           attempts = attempts - :refund,
           deaths = deaths + :deaths, cause = coalesce(:cause, cause), updated_ms = :now,
           token = NULL, worker = NULL, cancel_ms = NULL, parked = NULL
     WHERE id = :job AND token = :token AND state = 'processing'
    """,
    *Columns._fields, "cause", "job", "token",
)  # fmt: skip
# Not as RETURNING, which would put its row into a temporary table first.
_SETTLED: Final = numbered(
    f"""
    SELECT state, {SUSPECT}, {HOOKED}
      FROM carray(?1) AS settled CROSS JOIN job ON job.id = settled.value
    """
)
_END_ATTEMPT: Final = numbered(
    """
    UPDATE attempt SET started_ms = coalesce(:began, started_ms), ended_ms = :ended,
                       result = :result, exit_code = :exit_code,
                       signal = :signal, reason = :words, cpu_ms = :cpu, peak_kib = :peak,
                       output_bytes = max(output_bytes, :total),
                       dropped_bytes = max(dropped_bytes, :dropped)
     WHERE job = :job AND number = :number AND token = :token
    """,
    *History._fields, *AttemptId._fields,
)  # fmt: skip
_WRITTEN: Final = """
    SELECT 1 FROM attempt WHERE job = ? AND number = ? AND token = ? AND ended_ms = ? AND result = ?
"""
_KEEP_LATE: Final = """
    UPDATE attempt SET late = :late
     WHERE job = :job AND number = :number AND token = :token AND result <> :result
"""

_ADD_CAUSE: Final = """
    INSERT INTO cause (program, ended, line) VALUES (?, ?, ?) ON CONFLICT DO NOTHING
"""
_FIND_CAUSE: Final = "SELECT id FROM cause WHERE program = ? AND ended = ? AND line = ?"
# What was told before and perhaps not heard is told again.
_ADD_OUTPUT: Final = """
    INSERT INTO output (job, number, seq, at_ms, marks, data) VALUES (?, ?, ?, ?, ?, ?)
    ON CONFLICT DO NOTHING
"""
_DROP_OUTPUT: Final = """
    DELETE FROM output WHERE job = ? AND number = ? AND seq >= ? AND seq < ?
"""
_COUNT_OUTPUT: Final = """
    UPDATE attempt SET output_bytes = :total, dropped_bytes = :dropped
     WHERE job = :job AND number = :number AND token = :token
"""
_LEADER: Final = """
    UPDATE attempt SET leader_pid = :pid, leader_ticks = :ticks
     WHERE job = :job AND number = :number AND token = :token
"""
_HELD: Final = "SELECT 1 FROM job WHERE id = ? AND token = ? AND state = 'processing'"
_TOKENS: Final = numbered(
    """
    SELECT token FROM carray(?1) AS ended CROSS JOIN job ON job.id = ended.value
     WHERE job.state = 'processing'
    """
)
_CANCELS: Final = """
    SELECT token FROM json_each(:jobs) AS running JOIN job ON job.id = running.value
     WHERE job.cancel_ms IS NOT NULL AND job.worker = :worker
"""
# Not a join, which takes ten times as long where it is part of another statement.
_STOP: Final = "SELECT stop FROM pool WHERE id = (SELECT pool FROM worker WHERE id = ?)"
# EXISTS twice: a UNION would fill a temporary table each time, for more than all the rest.
_TO_TELL: Final = "EXISTS (SELECT 1 FROM ended) OR EXISTS (SELECT 1 FROM loosened)"

_NEXT_DUE: Final = """
    SELECT run_at_ms FROM job INDEXED BY job_due
     WHERE state IN ('scheduled', 'failed') ORDER BY run_at_ms, id LIMIT 1
"""
# All that a turn wants to know first, in one statement.
_LOOK: Final = numbered(f"SELECT ({_NEXT_DUE}), {_TO_TELL}, ({_STOP}), {claiming.LIMITED}")
_CLAMP: Final = """
    UPDATE job INDEXED BY job_due SET run_at_ms = :now + (run_at_ms - updated_ms), updated_ms = :now
     WHERE state IN ('scheduled', 'failed') AND state = 'failed' AND updated_ms > :now
       AND run_at_ms > :now
"""
PROMOTE: Final = """
    UPDATE job SET state = 'ready', updated_ms = :now WHERE id IN (
      SELECT id FROM job INDEXED BY job_due
       WHERE state IN ('scheduled', 'failed') AND run_at_ms <= :now
       ORDER BY run_at_ms, id LIMIT :limit)
"""


class Written(NamedTuple):
    """An end as it is to be written, made while nobody waits for the lock."""

    ended: Ended
    job: Columns
    attempt: tuple[object, ...]


def written(ended: Sequence[Ended], now: datetime) -> list[Written]:
    """What `settle` writes for each."""
    return [Written(one, columns_of(one, now), (*history_of(one), *one.attempt)) for one in ended]


def settle(
    db: Connection, ends: Sequence[Written], now: datetime
) -> list[tuple[Verdict, State | None]]:
    """Write the outcomes of attempts that still hold their jobs, keep the others as evidence.

    Returns for each the state that the job is in now, None when it was not ours to change. Each
    statement runs for all of them before the next one does.
    """
    if not ends:
        return []
    held = {token for (token,) in db.run_for(_TOKENS, [one.ended.attempt.job for one in ends])}
    mine: dict[str, Written] = {}
    for one in ends:
        if (token := one.ended.attempt.token) in held:
            mine.setdefault(token, one)  # what was told twice is settled once
    states = dict(zip(mine, _settle_held(db, [*mine.values()], now), strict=True)) if mine else {}
    return [
        (Verdict.SETTLED, states[one.attempt.token])
        if one.attempt.token in states
        else (_settle_late(db, one), None)
        for one, *_ in ends
    ]


def _settle_held(db: Connection, ends: Sequence[Written], now: datetime) -> list[State]:
    ended = [one for one, *_ in ends]
    jobs = [
        (*columns, _cause_id(db, one.signature), one.attempt.job, one.attempt.token)
        for one, columns, _ in ends
    ]
    db.run_many(_SETTLE, jobs)
    db.run_many(_END_ATTEMPT, [attempt for *_, attempt in ends])
    _write_chunks(db, [(one.attempt, one.output) for one in ended if one.output.total])
    last = ended[-1]
    db.prove(_WRITTEN, _as_written(last), f"settled job {last.attempt.job}")
    settled_jobs = [one.attempt.job for one in ended]
    found = db.run_for(_SETTLED, settled_jobs)
    states = [STATE_OF[state] for state, *_ in found]
    telling.ended(db, settled_jobs)
    settled: list[hooks.Settled] = []
    for one, state, (_, was_suspect, *hooked) in zip(ended, states, found, strict=True):
        suspects.settled(db, one.attempt.job, state, one.ending, was=bool(was_suspect))
        if any(hooked):
            settled.append(hooks.Settled(one.attempt.job, state, one.ending, tuple(hooked)))
    hooks.settled(db, settled, now)
    return states


def _settle_late(db: Connection, ended: Ended) -> Verdict:
    """Keep it as evidence, unless a COMMIT that was said to have failed has written it."""
    if db.run(_WRITTEN, _as_written(ended)):
        return Verdict.SETTLED
    attempt, result = ended.attempt, result_of(ended.ending)
    late = f"{words(ended.ending)}, reported {ended.ended_at.isoformat(timespec='seconds')}"
    db.run(_KEEP_LATE, {**args_of(attempt), "late": late, "result": result})
    telling.late(db, attempt)
    return Verdict.LOST


def _as_written(ended: Ended) -> tuple[object, ...]:
    return (*ended.attempt, ms(ended.ended_at), result_of(ended.ending))


def give_back(db: Connection, claims: Sequence[Claim]) -> None:
    """Undo claims of which nothing was started."""
    for claim in claims:
        begun, ending = claim.job.started_at or claim.job.updated_at, ForcedStop()
        end = Ended(claim.attempt, ending, GivenBack(words(ending)), begun)
        settle(db, written([end], begun), begun)


def progress(db: Connection, item: Progress) -> None:
    """Write a running attempt's leader and new output, if it still holds its job."""
    if not db.run(_HELD, (item.attempt.job, item.attempt.token)):
        return
    if item.leader is not None:
        leader = {"pid": item.leader.pid, "ticks": item.leader.ticks}
        db.run(_LEADER, {**args_of(item.attempt), **leader})
    if item.output.chunks or item.output.gone:
        _write_chunks(db, [(item.attempt, item.output)])
        totals = {"total": item.output.total, "dropped": item.output.dropped}
        db.run(_COUNT_OUTPUT, {**args_of(item.attempt), **totals})


def asked(db: Connection, worker: int, jobs: Sequence[int]) -> Asked:
    """What people asked of these jobs of a worker, and of its pool."""
    tokens = db.run(_CANCELS, {"worker": worker, "jobs": json.dumps(list(jobs))})
    return Asked(frozenset(token for (token,) in tokens), stop_asked(db, worker))


def stop_asked(db: Connection, worker: int) -> str | None:
    """What was asked of a worker's pool."""
    stop: str | None = db.value(_STOP, (worker,))
    return stop


class Look(NamedTuple):
    """What a turn finds first.

    When the next job falls due, and whether it is now; whether dependants are to be told; what its
    pool was asked; whether any limit is set.
    """

    next_due: datetime | None
    due: bool
    to_tell: bool
    stop: str | None
    limited: bool


def look(db: Connection, worker: int, now: datetime) -> Look:
    """What a turn of this worker has to heed."""
    ((due, to_tell, stop, limited),) = db.run(_LOOK, (worker,))
    return Look(
        moment_or_none(due), due is not None and due <= ms(now), bool(to_tell), stop, bool(limited)
    )


def promote(db: Connection, now: datetime) -> int:
    """Make due jobs ready, in the order they fell due, a bounded number; how many."""
    db.run(PROMOTE, {"now": ms(now), "limit": PROMOTED_AT_ONCE})
    return db.changes()


def anything_due(db: Connection, now: datetime) -> bool:
    """Whether `promote` would find a job."""
    due = db.value(_NEXT_DUE)
    return due is not None and due <= ms(now)


def anything_to_tell(db: Connection) -> bool:
    """Whether dependants of ended jobs, or those who wait for a mutex, are still to be told."""
    return bool(db.value(f"SELECT {_TO_TELL}"))


def clamp_retries(db: Connection, now: datetime) -> None:
    """Jobs that failed in what is now the future: what was planned then counts from now."""
    db.run(_CLAMP, {"now": ms(now)})


def next_due(db: Connection) -> datetime | None:
    """When the next scheduled or failed job falls due."""
    return moment_or_none(db.value(_NEXT_DUE))


def _cause_id(db: Connection, signature: Signature | None) -> int | None:
    if signature is None:
        return None
    values = (signature.program, signature.ended, signature.line)
    db.run(_ADD_CAUSE, values)
    return int(db.value(_FIND_CAUSE, values))


def _write_chunks(db: Connection, outputs: Sequence[tuple[AttemptId, Output]]) -> None:
    chunks = [
        (attempt.job, attempt.number, chunk.seq, ms(chunk.at), marks_of(chunk), _bytes_of(chunk))
        for attempt, output in outputs
        for chunk in output.chunks
    ]
    gone = [
        (attempt.job, attempt.number, unit.start, unit.stop)
        for attempt, output in outputs
        for unit in output.gone
    ]
    if chunks:
        db.run_many(_ADD_OUTPUT, chunks)
    if gone:
        db.run_many(_DROP_OUTPUT, gone)


def _bytes_of(chunk: Chunk) -> bytes:
    return b"".join([piece.data for piece in chunk.pieces])
