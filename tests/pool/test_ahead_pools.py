"""Real pools that claim ahead: each job runs once, and whoever dies takes none that waits along."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from queuectl_engine import Engine, JobState
from tests.pool.conftest import StartPool, ended, running
from tests.waiting import until

MOST = 31
Eager = Callable[..., None]

# Every job counts as a short one, however slow the machine: then as many wait as may.
EAGER = """
from queuectl_engine.pool import ahead, runner

runner._EARLY = 60.0
ahead._SHORT_FOR_ONE = 1
ahead._PATIENCE = ahead._LONGEST = {patience}
"""
WARM = 32  # jobs after which a worker wants as many as may wait


@pytest.fixture
def eager(
    engine: Engine, start_pool: StartPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Eager:
    """Starts a pool of one worker that claims as many ahead as it may.

    They wait for `patience` seconds, so that no slow machine has them given back.
    """

    def start(patience: float = 60.0) -> None:
        site = tmp_path / "site"
        site.mkdir()
        (site / "sitecustomize.py").write_text(EAGER.format(patience=patience))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
        start_pool(workers=1)
        engine.add_lines(["true"] * WARM)
        until(lambda: engine.counts().of(JobState.COMPLETED) == WARM)

    return start


def add(engine: Engine, *lines: str, behind: int = 160, max_retries: int = 0) -> list[int]:
    """These jobs and so many others behind them, at once: those of a batch are claimed together."""
    context = engine.context()
    new = [
        engine.new_job(line, context, max_retries=max_retries)
        for line in (*lines, *["true"] * behind)
    ]
    return [added.id for added in engine.add_many(new)]


def claimed_ahead(engine: Engine) -> int:
    """How many jobs have completed that were claimed ahead, by the store's own marks."""
    db = engine._repository._db  # type: ignore[attr-defined]
    return int(
        db.value("SELECT count(*) FROM attempt WHERE leader_pid = 0 AND result = 'completed'")
    )


def test_short_jobs_are_claimed_ahead(engine: Engine, start_pool: StartPool) -> None:
    """As they are, and however busy the machine is: some of them end soon after another."""
    start_pool(workers=1)

    def some() -> bool:
        done = engine.counts().of(JobState.COMPLETED)
        engine.add_lines(["true"] * 200)
        until(lambda: engine.counts().of(JobState.COMPLETED) == done + 200, timeout=60)
        return claimed_ahead(engine) > 0

    until(some, timeout=60)
    assert {(job.state, job.attempts) for job in engine.jobs()} == {(JobState.COMPLETED, 1)}


def test_each_runs_once_in_its_own_time(engine: Engine, eager: Eager, tmp_path: Path) -> None:
    eager()
    marks = tmp_path / "marks"
    work = f"echo $QUEUECTL_JOB_ID $(date +%s%3N) >> {marks}"
    jobs = add(engine, *[work] * 100, behind=0)
    until(lambda: engine.counts().of(JobState.COMPLETED) == WARM + len(jobs), timeout=60)

    ran = {int(job): int(at) for job, at in map(str.split, marks.read_text().splitlines())}
    assert len(marks.read_text().splitlines()) == len(jobs)
    assert claimed_ahead(engine) >= len(jobs) // 2
    before = 0
    for job in jobs:
        (attempt,) = engine.attempts(job)
        assert engine.get(job).started_at == attempt.started_at
        assert before <= milliseconds(attempt.started_at) <= ran[job]
        assert attempt.ended_at is not None
        before = milliseconds(attempt.ended_at)
        assert ran[job] <= before


def test_a_worker_that_leaves_takes_its_file_with_it(engine: Engine, eager: Eager) -> None:
    eager()
    directory = Path(f"{engine.database.location}.d")
    assert list(directory.glob("*/*.begun"))

    engine.scale(to=0)

    until(lambda: not list(directory.glob("*/*.begun")))
    assert engine.find_pool().alive


def milliseconds(moment: datetime) -> int:
    """Since the epoch, as date(1) has them."""
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def test_those_behind_a_long_job_are_run_by_another_worker(
    engine: Engine, eager: Eager, tmp_path: Path
) -> None:
    eager(patience=0.5)
    go_on = tmp_path / "go-on"
    long, *others = add(engine, f"until test -e {go_on}; do sleep 0.02; done")
    until(lambda: sum(engine.get(job).runs for job in others) == MOST)

    engine.scale(to=2)
    engine.wait(*others, timeout=60)

    assert running(engine, engine.get(long))
    done = engine.get_all(others)
    assert {(job.state, job.attempts) for job in done} == {(JobState.COMPLETED, 1)}
    for job in done[:MOST]:
        *before, last = engine.attempts(job.id)
        assert {attempt.result for attempt in before} == {"not started"}
        assert (last.result, last.worker) == ("completed", "w2")
    go_on.touch()
    assert ended(engine, engine.get(long)).runs == 1


@pytest.mark.parametrize("killed", [1, 6, 1 + MOST])
def test_a_job_that_kills_its_worker_takes_none_with_it_that_waits(
    engine: Engine, eager: Eager, tmp_path: Path, killed: int
) -> None:
    """The first of a batch, which was not claimed ahead, one in its middle and the last."""
    eager()
    marks = tmp_path / "marks"
    mark = f"echo $QUEUECTL_JOB_ID >> {marks}"
    lines = [mark] * 160
    lines[killed - 1] += "; kill -9 $PPID; sleep 371"
    jobs = add(engine, *lines, behind=0)
    engine.wait(*jobs, timeout=60)

    done = engine.get_all(jobs)
    ran = [int(line) for line in marks.read_text().splitlines()]
    assert Counter(ran) == Counter(jobs), "each once"
    assert done[killed - 1].state is JobState.DEAD
    # What ended before may not have been settled yet, so it is lost with its worker.
    dead = [n for n, job in enumerate(done, 1) if job.state is JobState.DEAD]
    assert set(dead) <= {killed - 1, killed}
    given_back = [n for n, job in enumerate(done, 1) if job.runs == 2]
    assert given_back == list(range(killed + 1, 1 + MOST + 1))


def test_kills_at_any_time_take_no_more_than_what_has_begun(
    engine: Engine, eager: Eager, start_pool: StartPool, tmp_path: Path
) -> None:
    """Of a worker, which its supervisor rescues, and of both, which the next pool does."""
    chance = random.Random(11)
    eager()
    marks = tmp_path / "marks"
    jobs = add(engine, *[f"echo $QUEUECTL_JOB_ID >> {marks}"] * 400, behind=0)
    kills = 4
    for n in range(kills):
        enough = 60 + n * 80 + chance.randint(0, 40)
        until(lambda enough=enough: len(lines_of(marks)) >= enough)  # type: ignore[misc]
        (worker,) = until(lambda: living(engine))
        if n % 2:
            kill_whole(engine)
            start_pool(workers=1)
        else:
            os.kill(worker, signal.SIGKILL)
    engine.wait(*jobs, timeout=60)

    ran = Counter(map(int, lines_of(marks)))
    assert set(ran.values()) == {1}, "what was given back had not begun"
    unmarked = [job for job in engine.get_all(jobs) if job.id not in ran]
    assert {job.state for job in unmarked} <= {JobState.DEAD}
    assert len(unmarked) <= kills, "each had begun, and had not come as far as its mark"
    rest = {job.state for job in engine.get_all(list(ran))}
    assert rest <= {JobState.COMPLETED, JobState.DEAD}


def kill_whole(engine: Engine) -> None:
    """Kill a pool so that nobody of it can rescue or give back anything."""
    pool = engine.find_pool()
    (worker,) = living(engine)
    os.kill(pool.pid, signal.SIGSTOP)
    os.kill(worker, signal.SIGKILL)
    os.kill(pool.pid, signal.SIGKILL)
    until(lambda: not living(engine) and not any(pool.alive for pool in engine.pools()))


def lines_of(path: Path) -> list[str]:
    """The lines of a file that may not be there yet."""
    return path.read_text().splitlines() if path.exists() else []


def living(engine: Engine) -> list[int]:
    """The processes of the workers that live."""
    return [w.pid for pool in engine.pools() for w in pool.workers if w.alive and w.pid]


def test_a_new_pool_gives_out_what_waited_in_one_that_was_killed_whole(
    engine: Engine, eager: Eager, start_pool: StartPool, tmp_path: Path
) -> None:
    eager()
    marks = tmp_path / "marks"
    mark = f"echo $QUEUECTL_JOB_ID >> {marks}"
    jobs = add(engine, mark, mark, f"{mark}; sleep 372", *[mark] * 157, behind=0)
    until(lambda: len(lines_of(marks)) == 3)

    kill_whole(engine)
    start_pool(workers=1)
    engine.wait(*jobs, timeout=60)

    done = engine.get_all(jobs)
    assert Counter(map(int, lines_of(marks))) == Counter(jobs), "each once"
    assert [job.id for job in done if job.state is not JobState.COMPLETED] == [jobs[2]]
    assert [job.id for job in done if job.runs == 2] == jobs[3 : 1 + MOST]


@pytest.mark.parametrize("now", [False, True], ids=["graceful", "now"])
def test_a_stop_leaves_nothing_in_processing_and_charges_nothing_that_waited(
    engine: Engine, eager: Eager, tmp_path: Path, now: bool
) -> None:
    eager()
    marks, go_on = tmp_path / "marks", tmp_path / "go-on"
    wait = f"echo >> {marks}; until test -e {go_on}; do sleep 0.02; done"
    jobs = add(engine, "true", "true", wait)
    until(lambda: lines_of(marks))

    engine.stop_pool(now=now, timeout=0.1)
    until(lambda: engine.counts().of(JobState.PROCESSING) <= 1)
    go_on.touch()
    until(lambda: not any(pool.alive for pool in engine.pools()))

    states = [(job.state, job.attempts) for job in engine.get_all(jobs)]
    ran = (JobState.COMPLETED, 1)
    stopped = (JobState.PENDING, 0)
    assert states == [ran, ran, stopped if now else ran] + [stopped] * (len(jobs) - 3)
    assert [job.runs for job in engine.get_all(jobs)] == [1] * (1 + MOST) + [0] * (
        len(jobs) - 1 - MOST
    )
