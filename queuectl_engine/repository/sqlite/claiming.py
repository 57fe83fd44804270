"""Which job is next, and taking it.

The best ready job of the queues that are served, not paused and below their limit: highest
priority, then queues of equal priority in turn, then lowest id. INDEXED BY, because the planner
would rather sort through an index on the state alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import datetime
from itertools import takewhile
from typing import Final, NamedTuple

from queuectl_engine.job import Job
from queuectl_engine.repository.protocol import AttemptId, Claim
from queuectl_engine.repository.sqlite import mutexes, suspects, telling
from queuectl_engine.repository.sqlite.adding import queue_id
from queuectl_engine.repository.sqlite.connection import Connection, Row
from queuectl_engine.repository.sqlite.rows import JOB, JOB_WIDTH, context_of, job_of, ms
from queuectl_engine.repository.sqlite.statements import numbered
from queuectl_engine.repository.sqlite.suspects import SUSPECT

_RUNS: Final = Job._fields.index("runs")
_TOKEN: Final = 16  # random bytes
_ROUNDS: Final = 10  # of jobs set aside in one transaction
_PART: Final = 4  # a worker's share is one such part of what is ready for it

# Queues that have ready jobs and may start one. Running jobs are counted by triggers.
_OPEN: Final = """
    counter JOIN queue ON queue.id = counter.queue AND queue.paused = 0
      AND (queue.max_running IS NULL OR queue.max_running > ifnull((
        SELECT n FROM counter AS running
         WHERE running.state = 'processing' AND running.queue = counter.queue), 0))
"""
_READY: Final = """
    counter.state = 'ready' {served} AND NOT EXISTS (
      SELECT 1 FROM meta WHERE max_running <= (
        SELECT ifnull(sum(n), 0) FROM counter AS running WHERE running.state = 'processing'))
"""
# The best of each queue that may start one. Sorted by us: SQLite would make a table for it.
_BEST: Final = f"""
    SELECT best.id, best.priority, best.queue, best.mutex, {SUSPECT.replace("job.id", "best.id")},
           queue.turn
      FROM {_OPEN}
      JOIN job AS best ON best.id = (
        SELECT id FROM job INDEXED BY job_ready
         WHERE job.queue = counter.queue AND job.state = 'ready' AND (:alone OR NOT {SUSPECT})
         ORDER BY job.priority DESC, job.id LIMIT 1)
     WHERE {_READY}
"""
# What comes after it in its queue, while no other queue has any; it is the first of them itself.
_IN_LINE: Final = f"""
    SELECT id, mutex, {SUSPECT} FROM job INDEXED BY job_ready
     WHERE queue = ? AND state = 'ready' AND (? OR NOT {SUSPECT})
     ORDER BY priority DESC, id LIMIT ?
"""
_READY_LEFT: Final = f"SELECT 1 FROM {_OPEN} WHERE {_READY} LIMIT 1"
_SERVED: Final = "AND queue.name IN (SELECT value FROM json_each(:served))"
# Of what is ready for each worker, so that none is without work while others have it waiting.
_SHARE: Final = f"""
    SELECT (SELECT ifnull(sum(n), 0) FROM {_OPEN} WHERE {_READY})
           / (SELECT {_PART} * max(count(*), 1) FROM worker)
"""
_SHARE_OF_ANY: Final = numbered(_SHARE.format(served=""))
_SHARE_OF_SERVED: Final = numbered(_SHARE.format(served=_SERVED), "served")
_BEST_OF_ANY: Final = numbered(_BEST.format(served=""), "alone")
_BEST_OF_SERVED: Final = numbered(_BEST.format(served=_SERVED), "alone", "served")
_LEFT_OF_ANY: Final = numbered(_READY_LEFT.format(served=""))
_LEFT_OF_SERVED: Final = numbered(_READY_LEFT.format(served=_SERVED), "served")

# Behind all that could have been next.
_TURN: Final = """
    UPDATE queue SET turn = 1 + (
      SELECT max(other.turn) FROM counter JOIN queue AS other ON other.id = counter.queue
       WHERE counter.state = 'ready')
     WHERE id = ?
"""
# A worker that was forgotten gets nothing: nobody would look for what it runs.
_TAKE: Final = numbered(
    """
    UPDATE job SET state = 'processing', attempts = attempts + 1, runs = runs + 1, token = :token,
                   worker = :worker, started_ms = :now, updated_ms = :now
     WHERE id = :job AND state = 'ready' AND EXISTS (SELECT 1 FROM worker WHERE id = :worker)
    """,
    "job", "token", "worker", "now",
)  # fmt: skip
# Not as RETURNING, which would put its row into a temporary table first.
_TAKEN: Final = numbered(
    f"""
    SELECT {JOB}, (SELECT body FROM context WHERE context.id = job.context)
      FROM carray(?1) AS taken CROSS JOIN job ON job.id = taken.value
     WHERE job.worker = ?2
    """
)
# A leader of 0 is none yet, of one that was claimed ahead; the first tick writes the real one.
_BEGIN_ATTEMPTS: Final = numbered(
    """
    INSERT INTO attempt (job, number, token, worker, started_ms, leader_pid)
    SELECT job.id, job.runs, job.token, 'w' || worker.number, job.started_ms,
           iif(begun.rowid > :at_once, 0, NULL)
      FROM carray(?1) AS begun CROSS JOIN job ON job.id = begun.value
           CROSS JOIN worker ON worker.id = job.worker
    """,
    "jobs", "at_once",
)  # fmt: skip
_BEGUN: Final = "SELECT 1 FROM attempt WHERE job = ? AND number = ? AND token = ?"
_HELD: Final = "SELECT 1 FROM job WHERE id = ? AND token = ?"
# Then a job's end may let one of another queue start.
LIMITED: Final = """
    EXISTS (SELECT 1 FROM meta WHERE max_running IS NOT NULL)
    OR EXISTS (SELECT 1 FROM queue INDEXED BY queue_limited WHERE max_running IS NOT NULL)
"""


class Held(NamedTuple):
    """A claim as it was read. `claim_of` makes it one, which nobody who waits for the lock needs.

    `ahead` as in `Claim`.
    """

    attempt: AttemptId
    row: Row
    ahead: bool


class Taken(NamedTuple):
    """What a claim took. `hold`: take nothing more until what runs has ended.

    `unfinished`: too many jobs had to be set aside in one transaction, so we stopped looking.
    """

    claims: list[Held]
    hold: bool = False
    unfinished: bool = False


def claim(
    db: Connection,
    worker: int,
    queues: Sequence[str],
    room: int,
    now: datetime,
    running: int,
    ahead: int,
    *,
    limited: bool,
) -> Taken:
    """Up to `room` jobs of these queues (of all when empty), now ours; we run some already.

    Then up to `ahead` more, which are to wait for room. A suspect is taken by a worker that runs
    nothing, and then nothing else is. `limited`: whether any limit may be set.
    """
    claims: list[Held] = []
    rounds = _ROUNDS
    patient = bool(room) and running + room > 1 and suspects.makes_room(db, worker)
    most = room + (_share(db, queues, ahead) if room and not limited else 0)
    while len(claims) < most:
        free = not (running or claims)
        if not (best := _best(db, queues, free or patient)):
            break
        job, priority, queue, mutex, suspect, _ = min(best, key=_rank)
        if suspect and not free:
            return Taken(claims, hold=True)
        if mutex is not None and len(claims) >= room:
            break
        if mutex is not None and mutexes.held(db, mutex):
            if not rounds:
                return Taken(claims, unfinished=True)
            rounds -= 1
            mutexes.set_aside(db, mutex, queue)
            continue
        alone = limited or suspect or mutex is not None or len(best) > 1
        jobs = [job] if alone else _in_line(db, job, queue, patient, most - len(claims))
        taken = _take(db, jobs, max(0, room - len(claims)), worker, now)
        claims += taken
        if not taken:
            break
        if any(other[1] == priority and other[2] != queue for other in best):
            db.run(_TURN, (queue,))
        if suspect:
            return Taken(claims, hold=True)
    return Taken(claims)


def _rank(best: Row) -> tuple[int, int, int]:
    job, priority, *_, turn = best
    return -priority, turn, job


def claim_of(held: Held) -> Claim:
    """The claim, with its job and its context."""
    attempt, row, ahead = held
    return Claim(attempt, job_of(row), context_of(row[JOB_WIDTH]), ahead)


def still_held(db: Connection, claims: Sequence[Held]) -> list[Held]:
    """Those that were committed, though their COMMIT was said to have failed."""
    return [claim for claim in claims if db.run(_HELD, (claim.attempt.job, claim.attempt.token))]


def ready_left(db: Connection, queues: Sequence[str]) -> bool:
    """Whether a further claim over these queues would find a job."""
    if queues:
        return bool(db.run(_LEFT_OF_SERVED, (json.dumps(list(queues)),)))
    return bool(db.run(_LEFT_OF_ANY))


def limit(db: Connection, names: Sequence[str] | None, max_running: int | None) -> None:
    """Let at most so many jobs of each of these queues run, or of all queues together."""
    if names is None:
        db.run("UPDATE meta SET max_running = ?", (max_running,))
        return
    for name in names:
        queue = queue_id(db, name)
        db.run("UPDATE queue SET max_running = ? WHERE id = ?", (max_running, queue))


def _best(db: Connection, queues: Sequence[str], alone: bool) -> list[Row]:
    """The best job of each queue, suspects among them if it may run alone."""
    if queues:
        return db.run(_BEST_OF_SERVED, (alone, json.dumps(list(queues))))
    return db.run(_BEST_OF_ANY, (alone,))


def _share(db: Connection, queues: Sequence[str], ahead: int) -> int:
    """Of so many that may be claimed ahead, those that leave enough to the other workers."""
    if not ahead:
        return 0
    if queues:
        return min(ahead, int(db.value(_SHARE_OF_SERVED, (json.dumps(list(queues)),))))
    return min(ahead, int(db.value(_SHARE_OF_ANY)))


def _in_line(db: Connection, job: int, queue: int, patient: bool, count: int) -> list[int]:
    """This job, the best of its queue, and what comes next there and may run beside others."""
    if count == 1:
        return [job]
    found = db.run(_IN_LINE, (queue, patient, count))
    return [each for each, *_ in takewhile(lambda row: row[1] is None and not row[2], found)]


def _take(
    db: Connection, jobs: Sequence[int], at_once: int, worker: int, now: datetime
) -> list[Held]:
    """Make these ours, if they are to be had; those after the first `at_once` are claimed ahead."""
    at = ms(now)
    random = os.urandom(_TOKEN * len(jobs)).hex()
    tokens = [random[start : start + 2 * _TOKEN] for start in range(0, len(random), 2 * _TOKEN)]
    db.run_many(_TAKE, [(job, token, worker, at) for job, token in zip(jobs, tokens, strict=True)])
    rows = db.run_for(_TAKEN, jobs, worker)
    if not rows:  # nobody knows this worker any more
        return []
    db.run_for(_BEGIN_ATTEMPTS, jobs, at_once)
    telling.started(db, jobs)
    attempts = [
        AttemptId(job, row[_RUNS], token)
        for job, row, token in zip(jobs, rows, tokens, strict=True)
    ]
    db.prove(_BEGUN, attempts[-1], f"claimed job {attempts[-1].job}")
    waits = [place >= at_once for place in range(len(jobs))]
    return [*map(Held, attempts, rows, waits)]
