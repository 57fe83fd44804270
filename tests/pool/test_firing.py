"""Real pools meet the times of schedules: each once, also when a supervisor dies meanwhile."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from queuectl_engine import Engine, JobState, PoolRefused, Schedule
from queuectl_engine.pool import failpoints
from queuectl_engine.repository import open_repository
from queuectl_engine.schedule import new_schedule
from tests.pool.conftest import StartPool, ended, printed
from tests.waiting import until


def overdue(engine: Engine, command: str = "true") -> Schedule:
    """A schedule whose time came last New Year and comes again next New Year."""
    made = new_schedule(
        "0 0 1 1 *", engine.new_job(command), now=datetime.now(UTC) - timedelta(days=366)
    )
    with closing(open_repository(engine.database.location)) as repo:
        number, _ = repo.add_schedule(made, now=datetime.now(UTC))
    return engine.schedule(number)


def test_pools_share_the_times_of_schedules(engine: Engine, start_pool: StartPool) -> None:
    schedules = [overdue(engine) for _ in range(150)]

    for name in ("one", "two", "three"):
        start_pool(workers=0, name=name)
    until(lambda: all(engine.schedule(each.id).last_job for each in schedules))

    jobs = list(engine.jobs())
    assert sorted(job.schedule_id or 0 for job in jobs) == [each.id for each in schedules]


def test_its_job_runs_as_it_was_added(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    made = engine.new_job('echo "$MODE $PWD"', engine.context(cwd=str(tmp_path), env={"MODE": "x"}))
    schedule, created = engine.add_schedule("0 0 1 1 *", made, zone="UTC", name="yearly")
    assert created

    start_pool()
    job = ended(engine, engine.run_schedule("yearly"))

    assert printed(engine, job) == f"x {tmp_path}\n"
    assert (job.schedule_id, job.state) == (schedule.id, JobState.COMPLETED)
    assert engine.explain(job.id).endswith(f"; schedule {schedule.id} added it")


@pytest.mark.parametrize("point", [failpoints.FIRING, failpoints.FIRED])
def test_a_supervisor_killed_while_it_fires_neither_loses_nor_doubles_it(
    engine: Engine,
    start_pool: StartPool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
) -> None:
    schedule = overdue(engine)
    trigger = tmp_path / "trigger"
    trigger.touch()
    monkeypatch.setenv("QUEUECTL_FAIL_POINT", f"{point}={trigger}")
    with pytest.raises(PoolRefused):  # it dies before it is ready
        start_pool(name="first")
    until(lambda: not trigger.exists())
    assert len(list(engine.jobs())) == (1 if point == failpoints.FIRED else 0)

    start_pool(name="second")

    job = until(lambda: engine.schedule(schedule.id).last_job)
    assert job
    assert ended(engine, engine.get(job)).state is JobState.COMPLETED
    assert [job.id for job in engine.jobs()] == [job]
