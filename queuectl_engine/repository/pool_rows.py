"""Pools, and the jobs that they hold, from their rows: the same in every store."""

from __future__ import annotations

import json
import os

from queuectl_engine.repository.protocol import AttemptId, Leader, Lease, Orphan, PoolRow
from queuectl_engine.repository.rows import Row, job_of, moment


def pool_of(row: Row, lease: Lease | None = None) -> PoolRow:
    """A pool from the columns of a store, of which further ones may tell of its lease."""
    return PoolRow(
        name=row[0],
        host=row[1],
        boot=row[2],
        pid_namespace=row[3],
        pid=row[4],
        is_init=bool(row[5]),
        detached=bool(row[6]),
        wanted=row[7],
        queues=tuple(json.loads(row[8])),
        directory=os.path.basename(row[9]),  # never outside of the run directory
        log=row[10],
        id=row[11],
        started_at=moment(row[12]),
        stop=row[13],
        trouble=row[14],
        most_workers=row[15],
        slots=row[16],
        lease=lease,
    )


def orphan_of(row: Row) -> Orphan:
    """A job that is held, from the columns of `job_of` and then those of its attempt."""
    *_, number, token, worker, pid, ticks, suspect = row
    job = job_of(row)
    leader = Leader(pid, ticks) if pid else None  # 0: claimed ahead, and nothing heard of it since
    attempt = AttemptId(job.id, number, token)
    return Orphan(job, attempt, worker, leader, bool(suspect), ahead=pid == 0)
