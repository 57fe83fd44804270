"""A storm of SIGKILLs over workers, supervisors and fork servers, and what must hold after it.

`QUEUECTL_STORM_SECONDS` makes it longer than the few seconds of an ordinary run, and
`QUEUECTL_STORM_SEED` repeats one.
"""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path

from queuectl_engine import Engine, JobState
from queuectl_engine.pool.processes import stat_of
from tests.pool import evidence
from tests.pool.conftest import StartPool, pool_processes
from tests.waiting import until

WORK = ("true", "exit 1", "sleep 0.05", "sleep 0.3 & sleep 0.1", "setsid sleep 0.4 & true")

ENOUGH = 4  # kills, for a storm


def test_nothing_is_lost_or_doubled_in_a_storm_of_kills(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    seed = int(os.environ.get("QUEUECTL_STORM_SEED", random.SystemRandom().randrange(10**6)))
    seconds = float(os.environ.get("QUEUECTL_STORM_SECONDS", "6"))
    print(f"QUEUECTL_STORM_SEED={seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    marks = tmp_path / "evidence"
    acknowledged: list[int] = []
    kills = 0

    ends = time.monotonic() + seconds
    while time.monotonic() < ends or kills < ENOUGH:  # a slow machine needs longer for as many
        jobs = [
            engine.new_job(
                evidence.command(marks, chance.choice(WORK)), max_retries=chance.randint(0, 8)
            )
            for _ in range(chance.randint(5, 30))
        ]
        acknowledged += [added.id for added in engine.add_many(jobs)]
        _keep_two_pools(engine, start_pool, chance)
        victims = pool_processes(engine.database.location) + _workers(engine)
        if victims:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(victims), signal.SIGKILL)
                kills += 1
        until(lambda: True, timeout=chance.random() / 10)

    _keep_two_pools(engine, start_pool, chance)
    settled = (JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED)
    until(lambda: engine.counts().of(*settled) == len(acknowledged), timeout=90)
    evidence.check(engine, acknowledged, marks)


def _keep_two_pools(engine: Engine, start_pool: StartPool, chance: random.Random) -> None:
    alive = {pool.name for pool in engine.pools() if pool.alive}
    for name in {"one", "two"} - alive:
        start_pool(workers=chance.randint(1, 3), name=name, backoff_cap=0.05)


def _workers(engine: Engine) -> list[int]:
    pids = [w.pid for pool in engine.pools() for w in pool.workers if w.alive and w.pid]
    return [pid for pid in pids if stat_of(pid)]
