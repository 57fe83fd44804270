"""Many workers, many jobs: each runs once."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from queuectl_engine import Engine, JobState
from tests.pool.conftest import StartPool
from tests.waiting import until

JOBS = 1_000


def test_two_pools_run_every_job_once(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    numbers = tmp_path / "numbers"
    context = engine.context()
    engine.add_many(engine.new_job(f"echo {n} >> {numbers}", context) for n in range(JOBS))

    start_pool(workers=4, name="one")
    start_pool(workers=4, name="two")
    until(lambda: engine.counts().of(JobState.COMPLETED) == JOBS, timeout=90)

    assert Counter(numbers.read_text().split()) == Counter(str(n) for n in range(JOBS))
