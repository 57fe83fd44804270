"""Taking over from a dead worker: first everything it started is killed, then its jobs go on.

A worker is dead when, and only when, its lock can be taken. Whoever takes it is the only rescuer,
for as long as it holds it.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from queuectl_engine.cause import signature_of
from queuectl_engine.lifecycle import (
    Backoff,
    HostLost,
    NotStarted,
    WorkerDied,
    outcome_of,
    words,
)
from queuectl_engine.pool import processes
from queuectl_engine.pool.ahead import begun_by, begun_file
from queuectl_engine.pool.host import is_here, this_host
from queuectl_engine.pool.lease import boot_time
from queuectl_engine.pool.locks import SUPERVISOR, HeldLock, is_free, worker_lock
from queuectl_engine.pool.log import Log
from queuectl_engine.pool.receipts import left_receipts, settle_receipts
from queuectl_engine.repository.protocol import Ended, JobRepository, Orphan, PoolRow, WorkerRow

_NO_BACKOFF: Final = Backoff()  # a lost attempt is retried at once


def rescue_worker(
    repository: JobRepository, pool: PoolRow, worker: WorkerRow, log: Log, *, supervised: bool
) -> bool:
    """Free the jobs of a worker if it is dead; whether nothing of it is left.

    `supervised`: its supervisor lived when it died. Jobs whose processes cannot be killed from
    here are parked with the reason, and looked at again with the next call.
    """
    directory = repository.run_directory / pool.directory
    directory.mkdir(mode=0o700, exist_ok=True)
    lock = HeldLock.take(directory / worker_lock(worker.id))
    if lock is None:
        return False
    done = False
    try:
        settle_receipts(repository, directory, worker.id, log)  # before they are taken for lost
        held = repository.held_by(worker.id)
        begun = begun_by(directory, worker.id)
        if begun is None and pool.boot != this_host().boot:  # a power cut may have taken the file
            begun = frozenset()
        if not _free(repository, pool, held, begun, log, supervised=supervised):
            repository.end_worker(worker.id)
            begun_file(directory, worker.id).unlink(missing_ok=True)
            done = True
    finally:  # also when storage fails: kept, it would shut us out of the next try
        lock.release(remove=done)
    return done


class Watch:
    """How long pools of other hosts have not renewed their leases, as we have seen it ourselves.

    The store's clock alone could be set ahead, and all leases would be over at once.
    """

    def __init__(self) -> None:
        """Has seen none yet."""
        self._seen: dict[int, tuple[datetime | None, float]] = {}

    def is_lost(self, pool: PoolRow) -> bool:
        """Whether its lease is over by the store's clock, and was not renewed for so long."""
        if pool.lease is None:
            return False
        now = boot_time()
        until, since = self._seen.get(pool.id, (None, now))
        if until != pool.lease.until:
            since = now
        self._seen[pool.id] = (pool.lease.until, since)
        return pool.lease.over and now - since >= pool.lease.seconds


def rescue_pools(repository: JobRepository, mine: int, watch: Watch, log: Log) -> bool:
    """Take over from every pool of this database whose supervisor is dead or its host lost.

    Whether there are pools beside ours.
    """
    others = [pool for pool in repository.pools() if pool.id != mine]
    workers = repository.workers() if others else []
    for pool in others:
        directory = repository.run_directory / pool.directory
        theirs = [worker for worker in workers if worker.pool == pool.id]
        if not is_here(pool, repository.run_directory):
            if watch.is_lost(pool):
                _take_over(repository, pool, theirs, log)
            continue
        if not is_free(directory / SUPERVISOR):
            continue
        gone = [rescue_worker(repository, pool, w, log, supervised=False) for w in theirs]
        if all(gone):
            repository.end_pool(pool.id)
            bury_directory(directory)
            log("buried", pool=pool.name, pid=pool.pid, why="its supervisor died")
    return bool(others)


def _take_over(
    repository: JobRepository, pool: PoolRow, workers: Sequence[WorkerRow], log: Log
) -> None:
    """Give out what a lost host holds: by now it has ended that itself (see `lease`)."""
    now = repository.clock()
    lost = [host_lost(o, now) for worker in workers for o in repository.held_by(worker.id)]
    if repository.take_over(pool, lost, now=now):
        for one in lost:
            log("lost", job=one.attempt.job, attempt=one.attempt.number, why=words(one.ending))
        log("buried", pool=pool.name, host=pool.host, why="no contact with its host")


def host_lost(orphan: Orphan, now: datetime) -> Ended:
    """What becomes of an attempt of which nobody can tell any more."""
    ending = HostLost()
    outcome = outcome_of(orphan.job, ending, _NO_BACKOFF, now)
    signature = signature_of(orphan.job.command, orphan.job.argv, ending, b"")
    return Ended(orphan.attempt, ending, outcome, now, signature=signature)


def rescue_receipts(repository: JobRepository, log: Log) -> None:
    """Settle what workers left that nothing in the database names any more, as after a restore."""
    known = {pool.directory for pool in repository.pools()}
    for directory, worker in left_receipts(repository.run_directory):
        if directory.name in known or not is_free(directory / SUPERVISOR):
            continue
        lock = HeldLock.take(directory / worker_lock(worker))
        if lock is None:
            continue
        try:
            settle_receipts(repository, directory, worker, log)
        finally:
            lock.release(remove=True)
        bury_directory(directory)


def bury_directory(directory: Path) -> None:
    """Remove what a pool had, unless there are results in it that are not settled."""
    if not any(where == directory for where, _ in left_receipts(directory.parent)):
        shutil.rmtree(directory, ignore_errors=True)


def _free(
    repository: JobRepository,
    pool: PoolRow,
    held: Sequence[Orphan],
    begun: frozenset[str] | None,
    log: Log,
    *,
    supervised: bool,
) -> bool:
    """Give jobs out again, once nothing of their attempts runs; whether some must wait.

    Of those that were claimed ahead, `begun` has the tokens of those that are lost; None if nobody
    can tell.
    """
    stuck = _cannot_clear(pool, held)
    now = repository.clock()
    waited: set[str] = set()
    if begun is not None:
        waited = {one.attempt.token for one in held if one.ahead} - begun
    had_begun = [one for one in held if one.attempt.token not in waited]
    over: list[Ended] = []
    for orphan in held:
        job, number = orphan.job, orphan.attempt.number
        if (why := stuck.get(orphan.attempt.token)) is not None:
            if job.parked != why:
                repository.park(orphan.attempt, why)
                log("parked", job=job.id, attempt=number, why=why)
        elif orphan.attempt.token not in waited:
            over.append(_lost(orphan, _died(pool, orphan, had_begun, supervised), now))
            log("lost", job=job.id, attempt=number, why="worker died")
        else:
            over.append(_lost(orphan, NotStarted("its worker died before it could begin"), now))
            log("given back", job=job.id, attempt=number, why="worker died before it began")
    if over:
        repository.lose(over, now=now)
    return bool(stuck)


def _died(pool: PoolRow, orphan: Orphan, held: Sequence[Orphan], supervised: bool) -> WorkerDied:
    # One that is parked may have had others beside it, which were freed in an earlier call.
    several = pool.slots > 1 or orphan.ahead
    only = orphan.suspect or (len(held) == 1 and not (orphan.job.parked and several))
    return WorkerDied(supervised=supervised, alone=only)


def _lost(orphan: Orphan, ending: WorkerDied | NotStarted, now: datetime) -> Ended:
    outcome = outcome_of(orphan.job, ending, _NO_BACKOFF, now)
    signature = None
    if isinstance(ending, WorkerDied):
        signature = signature_of(orphan.job.command, orphan.job.argv, ending, b"")
    return Ended(orphan.attempt, ending, outcome, now, signature=signature)


def _cannot_clear(pool: PoolRow, held: Sequence[Orphan]) -> dict[str, str]:
    """Kill what the attempts left; why that is not possible, by token, where it is not."""
    host = this_host()
    if pool.boot != host.boot:  # nothing outlives its kernel
        return {}
    if pool.pid_namespace != host.pid_namespace:
        if pool.is_init:  # the end of a namespace's first process is the end of all in it
            return {}
        why = f"it may still run in another container on {pool.host}; cancel it if it does not"
        return {orphan.attempt.token: why for orphan in held}
    left = processes.kill_each({orphan.attempt.token: orphan.leader for orphan in held})
    return {
        token: f"cannot kill process {', '.join(map(str, pids))}"
        for token, pids in left.items()
        if pids
    }
