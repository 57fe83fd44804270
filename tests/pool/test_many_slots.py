"""Workers that run several jobs at once: real ones, and what happens when they are killed."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

from queuectl_engine import Engine, Job, JobState
from tests.pool.conftest import StartPool, ended, printed, running
from tests.waiting import until


def until_file(engine: Engine, path: Path, first: str = "true") -> Job:
    """A job that runs until the file is there."""
    return engine.add(f"{first}; until test -e {path}; do sleep 0.02; done", max_retries=50)


def alive(pid: str) -> bool:
    return Path(f"/proc/{pid.strip()}").exists()


def test_one_worker_runs_many_jobs_at_once_each_in_its_slot(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    start_pool(workers=1, slots=8)
    jobs = [until_file(engine, go, "echo $QUEUECTL_SLOT") for _ in range(10)]

    until(lambda: engine.counts().of(JobState.PROCESSING) == 8)
    first = until(lambda: all(printed(engine, job) for job in jobs[:8]))
    assert first
    assert sorted(int(printed(engine, job)) for job in jobs[:8]) == list(range(8))
    (worker,) = engine.find_pool().workers
    assert worker.jobs == tuple(job.id for job in jobs[:8])
    go.touch()

    assert {ended(engine, job).state for job in jobs} == {JobState.COMPLETED}
    assert [engine.get(job.id).runs for job in jobs] == [1] * 10


def test_slots_of_two_workers_never_meet(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    start_pool(workers=2, slots=3, per_slot=(("GPU", tuple("abcdef")),))
    jobs = [until_file(engine, go, "echo $QUEUECTL_SLOT $GPU") for _ in range(6)]

    until(lambda: all(printed(engine, job) for job in jobs))
    slots = {printed(engine, job).strip() for job in jobs}
    go.touch()

    assert slots == {f"{n} {letter}" for n, letter in enumerate("abcdef")}
    assert engine.find_pool().most_workers == 2


def test_limits_and_mutexes_hold_within_one_worker(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    engine.limit(2, "narrow")
    go = tmp_path / "go"
    line = f"until test -e {go}; do sleep 0.02; done"
    narrow = [engine.add(line, queue="narrow") for _ in range(4)]
    mutual = [engine.add(line, mutex="one") for _ in range(3)]
    start_pool(workers=1, slots=16)

    until(lambda: engine.counts().of(JobState.PROCESSING) == 3)
    late = ended(engine, engine.add("true"))  # so the worker has looked at all of them again
    assert late.state is JobState.COMPLETED
    assert [running(engine, job) for job in narrow] == [True, True, False, False]
    assert [running(engine, job) for job in mutual] == [True, False, False]
    go.touch()

    assert {ended(engine, job).state for job in (*narrow, *mutual)} == {JobState.COMPLETED}


def test_the_end_of_one_job_takes_only_what_it_left(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    """What came back to the worker is told apart by its token, or by the session it was made in."""
    go = tmp_path / "go"
    start_pool(workers=1, slots=4)
    # In sessions of their own, so that they come back to the worker when their shell ends.
    left = "setsid sh -c 'echo $$ >> {0}; exec sleep 3{1}' & until test -s {0}; do sleep 0.02; done"
    mine, other = tmp_path / "mine", tmp_path / "other"
    keeper = engine.add(f"({left.format(other, 61)}); until test -e {go}; do sleep 0.02; done")
    until(other.exists)
    quick = ended(engine, engine.add(left.format(mine, 62)))

    assert quick.state is JobState.COMPLETED
    until(lambda: not alive(mine.read_text()))
    assert alive(other.read_text()), "the daemon of the job that still runs"
    assert running(engine, keeper)
    go.touch()
    assert ended(engine, keeper).state is JobState.COMPLETED
    until(lambda: not alive(other.read_text()))


def test_a_cancel_and_a_timeout_end_one_of_many(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    start_pool(workers=1, slots=8, grace=0.2)
    jobs = [until_file(engine, go) for _ in range(5)]
    timed = engine.add("trap '' TERM; sleep 363; sleep 364", timeout=0.3, max_retries=0)
    until(lambda: all(running(engine, job) for job in jobs))

    engine.cancel(jobs[2].id)

    assert ended(engine, jobs[2]).state is JobState.CANCELLED
    assert ended(engine, timed).reason == "timed out after 0.3 s"
    assert all(running(engine, job) for job in jobs if job is not jobs[2])
    go.touch()
    for job in jobs:
        ended(engine, job)


def test_a_killed_worker_loses_all_its_jobs_and_each_runs_again_alone(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    go, marks = tmp_path / "go", tmp_path / "marks"
    line = (
        f"echo + $QUEUECTL_JOB_ID >> {marks}; until test -e {go}; do sleep 0.02; done;"
        f" echo - $QUEUECTL_JOB_ID >> {marks}"
    )
    jobs = [engine.add(line, max_retries=50) for _ in range(4)]
    start_pool(workers=1, slots=8)
    until(lambda: marks.exists() and len(marks.read_text().splitlines()) == 4)

    go.touch()
    (tmp_path / "hold").touch()
    go.unlink()
    os.kill(engine.find_pool().workers[0].pid, signal.SIGKILL)
    until(lambda: all(engine.attempts(job.id)[0].result for job in jobs))
    lost = [job for job in jobs if engine.attempts(job.id)[0].result == "lost"]
    until(lambda: running(engine, lost[0]) and engine.get(lost[0].id).runs == 2)
    later = engine.add(line)
    alone = engine.counts().of(JobState.PROCESSING)
    go.touch()

    assert len(lost) > 1
    assert alone == 1, "while others are ready"
    for job in (*jobs, later):
        assert ended(engine, job).state is JobState.COMPLETED
        assert engine.get(job.id).deaths == 0
    again = marks.read_text().splitlines()[-2 * (len(lost) + 1) :]
    for begun, over in zip(again[: 2 * len(lost) : 2], again[1 : 2 * len(lost) : 2], strict=True):
        assert begun.replace("+", "-") == over, "never two at once"


def test_only_the_job_that_kills_its_worker_is_poison(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    """It takes its neighbours along once; then it is alone, three times."""
    start_pool(workers=1, slots=8)
    blocker = until_file(engine, tmp_path / "go")
    until(lambda: running(engine, blocker))
    # Ready at one moment, so that the worker takes all of them in one turn.
    engine.pause("default")
    poison = engine.add("sleep 0.3; kill -9 $PPID; sleep 365", max_retries=50)
    innocent = [engine.add("sleep 0.6", max_retries=50) for _ in range(3)]
    engine.resume("default")
    (tmp_path / "go").touch()

    dead = ended(engine, poison)
    assert (dead.state, dead.reason) == (JobState.DEAD, "poison: its worker died 3 times")
    assert [a.result for a in engine.attempts(poison.id)] == ["lost"] * 4
    assert [engine.get(job.id).deaths for job in innocent] == [0] * 3
    assert "lost" in [attempt.result for job in innocent for attempt in engine.attempts(job.id)]


def test_a_forced_stop_gives_all_of_them_back(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    pool = start_pool(workers=2, slots=4, grace=0.2)
    jobs = [engine.add("trap '' TERM; sleep 366; sleep 367") for _ in range(8)]
    until(lambda: engine.counts().of(JobState.PROCESSING) == 8)

    engine.stop_pool(pool.name, now=True)

    seen = engine.get_all(job.id for job in jobs)
    assert [(job.state, job.attempts, job.runs) for job in seen] == [(JobState.PENDING, 0, 1)] * 8


def test_jobs_have_the_limits_that_the_pool_was_started_with(
    engine: Engine, start_pool: StartPool
) -> None:
    """A worker with many slots needs more descriptors; programs that use select() must not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        start_pool(workers=1, slots=200)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    jobs = engine.add_lines(["ulimit -n; exec sleep 368"] * 120)

    until(lambda: all(printed(engine, job) for job in jobs))

    assert {printed(engine, job) for job in jobs} == {"256\n"}
    engine.stop_pool(now=True)
    assert engine.counts().of(JobState.PENDING) == 120
