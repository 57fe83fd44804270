"""Jobs that wait for other jobs: freed when these end as they must, and only then."""

from __future__ import annotations

import pytest

from queuectl_engine.errors import BadInput, NoSuchJob, WrongState
from queuectl_engine.job import After, Job, JobState, Need, State
from queuectl_engine.lifecycle import Exited
from queuectl_engine.plan import Act
from queuectl_engine.repository.protocol import JobRepository
from tests.repository.driver import Driver, OpenRepo
from tests.samples import HOUR, MINUTE, NOON, new

OK, ANY, FAIL = After.OK, After.ANY, After.FAIL
ENDS = (State.COMPLETED, State.DEAD, State.CANCELLED, State.DELETED)
FREED = {
    OK: {State.COMPLETED},
    ANY: {State.COMPLETED, State.DEAD, State.CANCELLED, State.DELETED},
    FAIL: {State.DEAD},
}


def child(drive: Driver, *parents: Job, after: After = OK, **policy: object) -> Job:
    names = [parent.id for parent in parents]
    return drive.add(**{f"after_{after}": names}, **policy)  # type: ignore[arg-type]


def end(drive: Driver, job: Job, state: State) -> None:
    """End a job that is the best ready one."""
    match state:
        case State.CANCELLED:
            drive.cancel(job)
        case State.DELETED:
            drive.delete(job)
        case _:
            claim = drive.claim()
            assert claim.job.id == job.id
            drive.end(claim, Exited(int(state is State.DEAD)))
    drive.turn()


@pytest.mark.parametrize("after", After, ids=str)
@pytest.mark.parametrize("state", ENDS, ids=str)
def test_a_job_is_freed_by_the_ends_it_waits_for_and_no_other(
    drive: Driver, after: After, state: State
) -> None:
    parent = drive.add(max_retries=0)
    waiting = child(drive, parent, after=after)
    assert (waiting.stored, waiting.state) == (State.BLOCKED, JobState.PENDING)
    assert waiting.waits_for == (Need(parent.id, after, JobState.PENDING),)

    end(drive, parent, state)

    freed = state in FREED[after]
    assert drive.get(waiting).stored is (State.READY if freed else State.BLOCKED)
    assert [need.met for need in drive.repo.needs(waiting.id)] == [freed]
    assert drive.claimed() == ([waiting.id] if freed else [])
    if not freed:
        (need,) = drive.get(waiting).waits_for
        assert need.stuck


@pytest.mark.parametrize("after", After, ids=str)
@pytest.mark.parametrize("state", [s for s in State if s is not State.DELETED], ids=str)
def test_a_parent_that_has_ended_before_counts_at_once(
    drive: Driver, after: After, state: State
) -> None:
    parent = drive.job_in(state)

    job = child(drive, parent, after=after)

    assert job.stored is (State.READY if state in FREED[after] else State.BLOCKED)


def test_the_worker_that_ends_a_parent_gets_its_child_in_the_same_turn(drive: Driver) -> None:
    parent = drive.add()
    waiting = child(drive, parent)
    claim = drive.claim()

    turn = drive.turn(drive.ended(claim, Exited(0)), room=1)

    assert [claim.job.id for claim in turn.claims] == [waiting.id]


def test_all_parents_must_have_ended(drive: Driver) -> None:
    one, two, three = drive.add(), drive.add(max_retries=0), drive.add()
    names = {"after_ok": [one.id], "after_fail": [two.id], "after_any": [three.id]}
    waiting = drive.add(**names)  # type: ignore[arg-type]

    end(drive, one, State.COMPLETED)
    end(drive, two, State.DEAD)
    assert drive.get(waiting).waits_for == (Need(three.id, ANY, JobState.PENDING),)
    end(drive, three, State.CANCELLED)

    assert drive.get(waiting).stored is State.READY


@pytest.mark.parametrize("state", [State.DEAD, State.CANCELLED], ids=str)
def test_a_parent_that_is_requeued_and_completes_frees_its_child(
    drive: Driver, state: State
) -> None:
    parent = drive.add(max_retries=0)
    waiting = child(drive, parent)
    end(drive, parent, state)
    assert drive.get(waiting).waiting == f"after-ok {parent.id}: it is {state}"

    drive.requeue(parent)
    end(drive, parent, State.COMPLETED)

    assert drive.get(waiting).stored is State.READY


def test_what_was_met_stays_met_and_is_not_counted_twice(drive: Driver) -> None:
    again, other = drive.add(priority=9), drive.add()
    waiting = child(drive, again, other)

    for _ in range(2):
        end(drive, again, State.COMPLETED)
        assert [need.met for need in drive.repo.needs(waiting.id)] == [True, False]
        assert drive.get(waiting).stored is State.BLOCKED
        drive.requeue(again)
    drive.cancel(again)
    end(drive, other, State.COMPLETED)

    assert drive.get(waiting).stored is State.READY


def test_a_freed_job_waits_for_its_time(drive: Driver) -> None:
    parent = drive.add()
    waiting = child(drive, parent, run_at=NOON + HOUR)

    end(drive, parent, State.COMPLETED)

    assert drive.get(waiting).stored is State.SCHEDULED
    drive.later(HOUR)
    assert drive.claimed() == [waiting.id]


def test_a_time_that_passed_while_it_was_blocked_does_not_hold_it(drive: Driver) -> None:
    parent = drive.add()
    waiting = child(drive, parent, run_at=NOON + MINUTE)
    drive.later(HOUR)
    assert drive.get(waiting).stored is State.BLOCKED

    end(drive, parent, State.COMPLETED)

    assert drive.get(waiting).stored is State.READY


# -- who is meant


def test_parents_are_named_by_id_by_key_and_by_keys_of_the_same_batch(
    repo: JobRepository, drive: Driver
) -> None:
    old = drive.add(key="old")
    batch = [
        new(key="build"),
        new(after_ok=["build", str(old.id), "old"]),
        new(key="build", after_ok=[99]),  # exists: nothing of it counts
    ]

    build, test, same = repo.add(batch, now=NOON)

    assert [need.job for need in repo.needs(test.id)] == [build.id, old.id]
    assert (same.id, same.created) == (build.id, False)
    assert repo.dependants(build.id, limit=9) == [test.id]


@pytest.mark.parametrize("name", [99, "99", "nothing", "mine", 3])
def test_an_unknown_parent_adds_nothing(
    repo: JobRepository, drive: Driver, name: int | str
) -> None:
    gone = drive.job_in(State.DELETED, key="gone")
    for unknown in (name, gone.id, "gone"):
        with pytest.raises(NoSuchJob, match=r"to wait for; 'queuectl list --all'"):
            repo.add([new(), new(key="mine", after_any=[unknown])], now=NOON)

    assert repo.counts().of(State.READY, State.BLOCKED) == 0


def test_too_many_parents_are_refused(repo: JobRepository) -> None:
    with pytest.raises(BadInput, match="at most 10000"):
        repo.add([new(after_ok=list(range(1, 10_002)))], now=NOON)


# -- many dependants


def test_dependants_are_freed_in_order_a_hundred_a_turn_and_survive_a_crash_between(
    open_repo: OpenRepo,
) -> None:
    drive = Driver(open_repo())
    parent = drive.add(priority=9)
    drive.repo.add([new(after_ok=[parent.id]) for _ in range(250)], now=NOON)
    claim = drive.claim()

    turn = drive.turn(drive.ended(claim, Exited(0)))

    assert turn.next_due == drive.now  # there is more to do
    assert drive.repo.counts().of(State.READY) == 100
    drive.repo.close()
    repo = open_repo()
    assert repo.promote(now=NOON)
    assert repo.counts().of(State.READY) == 200
    assert not repo.promote(now=NOON)
    assert repo.counts().of(State.READY) == 250
    assert repo.counts().of(State.BLOCKED) == 0


def test_the_first_to_be_freed_are_the_first_that_were_added(drive: Driver) -> None:
    parent = drive.add(priority=9)
    jobs = [child(drive, parent, priority=n % 3) for n in range(150)]
    end_at_once(drive)

    assert {job.id for job in jobs if drive.get(job).stored is State.READY} == {
        job.id for job in jobs[:100]
    }


def end_at_once(drive: Driver) -> None:
    drive.turn(drive.ended(drive.claim(), Exited(0)))


def test_who_begins_to_wait_while_others_are_freed_waits_for_the_next_end(drive: Driver) -> None:
    parent = drive.add(priority=9)
    drive.repo.add([new(after_ok=[parent.id]) for _ in range(150)], now=NOON)
    end_at_once(drive)
    drive.requeue(parent)
    late = child(drive, parent)
    edited = drive.add()
    drive.repo.edit(edited.id, new(after_ok=[parent.id]), user="ada", now=drive.now, moved=False)

    drive.turn()
    drive.turn()

    assert drive.repo.counts().of(State.BLOCKED) == 2
    assert drive.get(late).stored is drive.get(edited).stored is State.BLOCKED
    end(drive, parent, State.COMPLETED)
    assert drive.repo.counts().of(State.BLOCKED) == 0


def test_an_end_while_others_are_freed_counts_for_those_who_came_since(drive: Driver) -> None:
    parent = drive.add(priority=9)
    drive.repo.add([new(after_ok=[parent.id]) for _ in range(350)], now=NOON)
    end_at_once(drive)
    drive.requeue(parent)
    late = child(drive, parent)
    end_at_once(drive)

    while drive.repo.promote(now=drive.now):
        pass

    assert drive.get(late).stored is State.READY
    assert drive.repo.counts().of(State.BLOCKED) == 0


def test_a_job_names_the_first_few_it_waits_for_and_tells_all_when_asked(drive: Driver) -> None:
    parents = [drive.add() for _ in range(30)]
    waiting = child(drive, *parents)

    assert [need.job for need in waiting.waits_for] == [parent.id for parent in parents[:20]]
    assert len(drive.repo.needs(waiting.id)) == 30


# -- what people do


def test_a_child_that_was_cancelled_waits_again_when_it_is_requeued(drive: Driver) -> None:
    parent = drive.add()
    waiting, other = child(drive, parent), child(drive, parent)
    drive.cancel(waiting, other)
    drive.requeue(waiting)
    assert drive.get(waiting).stored is State.BLOCKED

    end(drive, parent, State.COMPLETED)

    assert drive.get(waiting).stored is State.READY
    assert drive.get(other).stored is State.CANCELLED
    drive.requeue(other, run_at=drive.now + HOUR)
    assert drive.get(other).stored is State.SCHEDULED


@pytest.mark.parametrize("act", [Act.CANCEL, Act.DELETE])
@pytest.mark.parametrize("ended", [False, True])
def test_undo_makes_a_child_wait_again_for_what_has_not_ended(
    repo: JobRepository, drive: Driver, act: Act, ended: bool
) -> None:
    parent = drive.add()
    waiting = child(drive, parent)
    done, _ = repo.act(act, [waiting.id], asked=drive.now, user="ada", now=drive.now)
    if ended:
        end(drive, parent, State.COMPLETED)

    assert repo.undo(done, user="ada", now=drive.now) == 1

    assert drive.get(waiting).stored is (State.READY if ended else State.BLOCKED)


def test_undo_of_a_requeue_that_waits_again(repo: JobRepository, drive: Driver) -> None:
    waiting = child(drive, drive.add())
    drive.cancel(waiting)
    done, _ = repo.act(Act.REQUEUE, [waiting.id], asked=drive.now, user="ada", now=drive.now)
    assert drive.get(waiting).stored is State.BLOCKED

    assert repo.undo(done, user="ada", now=drive.now) == 1

    assert drive.get(waiting).stored is State.CANCELLED


def test_a_parent_made_dead_again_by_undo_frees_who_waits_for_that(
    repo: JobRepository, drive: Driver
) -> None:
    parent = drive.job_in(State.DEAD)
    done, _ = repo.act(Act.REQUEUE, [parent.id], asked=drive.now, user="ada", now=drive.now)
    waiting = child(drive, parent, after=FAIL)
    assert waiting.stored is State.BLOCKED

    repo.undo(done, user="ada", now=drive.now)
    drive.turn()

    assert drive.get(waiting).stored is State.READY


def test_a_parent_that_is_purged_is_named_as_deleted(repo: JobRepository, drive: Driver) -> None:
    parent = drive.add()
    waiting = child(drive, parent)
    drive.delete(parent)
    for _ in range(2):
        assert drive.get(waiting).waits_for == (Need(parent.id, OK, None),)
        assert drive.get(waiting).waiting == f"after-ok {parent.id}: it was deleted"
        drive.later(HOUR)
        repo.maintain(now=drive.now)


def test_a_purged_child_takes_its_needs_along(repo: JobRepository, drive: Driver) -> None:
    parent = drive.add()
    waiting = child(drive, parent)
    drive.delete(waiting)
    drive.later(HOUR)
    repo.maintain(now=drive.now)

    assert repo.dependants(parent.id, limit=9) == []


def test_edit_replaces_what_a_pending_job_waits_for(repo: JobRepository, drive: Driver) -> None:
    one, two = drive.add(), drive.add()
    waiting = drive.add(after_ok=[one.id], after_any=[two.id])

    repo.edit(waiting.id, new(after_ok=[]), user="ada", now=drive.now, moved=False)
    assert [(need.job, need.after) for need in repo.needs(waiting.id)] == [(two.id, ANY)]
    assert drive.get(waiting).stored is State.BLOCKED

    to = new(after_any=[], run_at=drive.now + HOUR)
    repo.edit(waiting.id, to, user="ada", now=drive.now, moved=True)
    assert drive.get(waiting).stored is State.SCHEDULED
    assert repo.events(waiting.id)[-1].detail == "run_at, after_any"

    repo.edit(waiting.id, new(after_ok=[one.id]), user="ada", now=drive.now, moved=False)
    assert drive.get(waiting).stored is State.BLOCKED
    assert drive.get(waiting).run_at == drive.now + HOUR


def test_no_job_can_come_to_wait_for_itself(repo: JobRepository, drive: Driver) -> None:
    first = drive.add()
    second = child(drive, first)

    for job, parent in ((first, second), (first, first)):
        to = new(after_ok=[parent.id])
        with pytest.raises(BadInput, match="jobs that came before it"):
            repo.edit(job.id, to, user="ada", now=drive.now, moved=False)
    assert drive.get(first).stored is State.READY


@pytest.mark.parametrize("state", [State.DEAD, State.FAILED], ids=str)
def test_a_job_that_ran_already_cannot_begin_to_wait(
    repo: JobRepository, drive: Driver, state: State
) -> None:
    other = drive.add(run_at=NOON + HOUR)
    job = drive.job_in(state)

    with pytest.raises(WrongState, match="only a pending one"):
        repo.edit(job.id, new(after_ok=[other.id]), user="ada", now=drive.now, moved=False)

    assert drive.get(job).stored is state


# -- who has to know


def test_something_stirs_while_a_running_or_ended_job_may_free_others(
    repo: JobRepository, drive: Driver
) -> None:
    parent = drive.add()
    child(drive, parent)
    assert not repo.stirring()
    claim = drive.claim()
    assert repo.stirring()
    drive.end(claim, Exited(1))
    assert not repo.stirring()
    drive.cancel(parent)
    assert not repo.stirring()  # nothing waits for that


def test_what_is_freed_by_a_person_is_told_by_the_next_look(
    repo: JobRepository, drive: Driver
) -> None:
    parent = drive.add()
    waiting = child(drive, parent, after=ANY)
    drive.cancel(parent)
    assert repo.stirring()

    repo.promote(now=drive.now)

    assert drive.get(waiting).stored is State.READY
    assert not repo.stirring()


def test_a_label_means_all_jobs_that_have_it_now(repo: JobRepository, drive: Driver) -> None:
    one, two = drive.add(labels=["build"]), drive.add(labels=["build", "slow"])
    gone = drive.add(labels=["build"])
    drive.delete(gone)
    last = drive.add(after_ok=["label:build"])
    drive.add(labels=["build"], priority=-1)  # it came later

    assert [need.job for need in repo.needs(last.id)] == [one.id, two.id]
    assert drive.get(last).stored is State.BLOCKED
    drive.run(Exited(0))
    drive.run(Exited(0))
    while repo.promote(now=drive.now):
        pass
    assert drive.get(last).stored is State.READY


def test_a_label_of_jobs_that_are_added_together(repo: JobRepository, drive: Driver) -> None:
    added = repo.add(
        [new(labels=["build"]), new(labels=["build"]), new(after_any=["label:build"])],
        now=drive.now,
    )

    assert [need.job for need in repo.needs(added[2].id)] == [added[0].id, added[1].id]
    with pytest.raises(NoSuchJob, match="no job has the label none"):
        drive.add(after_ok=["label:none"])
