"""Who gets which job next, and that nobody else gets it too."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import timedelta

import pytest

from queuectl_engine.job import JobState, State
from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository.protocol import JobRepository
from tests.repository.driver import Driver, OpenRepo
from tests.samples import HOUR, NOON, SECOND, new


def test_a_claimed_job_is_processing_charged_and_its_workers(drive: Driver) -> None:
    job = drive.add()
    drive.later()

    claim = drive.claim()

    assert claim.job == drive.get(job)
    assert (claim.job.stored, claim.job.attempts, claim.job.runs) == (State.PROCESSING, 1, 1)
    assert (claim.job.started_at, claim.job.worker) == (drive.now, "w1")
    assert (claim.attempt.job, claim.attempt.number) == (job.id, 1)
    (attempt,) = drive.attempts(job)
    assert (attempt.number, attempt.worker, attempt.started_at) == (1, "w1", drive.now)
    assert (attempt.ended_at, attempt.result, attempt.ran) == (None, None, None)


def test_tokens_are_long_and_never_the_same(drive: Driver) -> None:
    for _ in range(20):
        drive.add()

    tokens = {claim.attempt.token for claim in drive.turn(room=20).claims}

    assert len(tokens) == 20
    assert all(len(token) >= 32 for token in tokens)


def test_higher_priority_first_then_lower_id(drive: Driver) -> None:
    jobs = [drive.add(priority=priority) for priority in (0, 5, -5, 5, 0)]

    order = drive.claimed(room=9)

    assert order == [jobs[n].id for n in (1, 3, 0, 4, 2)]


def test_the_order_holds_over_queues(drive: Driver) -> None:
    a = drive.add(queue="a", priority=1)
    b = drive.add(queue="b", priority=2)
    c = drive.add(queue="c", priority=1)
    d = drive.add(queue="a", priority=2)

    assert drive.claimed(room=9) == [b.id, d.id, a.id, c.id]


def test_a_worker_gets_jobs_of_its_queues_only(drive: Driver) -> None:
    a = drive.add(queue="a")
    b = drive.add(queue="b", priority=9)
    c = drive.add(queue="c", priority=8)

    assert drive.claimed("a", "nowhere", room=9) == [a.id]
    assert drive.claimed("c", "b", room=9) == [b.id, c.id]


def test_room_is_never_exceeded_and_no_room_gets_nothing(drive: Driver) -> None:
    jobs = [drive.add() for _ in range(3)]

    assert drive.claimed(room=0) == []
    assert drive.claimed(room=2) == [job.id for job in jobs[:2]]


def test_more_says_whether_a_further_claim_would_find_a_job(drive: Driver) -> None:
    drive.add(queue="a")
    drive.add(queue="a")
    drive.add(queue="b")

    assert drive.turn(room=1, queues=["a"]).more
    assert not drive.turn(room=1, queues=["a"]).more  # what is left is in b
    assert not drive.turn(room=1).more


def test_a_turn_that_finds_nothing_is_empty(drive: Driver) -> None:
    turn = drive.turn(room=4)

    assert (turn.verdicts, turn.claims, turn.more, turn.next_due) == ((), (), False, None)


@pytest.mark.parametrize(
    "state", [state for state in JobState if state is not JobState.PENDING], ids=str
)
def test_only_ready_jobs_are_claimed(drive: Driver, state: JobState) -> None:
    drive.job_in(State(state.value))
    drive.job_in(State.SCHEDULED)
    drive.job_in(State.DELETED)

    assert drive.claimed(room=9) == []


# -- paused queues


def test_a_paused_queue_gives_no_job_until_it_is_resumed(
    repo: JobRepository, drive: Driver
) -> None:
    held = drive.add(queue="held", priority=9)
    other = drive.add(queue="other")

    assert repo.pause(["held"], paused=True) == ["held"]
    turn = drive.turn(room=9)
    assert [claim.job.id for claim in turn.claims] == [other.id]
    assert not turn.more
    assert drive.claimed("held", room=9) == []
    assert drive.get(held).state is JobState.PENDING

    assert repo.pause(["held"], paused=False) == ["held"]
    assert drive.claimed(room=9) == [held.id]


def test_more_does_not_count_paused_queues(repo: JobRepository, drive: Driver) -> None:
    drive.add(queue="a")
    drive.add(queue="held")
    repo.pause(["held"], paused=True)

    assert not drive.turn(room=1).more


def test_a_job_that_runs_ends_normally_in_a_paused_queue(
    repo: JobRepository, drive: Driver
) -> None:
    drive.add()
    claim = drive.claim()
    repo.pause(["default"], paused=True)

    drive.end(claim, Exited(0))

    assert drive.get(claim.job).state is JobState.COMPLETED


# -- what falls due


def test_a_scheduled_job_waits_for_its_time(drive: Driver) -> None:
    job = drive.add(run_at=NOON + HOUR)

    turn = drive.turn(room=1)
    assert (turn.claims, turn.next_due) == ((), NOON + HOUR)
    drive.now = NOON + HOUR - timedelta(milliseconds=1)
    assert drive.claimed() == []
    drive.now = NOON + HOUR
    assert drive.claimed() == [job.id]


def test_a_due_job_keeps_its_place_in_line(drive: Driver) -> None:
    early = drive.add(run_at=NOON + HOUR)
    ready = drive.add()
    drive.now = NOON + HOUR

    assert drive.claimed(room=2) == [early.id, ready.id]


def test_what_is_due_is_promoted_in_the_order_it_fell_due_a_hundred_at_once(
    repo: JobRepository, drive: Driver
) -> None:
    jobs = [drive.add(run_at=NOON + (300 - n) * SECOND) for n in range(250)]
    drive.later(HOUR)

    promoted: list[int] = []
    for _ in range(3):
        before = set(promoted)
        repo.promote(now=drive.now)
        ready = {job.id for job in jobs if drive.get(job).stored is State.READY}
        promoted += sorted(ready - before, reverse=True)
        assert len(promoted) <= 100 + len(before)

    assert promoted == [job.id for job in reversed(jobs)]
    assert repo.counts().of(State.READY) == 250


def test_a_turn_promotes_before_it_claims_and_also_without_room(drive: Driver) -> None:
    job = drive.add(run_at=NOON + SECOND)
    drive.later()

    drive.turn(room=0)

    assert drive.get(job).stored is State.READY


def test_what_is_due_is_promoted_also_in_a_paused_queue(repo: JobRepository, drive: Driver) -> None:
    job = drive.add(queue="held", run_at=NOON + SECOND)
    repo.pause(["held"], paused=True)
    drive.later()

    assert drive.turn(room=1).claims == ()
    assert drive.get(job).stored is State.READY


def test_next_due_is_the_earliest_of_scheduled_and_failed(drive: Driver) -> None:
    drive.add(run_at=NOON + HOUR)
    assert drive.turn().next_due == NOON + HOUR
    drive.job_in(State.FAILED)

    assert drive.turn().next_due == NOON + 2 * SECOND
    drive.later(2 * SECOND)
    assert drive.turn().next_due == NOON + HOUR


# -- atomicity


def test_claims_of_many_connections_at_once_never_meet(open_repo: OpenRepo) -> None:
    workers, jobs = 6, 120
    driver = Driver(open_repo())
    driver.repo.add([new(queue=f"q{n % 3}") for n in range(jobs)], now=NOON)
    repos = [open_repo() for _ in range(workers)]
    ids = [driver.start_worker(number=n).id for n in range(workers)]
    barrier = threading.Barrier(workers)
    got: list[int] = []
    tokens: list[str] = []

    def work(repo: JobRepository, worker: int) -> None:
        barrier.wait()
        while claims := repo.settle_and_claim(worker, [], room=1, queues=[], now=NOON).claims:
            got.append(claims[0].job.id)
            tokens.append(claims[0].attempt.token)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(repos, ids, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == jobs
    assert set(Counter(got).values()) == {1}
    assert len(set(tokens)) == jobs
    assert driver.repo.counts().of(State.PROCESSING) == jobs


def test_one_connection_serves_threads_that_call_at_once(drive: Driver) -> None:
    """Usable from several threads: others wait, and no half transaction is seen."""
    barrier = threading.Barrier(5)
    failures: list[BaseException] = []

    def work(number: int) -> None:
        barrier.wait()
        try:
            for n in range(20):
                drive.repo.add([new(key=f"{number}/{n}"), new()], now=NOON)
                assert drive.repo.counts().of(State.READY) % 2 == 0
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=work, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert drive.repo.counts().of(State.READY) == 5 * 20 * 2


def test_a_worker_that_is_registered_nowhere_gets_no_job(drive: Driver) -> None:
    """Or nobody could ever rescue what it runs."""
    job = drive.add()
    gone = drive.start_worker(number=7)
    drive.repo.end_worker(gone.id)

    turn = drive.turn(room=1, worker=gone.id)

    assert turn.claims == ()
    assert drive.get(job).stored is State.READY
    assert drive.claimed() == [job.id]
