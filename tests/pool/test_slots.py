"""Slots: no two running jobs of a pool have the same one, whatever becomes of its workers."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from queuectl_engine import BadInput, Engine, Job, JobState
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.slots import PerSlot, free_slot, most_workers, parse_per_slot
from tests.pool.conftest import StartPool, ended, printed, running
from tests.waiting import until

# A job locks its slot for as long as anything of it runs, and tells when it was locked already.
LOCKED = "flock -n -E 66 {0}/slot-$QUEUECTL_SLOT sh -c '{1}'; code=$?; [ $code = 66 ] && touch {0}/clash; exit $code"  # noqa: E501


def held(engine: Engine, directory: Path, name: str) -> Job:
    """A job that says its slot and runs until a file of its name is there."""
    work = f"echo $QUEUECTL_SLOT; until test -e {directory}/{name}; do sleep 0.02; done"
    return engine.add(LOCKED.format(directory, work), key=name)


def slot(engine: Engine, job: Job) -> str:
    """The slot that a running or ended job told."""
    return until(lambda: printed(engine, job)).strip()


def test_each_running_job_has_a_slot_from_0_up(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(workers=3)
    jobs = [held(engine, tmp_path, name) for name in ("a", "b", "c")]
    assert {slot(engine, job) for job in jobs} == {"0", "1", "2"}
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    assert {ended(engine, job).state for job in jobs} == {JobState.COMPLETED}


def test_the_worker_that_replaces_a_dead_one_has_its_slot(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(workers=2)
    jobs = [held(engine, tmp_path, name) for name in ("a", "b")]
    before = [slot(engine, job) for job in jobs]
    victim = next(w for w in engine.find_pool().workers if w.job == jobs[0].id)

    os.kill(victim.pid, signal.SIGKILL)
    until(lambda: engine.get(jobs[0].id).runs == 2)

    assert [slot(engine, job) for job in jobs] == before
    for name in ("a", "b"):
        (tmp_path / name).touch()
    assert [ended(engine, job).runs for job in jobs] == [2, 1]
    assert not (tmp_path / "clash").exists()


def test_a_worker_that_leaves_holds_its_slot_until_its_job_has_ended(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    start_pool(workers=2)
    jobs = [held(engine, tmp_path, name) for name in ("a", "b")]
    slots = {slot(engine, job): job for job in jobs}
    third = held(engine, tmp_path, "c")

    engine.scale(to=1)
    leaves = slots["1"]  # of two that are busy, the one of the higher number
    until(lambda: logged(engine, "leaving "))
    engine.scale(to=2)
    until(lambda: logged(engine, "hold their slots") or running(engine, third))
    (tmp_path / str(leaves.key)).touch()

    assert slot(engine, third) == "1"
    assert ended(engine, leaves).finished_at <= engine.get(third.id).started_at  # type: ignore[operator]
    for name in ("a", "b", "c"):
        (tmp_path / name).touch()
    for job in (*jobs, third):
        assert ended(engine, job).state is JobState.COMPLETED
    assert not (tmp_path / "clash").exists()


def logged(engine: Engine, words: str) -> int:
    """How often the pool has said so in its log."""
    return Path(engine.find_pool().log).read_text().count(words)


def staying(engine: Engine) -> int:
    """How many workers live that were not told to leave."""
    log = Path(engine.find_pool().log).read_text()
    return sum(w.alive and f"pid={w.pid}\n" not in log for w in engine.find_pool().workers)


def test_no_storm_brings_two_jobs_into_one_slot(
    engine: Engine, start_pool: StartPool, tmp_path: Path
) -> None:
    chance = random.Random(3)
    work = 'echo "$QUEUECTL_SLOT $GPU" >> {0}/used; sleep 0.$(($QUEUECTL_JOB_ID % 7 + 2))'
    command = LOCKED.format(tmp_path, work.format(tmp_path))
    start_pool(workers=4, per_slot=(("GPU", ("g0", "g1", "g2", "g3")),))
    jobs = engine.add_many(engine.new_job(command, max_retries=50) for _ in range(80))

    for wanted in (1, 2, 3, 1, 2):
        told = logged(engine, "leaving ")
        engine.scale(to=wanted)
        until(lambda told=told: logged(engine, "leaving ") > told)  # type: ignore[misc]
        if wanted == 2:
            victims = [w.pid for w in engine.find_pool().workers if w.job and w.pid]
            with suppress(ProcessLookupError):
                os.kill(chance.choice(victims), signal.SIGKILL)
        engine.scale(to=4)  # while those that leave still run their jobs
        until(lambda: staying(engine) == 4)

    until(lambda: engine.counts().of(JobState.COMPLETED) == len(jobs), timeout=60)
    used = set((tmp_path / "used").read_text().splitlines())
    assert not (tmp_path / "clash").exists()
    assert used == {"0 g0", "1 g1", "2 g2", "3 g3"}


def test_variables_by_slot_bound_the_size_of_a_pool(
    engine: Engine, tmp_path: Path, start_pool: StartPool
) -> None:
    pool = engine.start_pool(workers=1, per_slot={"GPU": ["0,1", "2,3"], "PORT": ["80", "81"]})
    assert pool.most_workers == 2
    work = f'echo "$QUEUECTL_SLOT $GPU $PORT"; until test -e {tmp_path}/go; do sleep 0.02; done'
    context = engine.context(env={"GPU": "mine"})  # no job takes another one's place
    jobs = [engine.add(work, context=context) for _ in range(2)]

    assert engine.scale(by=1).wanted == 2  # as + on the screen does
    assert sorted(slot(engine, job) for job in jobs) == ["0 0,1 80", "1 2,3 81"]
    with pytest.raises(BadInput, match="2 workers at most"):
        engine.scale(by=1)
    assert engine.find_pool().wanted == 2
    (tmp_path / "go").touch()


def test_a_worker_of_several_jobs_has_several_slots() -> None:
    assert [free_slot(1, 3, []), free_slot(1, 3, [0]), free_slot(1, 3, [0, 1])] == [0, 1, 2]
    assert [free_slot(2, 3, []), free_slot(2, 3, [4]), free_slot(2, 3, [3, 5])] == [3, 3, 4]
    assert [free_slot(1, 1, []), free_slot(7, 1, [])] == [0, 6]


def test_values_are_needed_for_each_slot_of_each_worker() -> None:
    four = (("A", ("0", "1", "2", "3")),)
    assert most_workers(four, 2) == 2
    assert PoolOptions("queue.db", workers=2, slots=2, per_slot=four).slots == 2
    with pytest.raises(BadInput, match="3 workers and values for 2"):
        PoolOptions("queue.db", workers=3, slots=2, per_slot=four)
    for slots in (0, 1001):
        with pytest.raises(BadInput, match="slots"):
            PoolOptions("queue.db", slots=slots)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("GPU=0,1", ("GPU", ("0", "1"))),
        ("GPU=0,1;2,3", ("GPU", ("0,1", "2,3"))),
        ("GPU=7", ("GPU", ("7",))),
        ("OPTS=a=b,", ("OPTS", ("a=b", ""))),
    ],
)
def test_values_have_commas_or_semicolons_between_them(
    text: str, parsed: tuple[str, tuple[str, ...]]
) -> None:
    assert parse_per_slot(text) == parsed


@pytest.mark.parametrize(
    ("per_slot", "why"),
    [
        ((("A", ("0", "1")),), "3 workers and values for 2"),
        ((("A", ("0", "1", "2")), ("B", ("0",))), "A has 3, B has 1"),
        ((("A", ("0", "1", "2")),) * 2, "twice"),
        ((("A B", ("0", "1", "2")),), "cannot be set per slot"),
        ((("", ("0", "1", "2")),), "cannot be set per slot"),
        ((("QUEUECTL_SLOT", ("0", "1", "2")),), "cannot be set per slot"),
        ((("A", ("\0", "1", "2")),), "NUL"),
    ],
)
def test_slots_that_make_no_sense_are_refused(per_slot: PerSlot, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        PoolOptions("queue.db", workers=3, per_slot=per_slot)


def test_options_keep_their_slots_on_the_way_to_the_supervisor() -> None:
    options = PoolOptions("queue.db", workers=2, per_slot=(("A", ("0", "1")), ("B", ("x", "y"))))
    assert PoolOptions.from_json(options.to_json()) == options
