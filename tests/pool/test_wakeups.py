"""How often workers are woken, by the kernel's count of their waits: no slow machine adds to it."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from queuectl_engine import Engine, JobState, PoolInfo
from queuectl_engine.repository import open_repository
from tests.pool.conftest import StartPool
from tests.waiting import until

WORKERS = 4
RINGS = 40
BATCHES = 10
JOBS = 20
LOOK = 5.0  # seconds after which an idle worker looks by itself


def waits(pids: list[int]) -> list[int]:
    """How often each has gone to sleep of its own will so far."""
    return [int(_status(pid, "voluntary_ctxt_switches")) for pid in pids]


def _status(pid: int, name: str) -> str:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return status.partition(f"\n{name}:")[2].split()[0]


def alive(engine: Engine, count: int) -> list[int]:
    """The workers, once there are so many."""
    pids = [worker.pid for worker in engine.find_pool().workers if worker.alive and worker.pid]
    return pids if len(pids) == count else []


def at_rest(pids: list[int]) -> list[int]:
    """The counts once all of them sleep, and none has done anything for a while."""

    def still() -> list[int]:
        before = waits(pids)
        time.sleep(0.02)
        asleep = all(_status(pid, "State") == "S" for pid in pids)
        return before if asleep and waits(pids) == before else []

    return until(still)


@contextmanager
def ringing(engine: Engine, pool: PoolInfo) -> Iterator[Callable[[], None]]:
    """Rings the pool, and waits until a worker has heard it."""
    with closing(open_repository(engine.database.location)) as repository:
        (row,) = [row for row in repository.pools() if row.id == pool.id]
        bell = repository.wake_fd(row)

        def ring() -> None:
            repository.ring(row)
            until(lambda: not select.select([bell], [], [], 0)[0])

        try:
            yield ring
        finally:
            os.close(bell)


def test_a_ring_wakes_one_of_the_idle_workers(engine: Engine, start_pool: StartPool) -> None:
    pool = start_pool(WORKERS)
    pids = until(lambda: alive(engine, WORKERS))
    woken = 0
    with ringing(engine, pool) as ring:
        began = time.monotonic()
        for _ in range(RINGS):
            before = at_rest(pids)
            ring()
            after = at_rest(pids)
            woken += sum(one != other for one, other in zip(before, after, strict=True))
        by_themselves = WORKERS * (1 + (time.monotonic() - began) / LOOK)
    assert RINGS <= woken <= RINGS + by_themselves


def test_a_job_costs_its_worker_two_waits(engine: Engine, start_pool: StartPool) -> None:
    """For its process to begin and to end: what it printed is read then, unless it runs longer.

    The fewest of some batches, as on a busy machine any job may run longer.
    """
    start_pool(1)
    (pid,) = until(lambda: alive(engine, 1))
    waited = []
    for batch in range(1, BATCHES + 1):
        (before,) = at_rest([pid])
        engine.add_lines(["true"] * JOBS)
        until(lambda: engine.counts().of(JobState.COMPLETED) == batch * JOBS, timeout=60)  # noqa: B023
        (after,) = at_rest([pid])
        waited.append(after - before)
    assert JOBS < min(waited) <= 2.5 * JOBS
