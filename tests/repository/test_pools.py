"""Pools and workers as registered, what they hold, and the news that reaches them."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from queuectl_engine.errors import BadInput, QueuectlError
from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited, ForcedStop, WorkerDied
from queuectl_engine.repository.postgres.listening import Listener
from queuectl_engine.repository.protocol import Asked, JobRepository, Leader, PoolRow, Progress
from tests.repository.driver import Driver, OpenRepo
from tests.samples import HOUR, NOON, SECOND, new, pool_row
from tests.waiting import until


def test_a_pool_is_registered_as_it_is(repo: JobRepository) -> None:
    row = pool_row(
        repo.run_directory, "night \u00e9", queues=("a", "b"), is_init=True, detached=True, wanted=0
    )

    pool = repo.start_pool(row, now=NOON)

    assert pool.id > 0
    assert (pool.started_at, pool.stop, pool.trouble) == (NOON, None, None)
    assert repo.pools() == [pool]


def test_pools_and_workers_are_listed_oldest_first(repo: JobRepository, drive: Driver) -> None:
    second = drive.start_pool()
    worker = drive.start_worker(second, 1)
    other = drive.start_worker(second, 2)

    assert [pool.id for pool in repo.pools()] == [drive.pool.id, second.id]
    assert [row.id for row in repo.workers()] == [drive.worker, worker.id, other.id]
    assert (worker.pool, worker.number, worker.pid, worker.started_at, worker.name) == (
        second.id,
        1,
        0,
        NOON,
        "w1",
    )


def test_a_worker_tells_its_pid_later(repo: JobRepository, drive: Driver) -> None:
    repo.set_worker_pid(drive.worker, 4711)

    assert repo.workers()[0].pid == 4711


def test_an_ended_pool_is_forgotten_with_its_workers(repo: JobRepository, drive: Driver) -> None:
    other = drive.start_pool()

    repo.end_pool(drive.pool.id)

    assert repo.pools() == [other]
    assert repo.workers() == []


def test_numbers_of_pools_and_workers_are_never_used_again(
    repo: JobRepository, drive: Driver
) -> None:
    repo.end_worker(drive.worker)
    assert drive.start_worker().id > drive.worker

    repo.end_pool(drive.pool.id)
    assert drive.start_pool().id > drive.pool.id


def test_the_wanted_size_changes_by_steps_and_never_below_0(
    repo: JobRepository, drive: Driver, open_repo: OpenRepo
) -> None:
    assert repo.resize(drive.pool.id, by=3) == 5
    assert open_repo().resize(drive.pool.id, by=-1) == 4
    assert repo.resize(drive.pool.id, by=-9) == 0
    assert repo.resize(drive.pool.id, to=7) == 7
    assert repo.pools()[0].wanted == 7


def test_a_pool_never_wants_more_workers_than_it_has_values_for(
    repo: JobRepository, drive: Driver
) -> None:
    row = pool_row(repo.run_directory, "gpu", wanted=2, most_workers=3)
    pool = repo.start_pool(row, now=drive.now)
    assert repo.resize(pool.id, by=1) == 3
    for step in ({"by": 1}, {"to": 4}, {"to": 99}):
        with pytest.raises(BadInput, match=r"pool gpu has values for 3 slots .*3 workers at most"):
            repo.resize(pool.id, **step)
    assert [(p.wanted, p.most_workers) for p in repo.pools() if p.id == pool.id] == [(3, 3)]
    assert repo.resize(pool.id, by=-9) == 0


def test_a_pool_that_has_ended_cannot_be_resized(repo: JobRepository, drive: Driver) -> None:
    repo.end_pool(drive.pool.id)

    with pytest.raises(QueuectlError, match="pool"):
        repo.resize(drive.pool.id, by=1)


def test_trouble_is_shown_and_cleared(repo: JobRepository, drive: Driver) -> None:
    repo.set_trouble(drive.pool.id, "workers keep dying")
    assert repo.pools()[0].trouble == "workers keep dying"

    repo.set_trouble(drive.pool.id, None)
    assert repo.pools()[0].trouble is None


# -- what a pool still has to do


def remaining(repo: JobRepository, pool: PoolRow) -> dict[State, int]:
    return {state: n for state, n in repo.remaining(pool).items() if n}


def test_what_remains_counts_the_unpaused_queues_that_it_serves(
    repo: JobRepository, drive: Driver
) -> None:
    repo.add([new(queue="a"), new(queue="a"), new(queue="b"), new(queue="held")], now=NOON)
    drive.add(queue="a", run_at=NOON + HOUR)
    repo.pause(["held"], paused=True)

    assert remaining(repo, drive.pool) == {State.READY: 3, State.SCHEDULED: 1}
    assert remaining(repo, drive.start_pool("b", "held")) == {State.READY: 1}
    assert remaining(repo, drive.start_pool("nowhere")) == {}


def test_of_what_runs_only_its_own_remains_to_a_pool(repo: JobRepository, drive: Driver) -> None:
    second = drive.start_pool()
    other = drive.start_worker(second)
    repo.add([new(), new(), new(queue="held")], now=NOON)
    drive.turn(room=1)
    drive.turn(room=1, worker=other.id)
    drive.turn(room=1, worker=other.id)
    repo.pause(["held"], paused=True)

    assert remaining(repo, drive.pool) == {State.PROCESSING: 1}
    assert remaining(repo, second) == {State.PROCESSING: 2}  # the paused queue's job is its own too


# -- what was asked


def test_a_stop_reaches_every_worker_of_the_pool_alone(repo: JobRepository, drive: Driver) -> None:
    other = drive.start_worker(drive.start_pool())
    assert repo.progress(drive.worker, [], now=NOON) == Asked()

    repo.ask_stop(drive.pool.id, "graceful")

    assert repo.progress(drive.worker, [], now=NOON).stop == "graceful"
    assert repo.progress(other.id, [], now=NOON).stop is None
    assert repo.pools()[0].stop == "graceful"


def test_a_stop_now_is_not_softened(repo: JobRepository, drive: Driver) -> None:
    repo.ask_stop(drive.pool.id, "graceful")
    repo.ask_stop(drive.pool.id, "now")
    repo.ask_stop(drive.pool.id, "graceful")

    assert repo.pools()[0].stop == "now"


def test_a_worker_hears_of_cancels_of_its_own_running_jobs_only(
    repo: JobRepository, drive: Driver
) -> None:
    repo.add([new(), new(), new()], now=NOON)
    mine, calm = drive.turn(room=2).claims
    other = drive.start_worker(number=2)
    theirs = drive.claim(worker=other.id)
    drive.cancel(mine.job, theirs.job)

    items = [Progress(claim.attempt) for claim in (mine, calm)]

    assert repo.progress(drive.worker, items, now=NOON).cancelled == {mine.attempt.token}
    assert repo.progress(other.id, [Progress(theirs.attempt)], now=NOON).cancelled == {
        theirs.attempt.token
    }


def test_nothing_to_say_writes_nothing(
    repo: JobRepository, drive: Driver, open_repo: OpenRepo
) -> None:
    drive.add()
    claim = drive.claim()
    watcher = open_repo()
    watcher.changed()

    repo.progress(drive.worker, [Progress(claim.attempt)], now=NOON + SECOND)
    repo.promote(now=NOON + SECOND)

    assert not watcher.changed()


# -- what a dead worker held


def test_the_jobs_of_a_worker_with_all_that_is_known_of_them(
    repo: JobRepository, drive: Driver
) -> None:
    repo.add([new(), new(), new()], now=NOON)
    first, second = drive.turn(room=2).claims
    other = drive.start_worker(number=2)
    drive.claim(worker=other.id)
    repo.progress(drive.worker, [Progress(second.attempt, Leader(4242, 99))], now=NOON)

    held = repo.held_by(drive.worker)

    assert [(orphan.attempt, orphan.leader) for orphan in held] == [
        (first.attempt, None),
        (second.attempt, Leader(4242, 99)),
    ]
    assert all(orphan.worker == drive.worker for orphan in held)
    assert [orphan.job for orphan in held] == [drive.get(first.job), drive.get(second.job)]


def test_an_orphan_has_the_attempt_that_holds_it_now(repo: JobRepository, drive: Driver) -> None:
    drive.add()
    drive.end(drive.claim(), ForcedStop())
    drive.lose(drive.claim(), WorkerDied(supervised=True))
    claim = drive.claim()

    (orphan,) = repo.held_by(drive.worker)

    assert (orphan.attempt, orphan.attempt.number) == (claim.attempt, 3)


def test_settled_jobs_are_held_by_nobody(repo: JobRepository, drive: Driver) -> None:
    drive.add()
    drive.end(drive.claim(), Exited(1))

    assert repo.held_by(drive.worker) == []


def test_jobs_whose_worker_was_forgotten_are_strays(repo: JobRepository, drive: Driver) -> None:
    drive.add()
    drive.add()
    mine = drive.claim()
    other = drive.start_worker(drive.start_pool())
    theirs = drive.claim(worker=other.id)
    assert repo.strays() == []

    repo.end_pool(drive.pool.id)

    assert [orphan.attempt for orphan in repo.strays()] == [mine.attempt]
    assert repo.held_by(other.id)[0].attempt == theirs.attempt
    repo.lose([drive.ended(mine, WorkerDied(supervised=False))], now=NOON)
    assert repo.strays() == []
    assert drive.get(mine.job).stored is State.READY


# -- news


def test_a_change_by_anyone_else_is_news_once(
    repo: JobRepository, drive: Driver, open_repo: OpenRepo
) -> None:
    watcher = open_repo()
    watcher.changed()
    assert not watcher.changed()

    drive.add()
    assert watcher.changed()
    assert not watcher.changed()

    watcher.add([new()], now=NOON)
    assert not watcher.changed()  # our own commit is no news


@contextmanager
def listening(repo: JobRepository, pool: PoolRow) -> Iterator[int]:
    listeners = [each for each in threading.enumerate() if isinstance(each, Listener)]
    # Each rings as soon as it is connected; those of other tests may be ending.
    until(lambda: all(each.hears.is_set() or not each.is_alive() for each in listeners))
    bell = repo.wake_fd(pool)
    try:
        yield bell
    finally:
        os.close(bell)


def rung(bell: int) -> bool:
    """Whether the bell was rung since the last look, which empties it."""
    readable = bool(select.select([bell], [], [], 0)[0])
    if readable:
        os.read(bell, 65536)
    return readable


def test_whoever_makes_a_job_ready_rings_every_pool(
    repo: JobRepository, drive: Driver, open_repo: OpenRepo
) -> None:
    second, other = drive.start_pool(), open_repo()
    with listening(repo, drive.pool) as here, listening(repo, second) as there:
        assert not rung(here)

        (added,) = other.add([new(max_retries=0)], now=NOON)
        assert (rung(here), rung(there)) == (True, True)
        assert not rung(here)

        drive.run(Exited(1))
        assert not rung(there)  # a dead job is nobody's work
        other.requeue([added.id], user="ada", now=NOON)
        assert rung(there)

        drive.run(ForcedStop())
        assert rung(there)  # given back
        claim = drive.claim()
        rung(there)
        drive.lose(claim, WorkerDied(supervised=False))
        assert rung(there)


def test_promoted_and_resumed_jobs_ring_too(repo: JobRepository, drive: Driver) -> None:
    with listening(repo, drive.pool) as bell:
        drive.add(run_at=NOON + HOUR)
        rung(bell)
        drive.later(HOUR)
        repo.promote(now=drive.now)
        assert rung(bell)

        repo.pause(None, paused=True)
        assert not rung(bell)
        repo.pause(None, paused=False)
        assert rung(bell)


def test_one_pool_can_be_rung_alone(repo: JobRepository, drive: Driver) -> None:
    second = drive.start_pool()
    with listening(repo, drive.pool) as here, listening(repo, second) as there:
        repo.ring(second)

        assert (rung(here), rung(there)) == (False, True)

        repo.ring(second, wake_fd=there)
        assert (rung(here), rung(there)) == (False, True)


def test_ringing_never_blocks_and_never_fails(repo: JobRepository, drive: Driver) -> None:
    repo.ring()  # nobody listens yet
    with listening(repo, drive.pool) as bell:
        for _ in range(70_000):  # more bytes than a pipe holds
            repo.ring(drive.pool)
        repo.ring(drive.pool, wake_fd=bell)
        assert rung(bell)
    repo.ring(drive.pool)  # nobody listens any more
    repo.ring()
