"""Faults at the worst moments: named kill points, full tables, clocks, races, containers."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from queuectl_engine import Engine, JobState
from queuectl_engine.pool import failpoints
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from tests.pool import evidence
from tests.pool.conftest import StartPool, ended, printed, running
from tests.waiting import until


@pytest.mark.parametrize(
    ("point", "starts", "results"),
    [
        (failpoints.CLAIMED, 1, ["lost", "completed"]),
        (failpoints.SPAWNED, 2, ["lost", "completed"]),
        (failpoints.EXITED, 2, ["lost", "completed"]),
        (failpoints.SETTLED, 1, ["completed"]),
    ],
)
def test_a_worker_killed_at_any_point_loses_nothing(
    engine: Engine,
    start_pool: StartPool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    starts: int,
    results: list[str],
) -> None:
    trigger, marks = tmp_path / "trigger", tmp_path / "evidence"
    trigger.touch()
    monkeypatch.setenv("QUEUECTL_FAIL_POINT", f"{point}={trigger}")
    start_pool(workers=1)
    job = ended(engine, engine.add(evidence.command(marks)))
    until(lambda: not trigger.exists())

    assert [a.result for a in engine.attempts(job.id)] == results
    evidence.check(engine, [job.id], marks)
    began = [mark for mark in evidence.read(marks) if mark.what == "start"]
    # Killed right after the spawn, the first run may not have come as far as its mark.
    assert len(began) == starts or (point == failpoints.SPAWNED and len(began) == 1)


def test_no_descriptors_left_is_not_the_fault_of_the_job(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool(workers=1)
    worker = until(lambda: [w.pid for w in engine.find_pool().workers if w.alive])[0]
    ended(engine, engine.add("true"))  # it has opened all that it needs to wait
    open_now = len(os.listdir(f"/proc/{worker}/fd"))
    soft, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (open_now, hard))

    job = engine.add("echo at last", max_retries=0)
    until(lambda: engine.attempts(job.id) and engine.get(job.id).state is JobState.PENDING)
    assert engine.get(job.id).attempts == 0
    assert engine.attempts(job.id)[0].result == "not started"

    resource.prlimit(worker, resource.RLIMIT_NOFILE, (soft, hard))
    job = ended(engine, job)
    assert (job.state, job.attempts, printed(engine, job)) == (
        JobState.COMPLETED,
        1,
        "at last\n",
    )


def test_a_database_that_is_locked_delays_a_result_and_loses_none(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pool = start_pool(workers=1)
    done = tmp_path / "done"
    job = engine.add(f"sleep 0.1; touch {done}")
    until(lambda: running(engine, job))
    db = engine._repository._db  # type: ignore[attr-defined]
    with db.writing():
        db.run("UPDATE pool SET trouble = NULL")
        until(done.exists)
        until(lambda: "waiting" in Path(pool.log).read_text(), timeout=30)  # it has given up once
    job = ended(engine, job)
    assert (job.state, job.runs) == (JobState.COMPLETED, 1)


def test_the_kernel_is_told_to_end_jobs_before_the_pool(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool(workers=1)
    job = ended(engine, engine.add("sleep 0.05; cat /proc/self/oom_score_adj"))
    assert printed(engine, job) == "300\n"
    worker = engine.find_pool().workers[0].pid
    mine = Path("/proc/self/oom_score_adj").read_text()
    assert Path(f"/proc/{worker}/oom_score_adj").read_text() == mine


def test_a_clock_set_back_delays_no_retry_beyond_its_plan(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool(workers=1, backoff_base=1000.0)
    job = engine.add("exit 1", max_retries=1)
    until(lambda: engine.get(job.id).state is JobState.FAILED)
    planned = engine.get(job.id).run_at - engine.get(job.id).updated_at
    repository = engine._repository

    yesterday = datetime.now(UTC) - timedelta(days=1)
    repository.clamp_retries(now=yesterday)

    waits = engine.get(job.id).run_at - yesterday
    assert abs(waits - planned) < timedelta(seconds=1)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    before = engine.get(job.id)
    repository.clamp_retries(now=tomorrow)  # and set forward it changes nothing
    assert engine.get(job.id) == before


def test_fifty_starts_at_the_same_instant_leave_one_pool(
    engine: Engine, start_pool: StartPool
) -> None:
    start = PoolOptions(engine.database.location, name="default", detached=True)
    with ThreadPoolExecutor(5) as starters:
        for _ in range(10):
            outcomes = list(starters.map(lambda _: start_detached(start), range(5)))
            assert sorted(outcomes) == [False, False, False, False, True]
            assert [pool.alive for pool in engine.pools()] == [True]
            engine.stop_pool()
    start_pool()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_that_stops_itself_holds_up_no_stop(
    engine: Engine, start_pool: StartPool, how: signal.Signals
) -> None:
    start_pool(workers=1, grace=0.2)
    job = engine.add("trap '' TERM; sleep 0.2; kill -STOP $$")
    until(lambda: running(engine, job))
    engine.stop_pool(now=how == signal.SIGKILL, timeout=0.1)
    engine.stop_pool(now=True)
    assert engine.get(job.id).state is JobState.PENDING


def test_two_containers_on_one_volume_do_not_touch_each_others_jobs(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    container = _container(engine, "there")
    try:
        until(lambda: any(pool.alive and pool.running for pool in engine.pools()))
        marks, go_on = tmp_path / "evidence", tmp_path / "go-on"
        job = engine.add(evidence.command(marks, f"until test -e {go_on}; do sleep 0.02; done"))
        until(lambda: running(engine, job) and evidence.read(marks))

        start_pool(workers=2, name="here")
        assert ended(engine, engine.add("true")).state is JobState.COMPLETED
        assert running(engine, job)
        go_on.touch()
        assert ended(engine, job).runs == 1
        evidence.check(engine, [job.id], marks)
    finally:
        container.kill()  # and by --kill-child all that is in it
        container.wait(timeout=30)


def test_a_new_container_rescues_what_a_killed_one_ran(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    container = _container(engine, "first")
    marks = tmp_path / "evidence"
    work = "test $QUEUECTL_ATTEMPT = 2 || sleep 471"
    job = engine.add(evidence.command(marks, work))
    until(lambda: running(engine, job) and evidence.read(marks))
    supervisor = engine.pools()[0]
    assert supervisor.pid == 1

    container.kill()  # --kill-child ends its first process, and that the whole container
    container.wait(timeout=30)
    until(lambda: not engine.pools()[0].alive)

    start_pool(name="second")
    assert ended(engine, job).runs == 2
    evidence.check(engine, [job.id], marks)


def test_a_job_that_may_live_in_another_container_is_parked_until_it_is_cancelled(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    container = _container(engine, "first", init=False)
    job = engine.add("sleep 472")
    until(lambda: running(engine, job))
    inside = _children(container.pid)[0]
    pids = _tree(inside)
    try:
        for pid in pids[1:]:  # supervisor, fork server and worker, but not its job
            if b"queuectl_engine" in _argv(pid):
                os.kill(pid, signal.SIGKILL)
        until(lambda: not engine.pools()[0].alive)

        start_pool(name="second")
        parked = until(lambda: engine.get(job.id).parked or "")
        assert "another container" in parked
        assert engine.get(job.id).runs == 1
        assert engine.cancel(job.id) == []
        assert engine.get(job.id).state is JobState.CANCELLED
    finally:
        os.kill(inside, signal.SIGKILL)
        container.wait(timeout=30)


def test_what_belongs_to_another_user_parks_its_job(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    # A pool of an ordinary user, whose job left a process of root in its session.
    script = """
import os, sys
from queuectl_engine.pool.processes import kill_all, stat_of
from queuectl_engine.repository.protocol import Leader
victim = int(sys.argv[1])
os.setuid(65534)
leader = Leader(stat_of(victim).session, stat_of(victim).ticks)
print(kill_all("no token", leader, patience=0.1))
"""
    victim = subprocess.Popen(["sleep", "473"], start_new_session=True)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(victim.pid)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"[{victim.pid}]\n"
    finally:
        victim.kill()
        victim.wait()


def _container(engine: Engine, name: str, *, init: bool = True) -> subprocess.Popen[bytes]:
    """A pool in a PID namespace of its own, as its first process or below one."""
    unshare = shutil.which("unshare")
    assert unshare, "install util-linux"
    options = PoolOptions(engine.database.location, name=name)
    pool = [sys.executable, "-m", "queuectl_engine.pool", json.dumps(options.to_json())]
    inside = pool if init else ["/bin/sh", "-c", '"$@"; sleep 474', "sh", *pool]
    return subprocess.Popen(
        [unshare, "--pid", "--fork", "--mount-proc", "--kill-child", *inside],
        stderr=subprocess.DEVNULL,
    )


def _children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _tree(pid: int) -> list[int]:
    return [pid, *(p for child in _children(pid) for p in _tree(child))]


def _argv(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
