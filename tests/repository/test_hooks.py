"""Hooks: what a settlement makes due, who takes it, and when it is due no more."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest

from queuectl_engine.errors import BadInput, NoSuchHook
from queuectl_engine.hook import DueHook, HookEvent, new_hook
from queuectl_engine.job import Job
from queuectl_engine.lifecycle import Exited, Signalled, WorkerDied
from queuectl_engine.repository.protocol import JobRepository, Verdict
from tests.repository.driver import Driver, OpenRepo
from tests.samples import CONTEXT, MINUTE, SECOND

DEAD, DONE, DRAINED = HookEvent.ON_DEAD, HookEvent.ON_COMPLETED, HookEvent.ON_DRAINED


def set_hooks(drive: Driver, *events: HookEvent, queue: str = "default") -> None:
    for event in events:
        drive.repo.set_hook(new_hook(queue, event, f"tell {event}", CONTEXT))


def taken(drive: Driver, room: int = 99) -> list[DueHook]:
    return drive.repo.take_hooks(drive.pool.id, room=room)


def told(drive: Driver) -> list[tuple[HookEvent, str, int | None]]:
    """What is due; it is due no more then."""
    due = taken(drive)
    for each in due:
        drive.repo.end_hook(each, drive.pool.id, failed=None, now=drive.now)
    return [(each.hook.event, each.hook.queue, each.job) for each in due]


def die(drive: Driver, **policy: object) -> Job:
    drive.add(max_retries=0, **policy)  # type: ignore[arg-type]
    return drive.run(Exited(7))


def test_a_hook_is_kept_and_replaced_and_deleted(repo: JobRepository) -> None:
    first = new_hook("mail", "on-dead", ["tell", "a b"], CONTEXT, 90)
    second = new_hook("mail", DEAD, "tell", CONTEXT, timedelta(minutes=2))
    repo.set_hook(first)
    assert repo.hooks() == [first]
    assert (first.argv, first.command, first.timeout) == (
        ("tell", "a b"),
        "tell 'a b'",
        MINUTE * 1.5,
    )

    repo.set_hook(second)
    assert repo.hooks() == [second]
    repo.delete_hook("mail", DEAD)
    assert repo.hooks() == []
    with pytest.raises(NoSuchHook):
        repo.delete_hook("mail", DEAD)
    with pytest.raises(NoSuchHook):
        repo.delete_hook("nowhere", DEAD)


@pytest.mark.parametrize(
    ("queue", "event", "command", "timeout"),
    [("a b", DEAD, "x", 1), ("q", "on_fire", "x", 1), ("q", DEAD, " ", 1), ("q", DEAD, "x", 0)],
)
def test_what_cannot_be_is_refused(queue: str, event: str, command: str, timeout: int) -> None:
    with pytest.raises(BadInput):
        new_hook(queue, event, command, CONTEXT, timeout)


def test_a_death_makes_the_hook_of_its_queue_due(drive: Driver) -> None:
    set_hooks(drive, DEAD)
    set_hooks(drive, DEAD, queue="other")
    assert not drive.repo.hooks_wait()

    job = die(drive, command="make it", key="k")

    assert drive.repo.hooks_wait()
    (due,) = taken(drive)
    assert (due.hook.event, due.hook.queue, due.hook.command) == (DEAD, "default", "tell on_dead")
    assert (due.job, due.left, due.hook.context) == (job.id, None, CONTEXT)
    assert due.fields == {
        "QUEUECTL_JOB_ID": str(job.id),
        "QUEUECTL_KEY": "k",
        "QUEUECTL_STATE": "dead",
        "QUEUECTL_REASON": "exit 7",
        "QUEUECTL_EXIT_CODE": "7",
        "QUEUECTL_SIGNAL": "",
        "QUEUECTL_ATTEMPT": "1",
        "QUEUECTL_COMMAND": "make it",
    }


def test_a_failure_that_is_retried_tells_nobody(drive: Driver) -> None:
    set_hooks(drive, DEAD, DONE, DRAINED)
    drive.add(max_retries=1)
    drive.run(Exited(1))
    assert told(drive) == []

    drive.later(MINUTE)
    job = drive.run(Exited(0))
    assert told(drive) == [(DONE, "default", job.id), (DRAINED, "default", None)]


def test_a_lost_job_that_dies_of_it_is_told_of(drive: Driver) -> None:
    set_hooks(drive, DEAD)
    job = drive.add(max_retries=0)
    drive.lose(drive.claim(), WorkerDied(supervised=True))

    assert told(drive) == [(DEAD, "default", job.id)]


def test_a_late_result_tells_nobody(drive: Driver) -> None:
    set_hooks(drive, DEAD, DONE, DRAINED)
    drive.add()
    claim = drive.claim()
    drive.lose(claim, WorkerDied(supervised=False))

    drive.end(claim, Exited(0))

    assert told(drive) == []


def test_a_job_has_hooks_of_its_own(drive: Driver) -> None:
    good = drive.add(on_dead="cry", on_completed="cheer")
    drive.run(Exited(0))
    bad = drive.add(on_dead="cry", on_completed="cheer", max_retries=0)
    drive.run(Signalled(9))
    plain = drive.add()
    drive.run(Exited(0))

    due = taken(drive)

    assert [(each.hook.command, each.job) for each in due] == [("cheer", good.id), ("cry", bad.id)]
    assert due[1].fields["QUEUECTL_SIGNAL"] == "9"
    assert due[0].hook.timeout == MINUTE
    assert drive.get(plain).on_dead is None
    assert drive.get(good).on_completed == "cheer"


def test_both_the_job_and_its_queue_tell(drive: Driver) -> None:
    set_hooks(drive, DONE)
    job = drive.add(on_completed="cheer")
    drive.run(Exited(0))

    assert told(drive) == [(DONE, "default", job.id)] * 2


def test_drained_means_that_nothing_is_left_to_do_in_that_queue(drive: Driver) -> None:
    set_hooks(drive, DRAINED)
    drive.add()
    drive.add()
    drive.add(run_at=drive.now + MINUTE)
    drive.add(queue="other")

    drive.run(Exited(0), "default")
    assert told(drive) == []
    drive.run(Exited(0), "default")
    assert told(drive) == [(DRAINED, "default", None)]
    drive.run(Exited(0), "other")
    assert told(drive) == []


def test_drained_is_told_after_all_that_ended_in_the_same_turn(drive: Driver) -> None:
    set_hooks(drive, DEAD, DRAINED)
    jobs = [drive.add(max_retries=0).id for _ in range(3)]
    claims = drive.turn(room=3).claims

    drive.turn(*(drive.ended(claim, Exited(7)) for claim in claims))

    ends = [(DEAD, "default", job) for job in jobs]
    assert told(drive) == [*ends, (DRAINED, "default", None)]


def test_what_is_told_twice_in_one_turn_makes_its_hook_due_once(drive: Driver) -> None:
    """Receipts that could be written only in part are written again, all of them."""
    set_hooks(drive, DEAD)
    job = drive.add(max_retries=0)
    (claim,) = drive.turn(room=1).claims
    end = drive.ended(claim, Exited(7))

    turn = drive.turn(end, end)

    assert turn.verdicts == (Verdict.SETTLED, Verdict.SETTLED)
    assert told(drive) == [(DEAD, "default", job.id)]


def test_what_is_due_but_was_not_promoted_is_left_to_do(drive: Driver) -> None:
    set_hooks(drive, DRAINED)
    drive.add()
    claim = drive.claim()
    drive.add(run_at=drive.now + SECOND)
    drive.later(SECOND)

    drive.end(claim, Exited(0))

    assert told(drive) == []
    drive.run(Exited(0))
    assert told(drive) == [(DRAINED, "default", None)]


def test_drained_is_told_once_as_long_as_nobody_heard_it(drive: Driver) -> None:
    set_hooks(drive, DRAINED)
    for _ in range(3):
        drive.add()
        drive.run(Exited(0))

    assert told(drive) == [(DRAINED, "default", None)]
    drive.add()
    drive.run(Exited(1))
    assert told(drive) == []


def test_a_paused_queue_tells_of_what_ended(drive: Driver) -> None:
    set_hooks(drive, DEAD)
    drive.add(max_retries=0)
    claim = drive.claim()
    drive.repo.pause(["default"], paused=True)

    drive.end(claim, Exited(1))

    assert told(drive) == [(DEAD, "default", claim.job.id)]


def test_acts_of_people_tell_nobody(drive: Driver) -> None:
    set_hooks(drive, DEAD, DONE, DRAINED)
    job = drive.add(on_dead="cry")
    drive.cancel(job)
    drive.requeue(job)
    drive.delete(job)

    assert told(drive) == []


def test_each_due_hook_is_taken_by_one_of_many_pools(drive: Driver, open_repo: OpenRepo) -> None:
    set_hooks(drive, DONE)
    for _ in range(40):
        drive.add()
        drive.run(Exited(0))
    pools = [(open_repo(), drive.start_pool().id) for _ in range(4)]
    barrier = threading.Barrier(4)
    got: list[int] = []

    def take(repo: JobRepository, pool: int) -> None:
        barrier.wait()
        while due := repo.take_hooks(pool, room=3):
            got.extend(each.id for each in due)

    threads = [threading.Thread(target=take, args=both) for both in pools]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(got) == len(set(got)) == 40


def test_what_a_dead_pool_had_taken_is_due_again(drive: Driver) -> None:
    set_hooks(drive, DEAD)
    die(drive)
    other = drive.start_pool()
    (first,) = drive.repo.take_hooks(other.id, room=9)
    assert taken(drive) == []

    drive.repo.end_pool(other.id)

    (again,) = taken(drive)
    assert (again.id, again.left, again.fields) == (first.id, first.token, first.fields)
    assert again.token != first.token
    drive.repo.end_hook(first, other.id, failed="exit 1", now=drive.now)  # too late
    drive.repo.give_back_hooks(drive.pool.id)
    assert len(taken(drive)) == 1


def test_a_failure_becomes_an_event_of_the_job(drive: Driver) -> None:
    set_hooks(drive, DEAD)
    job = die(drive)
    (due,) = taken(drive)

    drive.repo.end_hook(due, drive.pool.id, failed="exit 3: no mail", now=drive.now)

    event = drive.repo.events(job.id)[-1]
    assert (event.kind, event.detail) == ("hook failed", "on_dead: exit 3: no mail")
    assert not drive.repo.hooks_wait()
    assert taken(drive) == []


def test_a_hook_outlives_its_job(drive: Driver) -> None:
    set_hooks(drive, DEAD)
    job = die(drive)
    drive.delete(job)
    drive.later(2 * MINUTE)
    drive.repo.maintain(now=drive.now)

    (due,) = taken(drive)
    assert due.job == job.id
    drive.repo.end_hook(due, drive.pool.id, failed="exit 3", now=drive.now)
    assert not drive.repo.hooks_wait()


def test_deleting_a_hook_takes_back_what_nobody_runs(drive: Driver) -> None:
    set_hooks(drive, DEAD)
    die(drive)
    die(drive, on_dead="cry")
    assert len(taken(drive, room=1)) == 1
    die(drive)

    drive.repo.delete_hook("default", DEAD)

    assert [each.hook.command for each in taken(drive)] == ["cry"]


def test_a_long_command_fits_into_a_variable(drive: Driver) -> None:
    job = die(drive, command="x" * 100_000, on_dead="cry")

    (due,) = taken(drive)

    assert due.job == job.id
    assert max(map(len, due.fields.values())) < 10_000
