"""How many jobs may run at a time, which exclude each other, and whose turn it is."""

from __future__ import annotations

import os
from contextlib import closing

import pytest

from queuectl_engine.job import Job, State
from queuectl_engine.lifecycle import Exited, ForcedStop
from queuectl_engine.plan import Act
from queuectl_engine.repository.protocol import Claim, JobRepository
from tests.repository.driver import Driver
from tests.samples import HOUR, NOON, new


def finish(drive: Driver, claim: Claim, *, room: int = 0) -> list[int]:
    """Complete a job; the ids that its worker gets next."""
    turn = drive.turn(drive.ended(claim, Exited(0)), room=room)
    return [each.job.id for each in turn.claims]


def queues(drive: Driver, job_ids: list[int]) -> str:
    """The queues of jobs, each of one letter."""
    return "".join(drive.get(job).queue for job in job_ids)


# -- limits


def test_a_queue_never_runs_more_than_its_limit(repo: JobRepository, drive: Driver) -> None:
    repo.limit(["gpu"], 2)
    jobs = [drive.add(queue="gpu", priority=9) for _ in range(4)]
    other = drive.add()

    turn = drive.turn(room=9)

    assert [claim.job.id for claim in turn.claims] == [jobs[0].id, jobs[1].id, other.id]
    assert not turn.more
    assert drive.claimed(room=9) == []
    assert finish(drive, turn.claims[0], room=9) == [jobs[2].id]


def test_all_queues_together_never_run_more_than_the_limit_of_all(
    repo: JobRepository, drive: Driver
) -> None:
    repo.limit(None, 3)
    for name in "aabbcc":
        drive.add(queue=name)

    turn = drive.turn(room=9)

    assert len(turn.claims) == 3
    assert not turn.more
    assert len(finish(drive, turn.claims[0], room=9)) == 1
    assert repo.counts().max_running == 3


def test_limits_change_while_jobs_run(repo: JobRepository, drive: Driver) -> None:
    for _ in range(6):
        drive.add()
    claims = drive.turn(room=3).claims

    repo.limit(["default"], 1)
    assert finish(drive, claims[0], room=9) == []  # two still run
    assert finish(drive, claims[1], room=9) == []
    assert len(finish(drive, claims[2], room=9)) == 1
    repo.limit(["default"], 2)
    assert len(drive.claimed(room=9)) == 1
    repo.limit(["default"], None)
    assert len(drive.claimed(room=9)) == 1
    assert [queue.max_running for queue in repo.queues()] == [None]


def test_a_queue_can_get_its_limit_before_its_first_job(repo: JobRepository, drive: Driver) -> None:
    repo.limit(["new"], 1)
    assert [(queue.name, queue.max_running) for queue in repo.queues()] == [("new", 1)]
    drive.add(queue="new")
    drive.add(queue="new")

    assert len(drive.claimed(room=9)) == 1


def test_whoever_serves_the_others_is_rung_when_a_limit_lets_one_go(
    repo: JobRepository, drive: Driver
) -> None:
    """The worker that ends a job may be stopping, or not serve what may start now."""
    other = drive.start_pool("b")
    drive.add(queue="a")
    drive.add(queue="b")
    repo.limit(None, 1)
    claim = drive.claim("a")

    with closing(os.fdopen(repo.wake_fd(other), "rb", buffering=0)) as bell:
        assert bell.read(64) is None
        finish(drive, claim)
        assert bell.read(64)
        repo.limit(None, 2)
        assert bell.read(64)


# -- mutexes


def test_of_jobs_with_the_same_mutex_one_runs_at_a_time(drive: Driver) -> None:
    jobs = [drive.add(mutex="db", queue=name) for name in "aabb"]
    free = [drive.add(mutex="other"), drive.add()]

    turn = drive.turn(room=9)

    assert [claim.job.id for claim in turn.claims] == [jobs[0].id, *(job.id for job in free)]
    assert turn.next_due is None  # nothing was let go
    held = drive.get(jobs[1])
    assert (held.stored, held.mutex, held.mutex_holder) == (State.BLOCKED, "db", jobs[0].id)
    assert held.waiting == f"mutex db is held by {jobs[0].id}"
    assert turn.claims[0].job.mutex_holder is None
    order = finish(drive, turn.claims[0], room=9)
    assert len(order) == 1
    while len(order) < 3:
        (orphan,) = [o for o in drive.repo.held_by(drive.worker) if o.job.mutex == "db"]
        order += finish(drive, Claim(orphan.attempt, orphan.job, turn.claims[0].context), room=9)
    assert sorted(order) == [job.id for job in jobs[1:]]


@pytest.mark.parametrize("ending", [Exited(0), Exited(1), ForcedStop()], ids=str)
def test_any_end_of_an_attempt_lets_the_mutex_go(drive: Driver, ending: object) -> None:
    first, second = drive.add(mutex="db", priority=1), drive.add(mutex="db", queue="b")
    claim = drive.turn(room=9).claims[0]
    assert claim.job.id == first.id
    drive.end(claim, ending)  # type: ignore[arg-type]

    back = [first.id] if isinstance(ending, ForcedStop) else []
    assert drive.claimed(room=9) == (back or [second.id])


def test_the_best_of_those_that_wait_is_next(drive: Driver) -> None:
    claim = claimed(drive, drive.add(mutex="db"))
    low, high = drive.add(mutex="db"), drive.add(mutex="db", priority=5)
    last = drive.add(mutex="db")

    order = finish(drive, claim, room=9)
    for _ in range(2):
        (orphan,) = drive.repo.held_by(drive.worker)
        order += finish(drive, Claim(orphan.attempt, orphan.job, claim.context), room=9)

    assert order == [high.id, low.id, last.id]


def claimed(drive: Driver, job: Job) -> Claim:
    claim = drive.claim()
    assert claim.job.id == job.id
    return claim


def test_a_job_of_higher_priority_does_not_wait_behind_one_that_has_not_started(
    drive: Driver,
) -> None:
    drive.add(mutex="db")
    high = drive.add(mutex="db", priority=5)

    assert drive.claimed(room=9) == [high.id]


def test_a_mutex_is_not_kept_by_jobs_of_a_queue_that_starts_none(
    repo: JobRepository, drive: Driver
) -> None:
    repo.pause(["held"], paused=True)
    for _ in range(3):
        drive.add(mutex="db", queue="held", priority=9)
    jobs = [drive.add(mutex="db", queue="a") for _ in range(2)]

    claim = claimed(drive, jobs[0])
    assert finish(drive, claim, room=9) == [jobs[1].id]


@pytest.mark.parametrize("act", ["cancel", "delete", "later", "moved", "renamed"])
def test_the_next_is_freed_when_the_first_leaves_the_line(
    repo: JobRepository, drive: Driver, act: str
) -> None:
    first, second = drive.add(mutex="db"), drive.add(mutex="db")
    assert second.stored is State.BLOCKED

    match act:
        case "cancel":
            drive.cancel(first)
        case "delete":
            drive.delete(first)
        case _:
            to = {
                "later": new(mutex="db", run_at=drive.now + HOUR),
                "moved": new(mutex="db", queue="other"),
                "renamed": new(mutex="x"),
            }[act]
            repo.edit(first.id, to, user="ada", now=drive.now, moved=act == "later")
    repo.promote(now=drive.now)

    assert drive.get(second).stored is State.READY


def test_ready_jobs_whose_mutex_is_held_are_set_aside_once_and_hide_nothing(
    drive: Driver,
) -> None:
    drive.repo.add([new(mutex="db", run_at=NOON + HOUR) for _ in range(1_500)], now=NOON)
    free = drive.add()
    drive.later(HOUR)
    while drive.repo.promote(now=drive.now):
        pass
    assert drive.repo.counts().of(State.READY) == 1_501

    turn = drive.turn(room=2)  # one holds the mutex; a thousand are set aside, then it stops
    assert [claim.job.mutex for claim in turn.claims] == ["db"]
    assert turn.next_due == drive.now
    assert drive.repo.counts().of(State.BLOCKED) == 1_000
    assert drive.claimed(room=1) == [free.id]
    assert drive.repo.counts().of(State.READY) == 0


def test_a_job_may_wait_for_others_and_for_a_mutex(drive: Driver) -> None:
    parent = drive.add()
    both = drive.add(mutex="db", after_ok=[parent.id])
    claim = drive.claim()
    drive.add(mutex="db", queue="a")
    holder = drive.claim()

    finish(drive, claim)
    assert drive.claimed(room=9) == []
    assert drive.get(both).waiting == f"mutex db is held by {holder.job.id}"
    assert finish(drive, holder, room=9) == [both.id]


def test_undo_and_requeue_bring_a_job_back_into_the_line(
    repo: JobRepository, drive: Driver
) -> None:
    claim = claimed(drive, drive.add(mutex="db"))
    waiting, other = drive.add(mutex="db"), drive.add(mutex="db")
    done, _ = repo.act(
        Act.CANCEL, [waiting.id, other.id], asked=drive.now, user="ada", now=drive.now
    )
    assert len(done) == 2
    repo.undo(done[:1], user="ada", now=drive.now)
    drive.requeue(other)

    assert drive.claimed(room=9) == []
    assert finish(drive, claim, room=9) == [waiting.id]


def test_something_stirs_while_the_holder_of_a_mutex_runs(
    repo: JobRepository, drive: Driver
) -> None:
    claim = claimed(drive, drive.add(mutex="db"))
    assert not repo.stirring()
    drive.add(mutex="db")
    assert repo.stirring()
    finish(drive, claim)
    assert not repo.stirring()  # the next one is ready


# -- turns


def test_queues_whose_best_jobs_have_the_same_priority_take_turns(drive: Driver) -> None:
    drive.repo.add([new(queue="a") for _ in range(20)], now=NOON)
    drive.repo.add([new(queue="b") for _ in range(3)], now=NOON)
    drive.repo.add([new(queue="c") for _ in range(2)], now=NOON)

    order = queues(drive, [drive.claimed()[0] for _ in range(10)])

    assert order == "abcabcabaa"


def test_a_queue_that_was_quiet_waits_no_longer_than_one_turn_of_each_other(
    drive: Driver,
) -> None:
    """Neither does it make up for the time in which it asked for nothing."""
    drive.repo.add([new(queue=name) for name in "cd" * 50], now=NOON)
    drive.turn(room=100)
    drive.repo.add([new(queue=name) for name in "ab" * 50], now=NOON)
    drive.turn(room=20)
    drive.repo.add([new(queue=name) for name in "cd" * 10], now=NOON)

    order = queues(drive, [drive.claimed()[0] for _ in range(12)])

    assert [sorted(order[at : at + 4]) for at in (0, 4, 8)] == [list("abcd")] * 3


def test_priority_goes_before_turns(drive: Driver) -> None:
    drive.repo.add([new(queue="a", priority=1) for _ in range(3)], now=NOON)
    drive.repo.add([new(queue="b") for _ in range(3)], now=NOON)

    assert queues(drive, drive.claimed(room=9)) == "aaabbb"


def test_a_queue_at_its_limit_loses_no_turn_of_another(repo: JobRepository, drive: Driver) -> None:
    repo.limit(["a"], 1)
    drive.repo.add([new(queue=name) for name in "aaabbb"], now=NOON)

    assert queues(drive, drive.claimed(room=9)) == "abbb"
