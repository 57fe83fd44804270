"""Death is noticed at once, loses nothing and doubles nothing. Real processes, real SIGKILL."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from pathlib import Path

from queuectl_engine import Engine, JobState
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.worker import Post
from queuectl_engine.pool.worker_process import work
from tests.pool.conftest import StartPool, ended, parent_of, running, runs
from tests.samples import pool_row
from tests.waiting import until


def test_the_job_of_a_killed_worker_is_lost_cleared_and_run_again(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(workers=1)
    evidence, go_on = tmp_path / "evidence", tmp_path / "go-on"
    job = engine.add(
        f"echo $$ >> {evidence}; until test -e {go_on}; do sleep 0.02; done", max_retries=1
    )
    until(lambda: running(engine, job) and _lines(evidence) == 1)
    first = int(evidence.read_text())

    os.kill(engine.find_pool().workers[0].pid, signal.SIGKILL)
    until(lambda: _lines(evidence) == 2)
    assert not runs(first)  # nothing ran twice at once
    go_on.touch()

    job = ended(engine, job)
    assert (job.state, job.attempts, job.deaths) == (JobState.COMPLETED, 2, 1)
    assert [a.result for a in engine.attempts(job.id)] == ["lost", "completed"]
    assert engine.attempts(job.id)[0].reason == "lost: worker died"


def test_a_job_that_kills_its_workers_is_poison(engine: Engine, start_pool: StartPool) -> None:
    start_pool(workers=1)
    job = engine.add("kill -9 $PPID; sleep 371", max_retries=50)
    job = ended(engine, job)
    assert (job.state, job.runs) == (JobState.DEAD, 3)
    assert job.reason == "poison: its worker died 3 times"


def test_workers_that_keep_dying_are_a_visible_trouble(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool(workers=1)
    engine.add("kill -9 $PPID; sleep 372", max_retries=50)
    until(lambda: engine.find_pool().trouble, timeout=60)
    assert engine.find_pool().trouble == "degraded: workers died 3 times in a row"


def test_workers_of_a_killed_supervisor_end_their_jobs_and_begin_no_other(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pool = start_pool(workers=1)
    go_on = tmp_path / "go-on"
    job = engine.add(f"until test -e {go_on}; do sleep 0.02; done")
    until(lambda: running(engine, job))
    other = engine.add("true")
    worker = engine.find_pool().workers[0].pid

    os.kill(pool.pid, signal.SIGKILL)
    until(lambda: not engine.pools()[0].alive)
    new = start_pool(workers=1)  # right away, under the same name
    assert ended(engine, other).state is JobState.COMPLETED
    assert engine.get(job.id).state is JobState.PROCESSING  # its owner lives: hands off
    go_on.touch()

    assert ended(engine, job).state is JobState.COMPLETED
    assert engine.get(job.id).runs == 1
    until(lambda: not runs(worker))
    until(lambda: [p.id for p in engine.pools()] == [new.id])


def test_the_next_pool_takes_over_from_one_that_was_killed_whole(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pool = start_pool(workers=1)
    evidence = tmp_path / "evidence"
    job = engine.add(f"echo $$ >> {evidence}; test $QUEUECTL_ATTEMPT = 2 || sleep 381")
    until(lambda: running(engine, job) and _lines(evidence) == 1)
    first = int(evidence.read_text())
    worker = until(lambda: engine.find_pool().workers[0].pid)

    os.kill(pool.pid, signal.SIGSTOP)  # so that it cannot rescue
    os.kill(worker, signal.SIGKILL)
    os.kill(pool.pid, signal.SIGKILL)
    until(lambda: not engine.pools()[0].alive)
    assert running(engine, job)
    assert runs(first)

    start_pool(workers=1)
    job = ended(engine, job)
    assert (job.state, job.runs, job.deaths) == (JobState.COMPLETED, 2, 0)
    assert not runs(first)


def test_a_worker_that_starts_after_its_supervisor_died_claims_nothing(
    engine: Engine, tmp_path: Path
) -> None:
    job = engine.add("true")
    repository = engine._repository  # the seam that a supervisor uses
    dead = subprocess.Popen(["true"])
    dead.wait()
    pool = repository.start_pool(
        pool_row(repository.run_directory, pid=dead.pid), now=job.created_at
    )
    row = repository.start_worker(pool.id, 1, now=job.created_at)
    directory = repository.run_directory / pool.directory
    post = Post(
        PoolOptions(engine.database.location), pool, row, directory, repository.incarnation()
    )

    worker = multiprocessing.get_context("spawn").Process(target=work, args=(post,))
    worker.start()
    worker.join(30)
    worker.kill()  # one that goes on must not hang the run

    assert worker.exitcode == 0
    assert engine.get(job.id).runs == 0
    assert repository.workers() == []


def test_a_killed_fork_server_is_not_taken_for_its_workers(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pool = start_pool(workers=2)
    go_on = tmp_path / "go-on"
    job = engine.add(f"until test -e {go_on}; do sleep 0.02; done")
    until(lambda: running(engine, job))
    worker = engine.find_pool().workers[0].pid
    fork_server = parent_of(worker)
    assert fork_server != pool.pid

    os.kill(fork_server, signal.SIGKILL)
    until(lambda: not runs(fork_server))
    assert engine.scale(to=3).wanted == 3
    until(lambda: engine.find_pool().running == 3)
    go_on.touch()

    assert ended(engine, job).runs == 1
    assert [a.result for a in engine.attempts(job.id)] == ["completed"]


def test_a_stopped_worker_is_not_dead(engine: Engine, start_pool: StartPool) -> None:
    start_pool(workers=2)
    job = engine.add("sleep 0.3")
    holder = until(lambda: [w for w in engine.find_pool().workers if w.job == job.id])[0]
    os.kill(holder.pid, signal.SIGSTOP)
    try:
        others = [engine.add("true") for _ in range(20)]
        assert {ended(engine, other).state for other in others} == {JobState.COMPLETED}
        assert running(engine, job)
    finally:
        os.kill(holder.pid, signal.SIGCONT)
    assert ended(engine, job).runs == 1


def test_a_cancel_that_a_dead_pool_left_is_obeyed_by_the_next(
    engine: Engine, start_pool: StartPool
) -> None:
    pool = start_pool(workers=1)
    job = engine.add("sleep 391")
    until(lambda: running(engine, job))
    worker = engine.find_pool().workers[0].pid
    for pid in (pool.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    for pid in (pool.pid, worker):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not engine.pools()[0].alive)

    assert engine.cancel(job.id) == [job.id]
    start_pool(workers=1)

    job = ended(engine, job)
    assert (job.state, job.runs) == (JobState.CANCELLED, 1)


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0
