"""Which job is next, and taking it.

As on SQLite: the best ready job of the queues that are served, not paused and below their limit:
highest priority, then queues of equal priority in turn, then lowest id. What is otherwise: many
claim at once, and none waits for another. First the queues are compared, then the best job of the
best queue that nobody else is taking is locked (SKIP LOCKED). So two who claim at once may pass
each other by one job, and turns between queues are as fair as those who claim at once can know.

Queues with ready jobs are found by jumping along the index from one queue to the next: a claim
reads no counter. Only a queue with a limit is decided about by one transaction at a time.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from queuectl_engine.repository.postgres import locks, mutexes, reading, suspects, telling
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.rows import JOB
from queuectl_engine.repository.postgres.storing import queue_id
from queuectl_engine.repository.postgres.suspects import SUSPECT
from queuectl_engine.repository.protocol import AttemptId, Claim
from queuectl_engine.repository.rows import Row, job_of, ms

_ROUNDS: Final = 10  # of jobs set aside in one transaction
_LOWEST: Final = -(2**63)

_READY_IN: Final = """
    WITH RECURSIVE ready_in (queue) AS (
      SELECT min(queue) FROM job WHERE state = 'ready'
      UNION ALL
      SELECT (SELECT min(job.queue) FROM job
               WHERE state = 'ready' AND job.queue > ready_in.queue)
        FROM ready_in WHERE ready_in.queue IS NOT NULL)
"""
# Queues that have ready jobs and may start one; `full` are those that we know may not.
_OPEN: Final = """
    ready_in JOIN queue ON queue.id = ready_in.queue AND NOT queue.paused
      AND (%(served)s::text[] = '{}' OR queue.name = ANY (%(served)s::text[]))
      AND queue.id <> ALL (%(full)s::bigint[])
      AND (queue.max_running IS NULL OR queue.max_running > (
        SELECT count(*) FROM job AS running
         WHERE running.queue = queue.id AND running.state = 'processing'))
      AND NOT EXISTS (
        SELECT 1 FROM meta WHERE max_running IS NOT NULL AND max_running <= (
          SELECT count(*) FROM job AS running WHERE running.state = 'processing'))
"""
# What is for us: no mutex that others decide about, no suspect where we run something else.
_UNHELD: Final = f"""
    (mutex IS NULL OR mutex <> ALL (%(skip)s::text[])) AND (%(suspects)s OR NOT {SUSPECT})
"""
BEST: Final = f"""
    {_READY_IN}
    SELECT queue.id, best.priority, queue.turn, queue.max_running IS NOT NULL
      FROM {_OPEN} CROSS JOIN LATERAL (
        SELECT id, priority FROM job
         WHERE job.queue = queue.id AND job.state = 'ready' AND {_UNHELD}
         ORDER BY priority DESC, id LIMIT 1) AS best
     ORDER BY best.priority DESC, queue.turn, best.id
"""
READY_LEFT: Final = f"{_READY_IN} SELECT 1 FROM {_OPEN} LIMIT 1"
LOCK_BEST: Final = f"""
    SELECT id, priority, queue, mutex, {SUSPECT} FROM job
     WHERE queue = %(queue)s AND state = 'ready' AND priority >= %(floor)s AND {_UNHELD}
     ORDER BY priority DESC, id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
"""
_BELOW_LIMIT: Final = """
    SELECT max_running > (SELECT count(*) FROM job AS running
                           WHERE running.queue = queue.id AND running.state = 'processing')
      FROM queue WHERE id = %s
"""
# Behind all that could have been next; not where another claim is writing the same.
_TURN: Final = """
    UPDATE queue SET turn = %(turn)s WHERE id = (
      SELECT id FROM queue WHERE id = %(queue)s FOR NO KEY UPDATE SKIP LOCKED)
"""
# A worker that was forgotten gets nothing: nobody would look for what it runs.
_TAKE: Final = f"""
    UPDATE job SET state = 'processing', attempts = attempts + 1, runs = runs + 1,
                   token = %(token)s, worker = %(worker)s, started_ms = %(now)s,
                   updated_ms = %(now)s
     WHERE id = %(job)s AND state = 'ready'
       AND EXISTS (SELECT 1 FROM worker WHERE worker.id = %(worker)s)
    RETURNING {JOB}
"""
_BEGIN_ATTEMPT: Final = """
    INSERT INTO attempt (job, number, token, worker, started_ms)
    SELECT %(job)s, %(number)s, %(token)s, 'w' || number, %(now)s
      FROM worker WHERE id = %(worker)s
"""
_HELD: Final = "SELECT 1 FROM job WHERE id = %s AND token = %s"
_LIMITED: Final = """
    SELECT 1 FROM meta WHERE max_running IS NOT NULL
    UNION ALL SELECT 1 FROM queue WHERE max_running IS NOT NULL LIMIT 1
"""


@dataclass(slots=True)
class Taken:
    """What a claim took. `hold`: take nothing more until what runs has ended.

    `unfinished`: we stopped looking although there may be more for us, as too many jobs had to be
    set aside in one transaction, or others are just deciding about them.
    """

    claims: list[Claim]
    hold: bool = False
    unfinished: bool = False


def claim(
    db: Connection, worker: int, queues: Sequence[str], room: int, now: datetime, running: int = 0
) -> Taken:
    """Up to `room` jobs of these queues (of all when empty), now ours; we run some already.

    A suspect is taken by a worker that runs nothing, and then nothing else is.
    """
    if room and db.value("SELECT max_running IS NOT NULL FROM meta"):
        locks.lock_all_queues(db)
    patient = bool(room) and running + room > 1 and suspects.makes_room(db, worker)
    look = _Look(db, queues)
    claims: list[Claim] = []
    hold = False
    while len(claims) < room and not hold:
        free = not (running or claims)
        if (found := look.next(suspects=free or patient)) is None:
            break
        job, hold = found
        if hold and not free:
            break
        if (taken := _take(db, job, worker, now)) is None:
            break
        claims.append(taken)
    return Taken(claims, hold, look.unfinished)


def still_held(db: Connection, claims: Sequence[Claim]) -> list[Claim]:
    """Those that were committed, though nobody could say so."""
    return [claim for claim in claims if db.run(_HELD, (claim.attempt.job, claim.attempt.token))]


def ready_left(db: Connection, queues: Sequence[str]) -> bool:
    """Whether a further claim over these queues would find a job."""
    return bool(db.run(READY_LEFT, {"served": list(queues), "full": []}))


def limited(db: Connection) -> bool:
    """Whether any limit is set, so that a job's end may let one of another queue start."""
    return bool(db.run(_LIMITED))


def limit(db: Connection, names: Sequence[str] | None, max_running: int | None) -> None:
    """Let at most so many jobs of each of these queues run, or of all queues together."""
    if names is None:
        db.run("UPDATE meta SET max_running = %s", (max_running,))
        return
    for name in names:
        queue = queue_id(db, name)
        db.run("UPDATE queue SET max_running = %s WHERE id = %s", (max_running, queue))


class _Look:
    """One transaction's search: what it has found to be not for it now, it passes over."""

    def __init__(self, db: Connection, queues: Sequence[str]) -> None:
        self._db = db
        self._args: dict[str, Any] = {"served": list(queues)}
        self._skip: list[str] = []  # mutexes that others decide about
        self._full: list[int] = []  # queues at their limit, or that others decide about
        self._rounds = _ROUNDS
        self.unfinished = False

    def next(self, *, suspects: bool) -> tuple[int, bool] | None:
        """The next job to take, locked, and whether it is a suspect; None when there is none."""
        self._args["suspects"] = suspects
        while candidates := self._db.run(BEST, self._asked()):
            queue, _, _, limited = candidates[0]
            if limited and not self._may_start(queue):
                self._full.append(queue)
                continue
            if (found := self._lock_best(candidates)) is None:
                self.unfinished = True  # all of them are being changed by others
                return None
            job, priority, queue, mutex, suspect = found
            if mutex is None or self._is_free(mutex, queue):
                self._take_turn(candidates, queue, priority)
                return int(job), bool(suspect)
            if self._rounds < 0:
                self.unfinished = True
                return None
        return None

    def _asked(self) -> dict[str, Any]:
        return {**self._args, "skip": self._skip, "full": self._full}

    def _may_start(self, queue: int) -> bool:
        if not locks.try_queue(self._db, queue):
            self.unfinished = True
            return False
        return bool(self._db.value(_BELOW_LIMIT, (queue,)))

    def _lock_best(self, candidates: Sequence[Row]) -> Row | None:
        """The best job that nobody else is taking, in the queue where it stands to be.

        Of a queue whose best one is being taken, the next one may be worse than another queue's
        best: so first only those are taken that are not.
        """
        unlimited = [c for n, c in enumerate(candidates) if n == 0 or not c[3]]
        floors = [c[1] for c in unlimited[1:]] + [_LOWEST]
        tries = [(c[0], floor) for c, floor in zip(unlimited, floors, strict=True)]
        tries += [(c[0], _LOWEST) for c in unlimited[:-1]]
        for queue, floor in tries:
            if rows := self._db.run(LOCK_BEST, {**self._asked(), "queue": queue, "floor": floor}):
                return rows[0]
        return None

    def _is_free(self, mutex: str, queue: int) -> bool:
        """Whether a job with this mutex may start; if not, it is out of our way."""
        if not locks.try_mutex(self._db, mutex):
            self._skip.append(mutex)
            self.unfinished = True
            return False
        if not mutexes.held(self._db, mutex):
            return True
        self._rounds -= 1
        if self._rounds >= 0:
            mutexes.set_aside(self._db, mutex, queue)
        return False

    def _take_turn(self, candidates: Sequence[Row], queue: int, priority: int) -> None:
        rivals = [turn for other, best, turn, _ in candidates if best == priority]
        if len(rivals) > 1:
            turn = 1 + max(turn for _, _, turn, _ in candidates)
            self._db.run(_TURN, {"queue": queue, "turn": turn})


def _take(db: Connection, job: int, worker: int, now: datetime) -> Claim | None:
    token = os.urandom(16).hex()
    args = {"job": job, "token": token, "worker": worker, "now": ms(now)}
    rows = db.run(_TAKE, args)
    if not rows:
        return None
    taken = job_of(rows[0])
    db.run(_BEGIN_ATTEMPT, {**args, "number": taken.runs})
    telling.started(db, taken, now)
    attempt = AttemptId(job, taken.runs, token)
    return Claim(attempt, taken, reading.context(db, taken.context_id))
