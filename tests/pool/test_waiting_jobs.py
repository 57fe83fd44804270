"""Real workers and jobs that wait: for each other, for a mutex, for a limit."""

from __future__ import annotations

import os
import signal
import subprocess
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from queuectl_engine import Engine, JobState, State
from tests.pool.conftest import StartPool, ended, running
from tests.pool.evidence import command, read
from tests.pool.test_supervising import foreground
from tests.samples import HOUR
from tests.waiting import until


def most_at_once(evidence: Path, jobs: set[int]) -> int:
    """How many of these jobs ran at the same time, by the order of what they wrote."""
    now, most = 0, 0
    for mark in read(evidence):
        if mark.job in jobs:
            now += 1 if mark.what == "start" else -1
            most = max(most, now)
    return most


def test_a_pipeline_runs_in_its_order_whatever_the_workers_do(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    evidence = tmp_path / "evidence"
    work = command(evidence, "sleep 0.05")
    build = engine.add(work, key="build")
    tests = [engine.add(work, after_ok=["build"]) for _ in range(4)]
    deploy = engine.add(work, after_ok=[test.id for test in tests])
    start_pool(workers=4)

    assert ended(engine, deploy).state is JobState.COMPLETED

    marks = [(mark.job, mark.what) for mark in read(evidence)]
    assert marks[:2] == [(build.id, "start"), (build.id, "end")]
    assert marks[-2:] == [(deploy.id, "start"), (deploy.id, "end")]
    assert len(marks) == 12


def test_a_dead_parent_that_is_mended_frees_what_waits(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(workers=2)
    parent = engine.add(f"test -e {tmp_path}/mended", max_retries=0)
    waiting = engine.add("true", after_ok=[parent.id])
    on_failure = engine.add("true", after_fail=[parent.id])
    assert ended(engine, parent).state is JobState.DEAD
    assert ended(engine, on_failure).state is JobState.COMPLETED
    assert engine.get(waiting.id).waiting == f"after-ok {parent.id}: it is dead"
    assert "'queuectl requeue" in engine.explain(waiting.id)

    (tmp_path / "mended").touch()
    engine.requeue(parent.id)

    assert ended(engine, waiting).state is JobState.COMPLETED


def test_a_cancel_by_a_person_reaches_an_idle_pool(engine: Engine, start_pool: StartPool) -> None:
    start_pool()
    parent = engine.add("true", run_at=datetime.now(UTC) + HOUR)
    waiting = engine.add("true", after_any=[parent.id])

    engine.cancel(parent.id)

    assert ended(engine, waiting).state is JobState.COMPLETED


def test_neither_limit_nor_mutex_is_ever_exceeded(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    evidence = tmp_path / "evidence"
    work = command(evidence, "sleep 0.02")
    engine.limit(2, "gpu")
    engine.limit(4)
    gpu = [engine.add(work, queue="gpu") for _ in range(8)]
    db = [engine.add(work, queue=name, mutex="db") for name in "abab"]
    rest = [engine.add(work) for _ in range(8)]
    start_pool(workers=3, name="one")
    start_pool(workers=3, name="two")

    jobs = {job.id for job in engine.wait(*(job.id for job in gpu + db + rest), timeout=60)}

    assert engine.counts().of(State.COMPLETED) == len(jobs) == 20
    assert most_at_once(evidence, jobs) <= 4
    assert 1 <= most_at_once(evidence, {job.id for job in gpu}) <= 2
    assert most_at_once(evidence, {job.id for job in db}) == 1


def test_a_worker_that_dies_gives_its_mutex_back(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pool = start_pool(workers=2)
    first = engine.add("sleep 600", mutex="db", max_retries=0)
    second = engine.add("true", mutex="db")
    until(lambda: running(engine, first))
    assert engine.get(second.id).stored is State.BLOCKED
    pool = engine.find_pool()
    (worker,) = [worker for worker in pool.workers if worker.job == first.id]

    os.kill(worker.pid, signal.SIGKILL)

    assert ended(engine, second).state is JobState.COMPLETED
    assert engine.get(first.id).state is JobState.DEAD


def test_idle_workers_tell_thousands_of_dependants_without_being_asked(
    engine: Engine, start_pool: StartPool
) -> None:
    """They have nothing to claim meanwhile: the children have another time to wait for."""
    parent = engine.add("true")
    later = datetime.now(UTC) + HOUR
    engine.add_many(
        engine.new_job("true", after_ok=[parent.id], run_at=later) for _ in range(3_000)
    )

    start_pool()

    until(lambda: engine.counts().of(State.SCHEDULED) == 3_000)


def test_drain_waits_for_what_can_still_run_and_says_what_cannot(
    engine: Engine, tmp_path: Path
) -> None:
    parent = engine.add("true")
    child = engine.add("true", after_ok=[parent.id])
    grandchild = engine.add("true", after_any=[child.id], mutex="db")
    other = engine.add("true", mutex="db")
    never = engine.add("true", after_fail=[parent.id])
    far = engine.add("true", run_at=datetime.now(UTC) + HOUR)
    after_far = engine.add("true", after_ok=[far.id])

    pool = foreground(engine, workers=2, drain=True)
    _, log = pool.communicate(timeout=60)

    states = Counter(job.stored for job in engine.jobs())
    assert pool.returncode == 0
    assert states == {State.COMPLETED: 4, State.BLOCKED: 2, State.SCHEDULED: 1}
    assert {engine.get(job.id).state for job in (child, grandchild, other)} == {JobState.COMPLETED}
    assert engine.get(never.id).stored is engine.get(after_far.id).stored is State.BLOCKED
    assert "scheduled=1 blocked=2" in log


def test_drain_waits_for_a_parent_that_another_pool_runs(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(queues=("far",))
    go_on = tmp_path / "go-on"
    parent = engine.add(f"until test -e {go_on}; do sleep 0.02; done", queue="far")
    child = engine.add("true", after_ok=[parent.id])
    until(lambda: running(engine, parent))
    pool = foreground(engine, queues=("default",), drain=True)
    with pytest.raises(subprocess.TimeoutExpired):
        pool.communicate(timeout=1.5)  # many of its turns
    go_on.touch()

    pool.communicate(timeout=60)

    assert engine.get(child.id).state is JobState.COMPLETED
