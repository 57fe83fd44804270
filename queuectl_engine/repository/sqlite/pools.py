"""Pools and workers as registered, and the jobs they hold. Who of them lives is not known here."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final

from queuectl_engine.errors import BadInput, NoSuchPool
from queuectl_engine.job import State
from queuectl_engine.repository.pool_rows import orphan_of, pool_of
from queuectl_engine.repository.protocol import Orphan, PoolRow, WorkerRow
from queuectl_engine.repository.sqlite import schema
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.rows import JOB, moment, ms
from queuectl_engine.repository.sqlite.suspects import SUSPECT
from queuectl_engine.safe_text import safe_text

_START: Final = """
    INSERT INTO pool (name, host, boot, pid_namespace, pid, is_init, detached, wanted,
                      queues, directory, log, started_ms, most_workers, format, slots)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id
"""
_POOLS: Final = """
    SELECT name, host, boot, pid_namespace, pid, is_init, detached, wanted, queues,
           directory, log, id, started_ms, stop, trouble,
           most_workers, slots
      FROM pool ORDER BY id
"""
_RESIZE: Final = """
    UPDATE pool SET wanted = max(0, coalesce(:to, wanted + :by)) WHERE id = :id RETURNING wanted
"""
_BOUND: Final = """
    SELECT name, most_workers, max(0, coalesce(:to, wanted + :by)) FROM pool WHERE id = :id
"""
# "now" is never taken back by a later "graceful".
_ASK_STOP: Final = """
    UPDATE pool SET stop = iif(stop = 'now', 'now', :how) WHERE id = :id
"""
_HELD: Final = f"""
    SELECT {JOB}, attempt.number, attempt.token, job.worker, leader_pid, leader_ticks,
           {SUSPECT}
      FROM job INDEXED BY job_list_processing
      JOIN attempt ON attempt.job = job.id AND attempt.number = job.runs
     WHERE job.state = 'processing' AND job.worker IS NOT NULL AND
"""
HELD_BY: Final = f"{_HELD} job.worker = ?"
_REMAINING: Final = """
    SELECT state, sum(n) FROM counter JOIN queue ON queue.id = counter.queue
     WHERE paused = 0 AND (:served = '[]' OR name IN (SELECT value FROM json_each(:served)))
       AND state NOT IN ('processing', 'deleted')
     GROUP BY state
    UNION ALL
    SELECT 'processing', count(*) FROM job INDEXED BY job_list_processing
     WHERE state = 'processing' AND worker IS NOT NULL
       AND worker IN (SELECT id FROM worker WHERE pool = :pool)
"""
# What is being told that something ended, or will be when a job that runs now ends.
_STIRRING: Final = """
    SELECT 1 FROM ended UNION ALL SELECT 1 FROM loosened UNION ALL
    SELECT 1 FROM job INDEXED BY job_list_processing
     WHERE state = 'processing' AND worker IS NOT NULL AND (
      EXISTS (SELECT 1 FROM need INDEXED BY need_open WHERE need.parent = job.id AND need.met = 0)
      OR EXISTS (SELECT 1 FROM job AS aside INDEXED BY job_aside WHERE aside.mutex = job.mutex
                  AND aside.state = 'blocked' AND aside.waits = 'mutex'))
    LIMIT 1
"""
_ALL_HELD: Final = f"{_HELD} 1"
STRAYS: Final = f"{_HELD} NOT EXISTS (SELECT 1 FROM worker WHERE worker.id = job.worker)"


def start_pool(db: Connection, pool: PoolRow, now: datetime) -> int:
    """Register a pool; its id."""
    row = (
        pool.name,
        pool.host,
        pool.boot,
        pool.pid_namespace,
        pool.pid,
        int(pool.is_init),
        int(pool.detached),
        pool.wanted,
        json.dumps(pool.queues),
        pool.directory,
        pool.log,
        ms(now),
        pool.most_workers,
        schema.VERSION,
        pool.slots,
    )
    number = int(db.value(_START, row))
    proof = "SELECT 1 FROM pool WHERE id = ? AND pid = ? AND started_ms = ?"
    db.prove(proof, (number, pool.pid, ms(now)), f"registered pool {safe_text(pool.name)}")
    return number


def start_worker(db: Connection, pool: int, number: int, now: datetime) -> WorkerRow:
    """Register a worker before its process exists, so that none is ever unknown."""
    sql = "INSERT INTO worker (pool, number, started_ms) VALUES (?, ?, ?) RETURNING id"
    worker = int(db.value(sql, (pool, number, ms(now))))
    return WorkerRow(worker, pool, number, 0, moment(ms(now)))


def pools(db: Connection) -> list[PoolRow]:
    """Every registered pool, oldest first."""
    return [pool_of(row) for row in db.run(_POOLS)]


def workers(db: Connection) -> list[WorkerRow]:
    """Every registered worker, by pool and number."""
    sql = "SELECT id, pool, number, pid, started_ms FROM worker ORDER BY pool, number, id"
    return [
        WorkerRow(worker, pool, number, pid, moment(started))
        for worker, pool, number, pid, started in db.run(sql)
    ]


def held_by(db: Connection, worker: int) -> list[Orphan]:
    """The jobs in processing that belong to a worker."""
    return [orphan_of(row) for row in db.run(HELD_BY, (worker,))]


def all_held(db: Connection) -> list[Orphan]:
    """Every job in processing."""
    return [orphan_of(row) for row in db.run(_ALL_HELD)]


def strays(db: Connection) -> list[Orphan]:
    """The jobs in processing whose worker is registered nowhere."""
    return [orphan_of(row) for row in db.run(STRAYS)]


def remaining(db: Connection, pool: PoolRow) -> dict[State, int]:
    """Counts over a pool's unpaused queues; of processing, only what its workers hold."""
    args = {"served": json.dumps(pool.queues), "pool": pool.id}
    return {State(state): n for state, n in db.run(_REMAINING, args) if n}


def stirring(db: Connection) -> bool:
    """Whether blocked jobs are about to be freed, or may be when a running job ends."""
    return bool(db.run(_STIRRING))


def resize(db: Connection, pool: int, by: int | None, to: int | None) -> int:
    """Change the wanted size, never below 0; the new one. Raises BadInput, NoSuchPool."""
    args = {"id": pool, "by": by or 0, "to": to}
    rows = db.run(_BOUND, args)
    if not rows:
        raise NoSuchPool("that pool has ended; 'queuectl pools' lists those that run")
    name, most, wanted = rows[0]
    if most is not None and wanted > most:
        raise BadInput(
            f"pool {safe_text(name)} has values for {most} slots (--per-slot), so for {most} "
            f"workers at most; start one with more values"
        )
    return int(db.value(_RESIZE, args))


def ask_stop(db: Connection, pool: int, how: str) -> None:
    """Ask a pool to stop, gracefully or now."""
    db.run(_ASK_STOP, {"id": pool, "how": how})
