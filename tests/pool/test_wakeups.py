"""How often workers are woken, by the kernel's count of their waits: no slow machine adds to it."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from queuectl_engine import Engine, JobState, PoolInfo
from queuectl_engine.errors import StorageBusy, StorageError
from queuectl_engine.pool.log import Log
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.worker import Post, Worker
from queuectl_engine.repository import bell, open_repository
from queuectl_engine.repository.protocol import WorkerRow
from tests.pool.conftest import StartPool
from tests.samples import NOON, pool_row
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
        heard = repository.wake_fd(row)

        def ring() -> None:
            repository.ring(row)
            until(lambda: not select.select([heard], [], [], 0)[0])

        try:
            yield ring
        finally:
            os.close(heard)


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


def test_a_ring_that_nobody_hears_costs_some_seconds(
    engine: Engine, start_pool: StartPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_pool(1)
    until(lambda: alive(engine, 1))
    monkeypatch.setattr(bell, "ring_all", lambda _: None)
    job = engine.add("true")
    until(lambda: engine.get(job.id).state is JobState.COMPLETED, timeout=4 * LOOK)


def test_a_supervisor_looks_once_a_second_where_nobody_writes(
    engine: Engine, start_pool: StartPool
) -> None:
    """Twice as often until it has been quiet for some seconds, as `until` sees first."""
    supervisor = start_pool(1).pid
    watched, at_most = 4.0, 6

    def calm() -> bool:
        (before,) = waits([supervisor])
        time.sleep(watched)
        return waits([supervisor])[0] - before <= at_most

    until(calm, timeout=30)


def test_who_was_not_woken_looks_only_when_somebody_wrote(tmp_path: Path) -> None:
    """Or when a time has come, and when nobody can tell."""
    versions: list[int | StorageError] = [7, 7, 8, StorageBusy("locked"), 8]
    idle = quiet_worker(tmp_path, versions)

    assert looks(idle), "the first time"
    assert not looks(idle)
    assert looks(idle)
    assert idle._should_look(), "until it was done"
    assert looks(idle), "nobody can tell"
    idle._next_due = NOON
    assert looks(idle)
    assert len(versions) == 1, "a time that has come needs no answer"


def test_who_is_woken_looks_for_space_first(tmp_path: Path) -> None:
    """However lately it has looked: the disk may have been filled since."""
    idle = quiet_worker(tmp_path, [])
    free = [(1 << 30, 1 << 30), (0, 1 << 30)]
    repository: Any = idle._repository
    repository.free_space = lambda: free.pop(0)
    endless: Any = SimpleNamespace(ends=False, is_past=lambda _: False)
    idle._lease = endless
    idle._mind_the_space()

    idle._rung()
    idle._take_turn()  # it would ask for jobs, which this database does not know

    assert (free, idle._room()) == ([], 0)


def quiet_worker(directory: Path, versions: list[int | StorageError]) -> Worker:
    """One whose database has these versions, each time it is asked."""

    def version() -> int:
        found = versions.pop(0)
        if isinstance(found, StorageError):
            raise found
        return found

    pool, row = pool_row(directory), WorkerRow(1, 1, 1, 0, NOON)
    post = Post(PoolOptions(str(directory / "queue.db")), pool, row, directory, "")
    repository: Any = SimpleNamespace(version=version, clock=lambda: NOON)
    return Worker(repository, post, Log("text", directory / "log", to_file=True))


def looks(worker: Worker) -> bool:
    """Whether it does, when it has not for so long that it would."""
    worker._look, worker._look_at = False, 0.0
    return worker._should_look()
