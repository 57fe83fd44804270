"""Starting, scaling, stopping, draining: what people ask of a pool."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from queuectl_engine import Engine, JobState, NoSuchPool, PoolRefused
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.repository import create_database
from tests.pool.conftest import StartPool, ended, parent_of, running
from tests.waiting import until


def foreground(engine: Engine, **options: Any) -> subprocess.Popen[str]:
    """A pool in the foreground, as `queuectl worker` becomes one; its log is on stderr."""
    given = PoolOptions(engine.database.location, **options)
    return subprocess.Popen(
        [sys.executable, "-m", "queuectl_engine.pool", json.dumps(given.to_json())],
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_pool_is_ready_when_it_says_so(engine: Engine, start_pool: StartPool) -> None:
    pool = start_pool(workers=3)
    assert (pool.name, pool.alive, pool.detached, pool.wanted) == ("default", True, True, 3)
    assert any(worker.alive for worker in pool.workers)
    until(lambda: engine.find_pool().running == 3)
    assert os.getsid(pool.pid) == pool.pid
    assert os.readlink(f"/proc/{pool.pid}/cwd") == "/"


def test_a_second_start_of_a_name_leaves_one_pool(engine: Engine, start_pool: StartPool) -> None:
    first = start_pool()
    options = PoolOptions(engine.database.location, name="default", detached=True)
    assert start_detached(options) is False
    assert engine.start_pool().id == first.id
    assert [pool.id for pool in engine.pools()] == [first.id]


def test_a_pool_grows_and_shrinks_and_lets_jobs_end(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(workers=1)
    go_on = tmp_path / "go-on"
    job = engine.add(f"until test -e {go_on}; do sleep 0.02; done")
    until(lambda: running(engine, job))

    assert engine.scale(by=2).wanted == 3
    until(lambda: engine.find_pool().running == 3)
    assert engine.scale(to=1).wanted == 1
    until(lambda: len(engine.find_pool().workers) == 1)
    assert engine.find_pool().workers[0].job == job.id  # the idle ones went
    assert engine.scale(by=-5).wanted == 0
    go_on.touch()
    assert ended(engine, job).state is JobState.COMPLETED
    until(lambda: engine.find_pool().workers == ())


def test_a_size_that_was_mistyped_can_be_taken_back_while_the_pool_grows(
    engine: Engine, start_pool: StartPool
) -> None:
    pool = start_pool(workers=1)
    fork_server = parent_of(engine.find_pool().workers[0].pid)
    os.kill(fork_server, signal.SIGSTOP)
    engine.scale(to=100)
    until(lambda: len(engine.find_pool().workers) > 1)
    engine.scale(to=1)
    os.kill(fork_server, signal.SIGCONT)

    log = Path(pool.log)
    until(lambda: "leaving " in log.read_text())
    assert "worker=w100 " not in log.read_text()
    until(lambda: engine.find_pool().running == 1)


def test_a_graceful_stop_lets_running_jobs_end_and_starts_no_other(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(workers=1)
    go_on = tmp_path / "go-on"
    job = engine.add(f"until test -e {go_on}; do sleep 0.02; done; echo whole")
    until(lambda: running(engine, job))
    waiting = engine.add("true")

    assert engine.stop_pool(timeout=0).stopping is None  # as last seen, before it was asked
    until(lambda: engine.find_pool().stopping == "graceful")
    go_on.touch()
    engine.stop_pool()

    assert engine.get(job.id).state is JobState.COMPLETED
    assert engine.get(waiting.id).state is JobState.PENDING
    assert engine.pools() == []
    with pytest.raises(NoSuchPool, match="no pool runs"):
        engine.find_pool()


def test_a_stop_now_gives_running_jobs_back_uncharged(
    engine: Engine, start_pool: StartPool
) -> None:
    start_pool()
    job = engine.add("sleep 361", max_retries=0)
    until(lambda: running(engine, job))

    engine.stop_pool(now=True)

    job = engine.get(job.id)
    assert (job.state, job.attempts, job.runs) == (JobState.PENDING, 0, 1)
    (attempt,) = engine.attempts(job.id)
    assert attempt.result == "given back"


def test_the_first_interrupt_waits_for_jobs_and_exits_0(engine: Engine, tmp_path: Path) -> None:
    pool = foreground(engine, workers=2)
    go_on = tmp_path / "go-on"
    jobs = [engine.add(f"until test -e {go_on}; do sleep 0.02; done") for _ in range(2)]
    until(lambda: all(running(engine, job) for job in jobs))

    pool.send_signal(signal.SIGINT)
    until(lambda: engine.find_pool().stopping == "graceful")
    assert pool.poll() is None
    go_on.touch()
    _, log = pool.communicate(timeout=30)

    assert pool.returncode == 0
    assert {engine.get(job.id).state for job in jobs} == {JobState.COMPLETED}
    events = [line.split()[1] for line in log.splitlines()]
    assert (events[0], events[-1]) == ("pool", "stopped")
    assert (events.count("started"), events.count("completed")) == (2, 2)


def test_the_second_interrupt_gives_jobs_back(engine: Engine) -> None:
    pool = foreground(engine, log_format="json")
    job = engine.add("sleep 362")
    until(lambda: running(engine, job))

    pool.send_signal(signal.SIGTERM)
    until(lambda: engine.find_pool().stopping == "graceful")
    pool.send_signal(signal.SIGTERM)
    _, log = pool.communicate(timeout=30)

    assert pool.returncode == 130
    assert engine.get(job.id).state is JobState.PENDING
    events = [json.loads(line) for line in log.splitlines()]
    assert events[0]["event"] == "pool"
    assert {"job": job.id, "why": "given back: its pool had to stop"}.items() <= next(
        event.items() for event in events if event["event"] == "ready"
    )


def test_a_stop_timeout_begins_the_ladder_by_itself(engine: Engine, start_pool: StartPool) -> None:
    start_pool(stop_timeout=0.2, grace=0.2)
    job = engine.add("trap '' TERM; sleep 363; sleep 364")
    until(lambda: running(engine, job))
    engine.stop_pool()
    assert engine.get(job.id).state is JobState.PENDING


def test_a_drained_pool_tells_its_workers_at_once(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not in its next turn, or when they look by themselves: here both never come."""
    never = "supervisor._TURN = worker._LOOK_AGAIN = 3600.0"
    (tmp_path / "sitecustomize.py").write_text(
        f"from queuectl_engine.pool import supervisor, worker\n\n{never}\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    job = engine.add("true")

    with foreground(engine, drain=True) as pool:
        try:
            assert pool.wait(timeout=30) == 0
        finally:
            pool.kill()

    assert engine.get(job.id).state is JobState.COMPLETED


def test_drain_runs_until_nothing_is_left_and_ignores_the_future(engine: Engine) -> None:
    flag = Path(engine.database.location).with_name("flag")
    engine.add("true")
    retried = engine.add(f"test -e {flag} || {{ touch {flag}; exit 1; }}")
    paused = engine.add("true", queue="paused")
    engine.pause("paused")
    later = engine.add("true", run_at=paused.created_at.replace(year=2999))

    pool = foreground(engine, workers=2, drain=True, backoff_cap=0.1)
    _, log = pool.communicate(timeout=60)

    assert pool.returncode == 0
    assert engine.get(retried.id).runs == 2
    assert engine.get(paused.id).state is engine.get(later.id).state is JobState.PENDING
    assert "scheduled=1" in log


def test_workers_serve_only_their_queues_and_no_paused_one(
    engine: Engine, start_pool: StartPool
) -> None:
    engine.pause("slow")
    other = engine.add("true", queue="other")
    slow = engine.add("true", queue="slow")
    start_pool(queues=("mail", "slow"))
    assert ended(engine, engine.add("true", queue="mail")).state is JobState.COMPLETED
    assert engine.get(other.id).state is engine.get(slow.id).state is JobState.PENDING

    engine.resume("slow")
    assert ended(engine, slow).state is JobState.COMPLETED
    assert engine.get(other.id).state is JobState.PENDING


def test_a_foreground_pool_goes_on_without_its_terminal(engine: Engine) -> None:
    given = PoolOptions(engine.database.location, name="mine")
    pid, terminal = pty.fork()
    if pid == 0:
        command = [sys.executable, "-m", "queuectl_engine.pool", json.dumps(given.to_json())]
        os.execv(command[0], command)
    assert b"pool" in os.read(terminal, 1000)
    until(lambda: [p.running for p in engine.pools()] == [1])
    os.close(terminal)  # the connection drops: SIGHUP, and every write fails from now on

    assert ended(engine, engine.add("true")).state is JobState.COMPLETED
    until(lambda: "completed" in Path(engine.find_pool("mine").log).read_text())
    engine.stop_pool("mine")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_thousand_failures_at_once_are_counted_exactly(
    engine: Engine, start_pool: StartPool
) -> None:
    context = engine.context()
    engine.add_many(engine.new_job("false", context, max_retries=1) for _ in range(1000))
    start_pool(workers=4, backoff_cap=0.05)
    until(lambda: engine.counts().of(JobState.DEAD) == 1000, timeout=90)
    assert engine.counts().outward() == {
        **dict.fromkeys(JobState, 0),
        JobState.DEAD: 1000,
    }
    assert {job.attempts for job in engine.jobs(JobState.DEAD)} == {2}


def test_a_database_of_someone_else_runs_nothing_until_it_is_trusted(
    engine: Engine, start_pool: StartPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "getuid", lambda: 12345)
        create_database(engine.database.location, trust=True)  # as that user would
    with pytest.raises(PoolRefused, match=r"another user.*initdb --trust"):
        start_pool()
    create_database(engine.database.location, trust=True)
    assert start_pool().alive
