"""Which pools there are, and who in them lives: the store knows the first, the locks the second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from queuectl_engine.errors import NoSuchPool
from queuectl_engine.job import PoolInfo, WorkerInfo
from queuectl_engine.pool.host import is_here, this_host
from queuectl_engine.pool.locks import SUPERVISOR, is_free, worker_lock
from queuectl_engine.pool.space import no_space
from queuectl_engine.repository.protocol import JobRepository, PoolRow, WorkerRow
from queuectl_engine.safe_text import safe_text


def census(repository: JobRepository) -> list[PoolInfo]:
    """Every registered pool with its workers, oldest first."""
    workers = repository.workers()
    return [
        _pool_info(repository, pool, [w for w in workers if w.pool == pool.id])
        for pool in repository.pools()
    ]


def pick(pools: Sequence[PoolInfo], name: str | None) -> PoolInfo:
    """The living pool that is meant: the named one, else the only one, else `default`.

    Raises NoSuchPool, which lists them.
    """
    living = [pool for pool in pools if pool.alive]
    here = [pool for pool in living if pool.host == this_host().name]
    meant = [pool for pool in here or living if name is None or pool.name == name]
    if name is None and len(meant) > 1:
        meant = [pool for pool in meant if pool.name == "default"]
    if name is not None and not meant:
        meant = [pool for pool in living if pool.name == name]
    if len({pool.host for pool in meant}) > 1:
        hosts = ", ".join(sorted({safe_text(pool.host) for pool in meant}))
        raise NoSuchPool(
            f"several pools are named {safe_text(meant[0].name)}, on {hosts}; go there"
        )
    # While a pool stops, a new one may have its name already: the newest is meant.
    if meant:
        return meant[-1]
    names = ", ".join(safe_text(pool.name) for pool in living)
    if not living:
        raise NoSuchPool("no pool runs here; 'queuectl worker --detach' starts one")
    if name is not None:
        raise NoSuchPool(f"no pool named {safe_text(name)} runs here; there is {names}")
    raise NoSuchPool(f"several pools run here: {names}; name one with --pool")


def _pool_info(repository: JobRepository, pool: PoolRow, workers: Sequence[WorkerRow]) -> PoolInfo:
    directory = repository.run_directory / pool.directory
    assert pool.started_at is not None
    here = is_here(pool, repository.run_directory)
    alive = not is_free(directory / SUPERVISOR) if here else _is_heard_of(pool)
    # On a full disk it cannot say so itself.
    full = no_space(repository.free_space()) if alive else None
    return PoolInfo(
        id=pool.id,
        name=pool.name,
        host=pool.host,
        pid=pool.pid,
        detached=pool.detached,
        wanted=pool.wanted,
        stopping=pool.stop,
        queues=pool.queues,
        started_at=pool.started_at,
        alive=alive,
        trouble=pool.trouble or full,
        log=pool.log,
        workers=tuple(
            _worker_info(repository, worker, _lives(directory, worker) if here else alive)
            for worker in workers
        ),
        most_workers=pool.most_workers,
        slots=pool.slots,
    )


def _is_heard_of(pool: PoolRow) -> bool:
    """Of another host nobody knows more than that."""
    return pool.lease is not None and not pool.lease.over


def _worker_info(repository: JobRepository, worker: WorkerRow, alive: bool) -> WorkerInfo:
    jobs = [orphan.job for orphan in repository.held_by(worker.id)]  # longest running first
    return WorkerInfo(
        id=worker.id,
        name=worker.name,
        pid=worker.pid,
        started_at=worker.started_at,
        alive=alive,
        job=jobs[0].id if jobs else None,
        job_since=jobs[0].started_at if jobs else None,
        jobs=tuple(job.id for job in jobs),
    )


def _lives(directory: Path, worker: WorkerRow) -> bool:
    return not is_free(directory / worker_lock(worker.id))
