"""Removing old jobs for good: which go, what goes with them, and what must not change by it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from queuectl_engine.cause import Signature
from queuectl_engine.errors import BadInput, NoSuchJob
from queuectl_engine.filter import Filter, parse_filter
from queuectl_engine.job import JobState, State
from queuectl_engine.keeping import Pruned
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pruning import prune
from queuectl_engine.repository.protocol import JobRepository
from tests.repository.driver import Driver
from tests.samples import HOUR, SECOND, new

DAY = timedelta(days=1)
ENDS = (JobState.COMPLETED, JobState.CANCELLED, JobState.DEAD)


def pruned(
    drive: Driver,
    age: timedelta = timedelta(0),
    states: tuple[JobState, ...] = (JobState.COMPLETED,),
    text: str = "",
    *,
    count_only: bool = False,
) -> Pruned:
    wanted = parse_filter(text, now=drive.now) if text else Filter()
    return prune(drive.repo, drive.now - age, states, wanted, count_only=count_only)


def count(repo: JobRepository, state: State) -> int:
    return repo.counts().of(state)


def test_only_those_go_that_ended_so_long_ago(drive: Driver) -> None:
    old = drive.job_in(State.COMPLETED)
    drive.later(DAY)
    at_the_bound = drive.job_in(State.COMPLETED)
    drive.later(DAY)
    young = drive.job_in(State.COMPLETED)

    assert pruned(drive, DAY).jobs == {JobState.COMPLETED: 2}

    assert [drive.exists(job) for job in (old, at_the_bound, young)] == [False, False, True]
    assert count(drive.repo, State.COMPLETED) == 1


@pytest.mark.parametrize("state", ENDS)
def test_only_those_go_that_are_in_the_state(drive: Driver, state: JobState) -> None:
    jobs = {stored: drive.job_in(stored) for stored in State if stored is not State.READY}
    drive.later(DAY)

    assert pruned(drive, HOUR, (state,)).jobs == {state: 1}

    gone = {stored for stored, job in jobs.items() if not drive.exists(job)}
    assert gone == {State(state.value), State.DELETED}


@pytest.mark.parametrize("state", [JobState.PENDING, JobState.PROCESSING, JobState.FAILED])
def test_what_has_not_ended_cannot_be_pruned(drive: Driver, state: JobState) -> None:
    with pytest.raises(BadInput, match="completed"):
        pruned(drive, states=(state,))


def test_a_filter_narrows_it(drive: Driver) -> None:
    mail, ci, plain = (
        drive.job_in(State.COMPLETED, **policy)
        for policy in ({"queue": "mail"}, {"labels": ["ci"]}, {})
    )

    assert pruned(drive, text="label:ci").count == 1
    assert pruned(drive, text="queue:mail !word").count == 1

    assert [drive.exists(job) for job in (mail, ci, plain)] == [False, False, True]


def test_all_that_hangs_on_them_goes_and_is_counted(drive: Driver, repo: JobRepository) -> None:
    drive.add("make", key="make", labels=["ci"])
    claim = drive.claim()
    drive.say(claim, "four", "five!")
    drive.end(claim, Exited(0))
    repo.requeue([claim.job.id], user="ada", now=drive.now)
    drive.run(Exited(0))

    done = pruned(drive)

    assert (done.count, done.output, done.waited_for) == (1, 9, 0)
    assert repo.attempts(claim.job.id) == []
    assert repo.events(claim.job.id) == []
    assert repo.output(claim.job.id, 1) == []
    assert repo.labels(limit=9) == []
    assert repo.find_keys(["make"]) == {}
    assert drive.add("other", key="make").id != claim.job.id


def test_a_dry_run_says_the_same_and_removes_nothing(drive: Driver) -> None:
    for state in (State.COMPLETED, State.DEAD, State.DEAD, State.CANCELLED):
        drive.job_in(state)
    before = drive.repo.counts()

    said = pruned(drive, states=ENDS, count_only=True)

    assert drive.repo.counts() == before
    assert said.jobs == {JobState.COMPLETED: 1, JobState.CANCELLED: 1, JobState.DEAD: 2}
    assert replace(pruned(drive, states=ENDS), returned=0) == said


def test_dead_jobs_that_go_are_no_more_counted_for_their_cause(drive: Driver) -> None:
    signature = Signature("curl", "exit 7", "no route")
    for _ in range(3):
        drive.add(max_retries=0)
        claim = drive.claim()
        drive.turn(drive.ended(claim, Exited(7))._replace(signature=signature))
        drive.later(HOUR)

    assert pruned(drive, 2 * HOUR, (JobState.DEAD,)).count == 2

    (cause,) = drive.repo.causes(limit=9, wanted=Filter())
    assert cause.dead == 1
    assert pruned(drive, states=(JobState.DEAD,)).count == 1
    assert drive.repo.causes(limit=9, wanted=Filter()) == []


# -- what waits for a job that could go


@pytest.mark.parametrize("state", [State.COMPLETED, State.DEAD, State.CANCELLED])
@pytest.mark.parametrize("after", ["ok", "any", "fail"])
def test_no_waiting_job_learns_anything_by_it(drive: Driver, state: State, after: str) -> None:
    """It is as if nothing had been pruned: who waits goes on waiting, and can still be freed."""
    parent = drive.job_in(state)
    child = drive.add(priority=-1, **{f"after_{after}": [parent.id]})  # type: ignore[arg-type]
    waits = child.stored is State.BLOCKED

    done = pruned(drive, states=ENDS)
    drive.repo.promote(now=drive.now)

    assert drive.get(child).stored is child.stored
    assert (done.count, done.waited_for) == ((0, 1) if waits else (1, 0))
    assert drive.exists(parent) is waits
    if waits and after == "ok":
        drive.requeue(parent)
        drive.run(Exited(0))
        assert drive.get(child).stored is State.READY


def test_a_parent_whose_end_is_still_to_be_told_stays_until_it_was(drive: Driver) -> None:
    parent = drive.add()
    claim = drive.claim()
    child = drive.add(after_ok=[parent.id])
    drive.lose(claim, Exited(0))  # which leaves it to the next turn to tell

    assert pruned(drive).waited_for == 1
    drive.repo.promote(now=drive.now)

    assert drive.get(child).stored is State.READY
    assert pruned(drive).count == 1
    assert drive.claimed() == [child.id]


def test_a_job_that_was_freed_runs_whatever_became_of_its_parent(drive: Driver) -> None:
    parent = drive.job_in(State.COMPLETED)
    child = drive.add(after_ok=[parent.id])
    pruned(drive)

    assert [need.met for need in drive.repo.needs(child.id)] == [True]
    assert drive.run(Exited(0)).id == child.id


def test_a_pruned_job_cannot_be_brought_back(drive: Driver) -> None:
    job = drive.job_in(State.COMPLETED)
    pruned(drive)

    with pytest.raises(NoSuchJob):
        drive.requeue(job)


# -- many


def test_many_go_in_portions_and_none_is_left_out(drive: Driver, repo: JobRepository) -> None:
    repo.add([new(queue=f"q{n % 3}") for n in range(1_300)], now=drive.now)
    while claims := drive.turn(room=400).claims:
        drive.turn(*(drive.ended(claim, Exited(claim.job.id % 5 == 0)) for claim in claims))
        drive.later(SECOND / 10)
    completed = count(repo, State.COMPLETED)
    assert completed > 1_000
    drive.later(DAY)

    assert pruned(drive, HOUR, text="queue:q1").count > 300
    assert pruned(drive, HOUR).count < completed

    assert count(repo, State.COMPLETED) == 0
    assert count(repo, State.READY) == 0


def test_one_transaction_takes_no_more_than_it_should(drive: Driver, repo: JobRepository) -> None:
    repo.add([new() for _ in range(1_200)], now=drive.now)
    claims = drive.turn(room=1_200).claims
    drive.turn(*(drive.ended(claim, Exited(0)) for claim in claims))
    ids = [claim.job.id for claim in claims]

    done = repo.remove(ids, before=drive.now, states=(State.COMPLETED,))

    assert 0 < done.jobs[State.COMPLETED] <= 500
    assert count(repo, State.COMPLETED) + done.jobs[State.COMPLETED] == 1_200
    assert len(done.left) == count(repo, State.COMPLETED)


def test_sums_for_monitoring_stay(drive: Driver) -> None:
    drive.job_in(State.COMPLETED)

    pruned(drive)

    assert drive.repo.metrics()[0].results == {"completed": 1}


# -- by itself


def test_nothing_goes_by_itself_at_first(drive: Driver, repo: JobRepository) -> None:
    job = drive.job_in(State.COMPLETED)
    drive.later(365 * DAY)

    repo.maintain(now=drive.now)

    assert repo.retention() is None
    assert drive.exists(job)


def test_a_retention_removes_completed_jobs_and_no_others(
    drive: Driver, repo: JobRepository
) -> None:
    jobs = {state: drive.job_in(state) for state in State if state is not State.READY}
    waited_for = drive.job_in(State.COMPLETED)
    drive.add(after_fail=[waited_for.id])
    repo.set_retention(30 * DAY)
    drive.later(29 * DAY)
    young = drive.job_in(State.COMPLETED)
    repo.maintain(now=drive.now)
    assert drive.exists(jobs[State.COMPLETED])

    drive.later(DAY)
    repo.maintain(now=drive.now)

    gone = {state for state, job in jobs.items() if not drive.exists(job)}
    assert gone == {State.COMPLETED, State.DELETED}
    assert drive.exists(waited_for)
    assert drive.exists(young)
    repo.set_retention(None)
    drive.later(365 * DAY)
    repo.maintain(now=drive.now)
    assert drive.exists(young)


def test_a_retention_passes_by_old_cancelled_jobs(drive: Driver, repo: JobRepository) -> None:
    repo.add([new() for _ in range(6_000)], now=drive.now)
    old = drive.run(Exited(0))
    drive.later()
    for start in range(2, 6_001, 1_000):
        repo.cancel(range(start, min(start + 1_000, 6_001)), user="ada", now=drive.now)
    repo.set_retention(DAY)
    drive.later(2 * DAY)

    repo.maintain(now=drive.now)  # looks at as many as it may
    assert drive.exists(old)
    repo.maintain(now=drive.now)

    assert not drive.exists(old)
    assert count(repo, State.CANCELLED) == 5_999
