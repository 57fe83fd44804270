"""What the end of an attempt does to its job, and that only its holder can do it."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queuectl_engine.job import JobState, State
from queuectl_engine.lifecycle import (
    CancelObeyed,
    Ending,
    Exited,
    ForcedStop,
    NotStarted,
    Signalled,
    TimedOut,
    WorkerDied,
    result_of,
    words,
)
from queuectl_engine.repository.protocol import JobRepository, Verdict
from tests.repository.driver import Driver, output_of
from tests.samples import HOUR, NOON, SECOND

LOST = WorkerDied(supervised=True)
ENDINGS: dict[Ending, State] = {
    Exited(0): State.COMPLETED,
    Exited(7): State.FAILED,
    Signalled(11): State.FAILED,
    TimedOut(timedelta(seconds=5)): State.FAILED,
    CancelObeyed(): State.CANCELLED,
    ForcedStop(): State.READY,
    NotStarted("EAGAIN"): State.READY,
    LOST: State.READY,
    WorkerDied(supervised=False): State.READY,
}


@pytest.mark.parametrize(("ending", "state"), ENDINGS.items(), ids=str)
def test_an_attempt_that_holds_its_job_settles_it(
    drive: Driver, ending: Ending, state: State
) -> None:
    drive.add()
    claim = drive.claim()
    drive.later()

    assert drive.end(claim, ending) is Verdict.SETTLED

    job = drive.get(claim.job)
    assert job.stored is state
    assert (job.worker, job.cancel_asked, job.updated_at) == (None, False, drive.now)
    assert job.reason == (None if state is State.COMPLETED else words(ending))
    (attempt,) = drive.attempts(job)
    assert (attempt.result, attempt.reason) == (result_of(ending), words(ending))
    assert (attempt.started_at, attempt.ended_at) == (NOON, drive.now)
    assert attempt.ran == SECOND
    assert attempt.late is None


def test_exit_code_and_signal_are_kept_apart(drive: Driver) -> None:
    drive.add()
    first = drive.run(Exited(7))
    drive.later(HOUR)
    drive.run(Signalled(9))

    assert [(a.exit_code, a.signal) for a in drive.attempts(first)] == [(7, None), (None, 9)]


def test_an_ended_job_knows_when_and_a_waiting_one_does_not(drive: Driver) -> None:
    drive.add(max_retries=1)
    failed = drive.run(Exited(1))
    assert (failed.stored, failed.finished_at) == (State.FAILED, None)
    drive.later(HOUR)

    dead = drive.run(Exited(1))

    assert (dead.stored, dead.finished_at, dead.state) == (State.DEAD, drive.now, JobState.DEAD)


def test_a_job_runs_at_0_2_and_6_seconds_and_is_dead_after_max_retries_plus_one(
    drive: Driver,
) -> None:
    job = drive.add("exit 7", max_retries=2)
    starts = []
    while (claims := drive.turn(room=1).claims) or drive.get(job).state is JobState.FAILED:
        if not claims:
            drive.now = drive.get(job).run_at
            continue
        starts.append(drive.now - NOON)
        drive.end(claims[0], Exited(7))

    assert starts == [0 * SECOND, 2 * SECOND, 6 * SECOND]
    dead = drive.get(job)
    assert (dead.state, dead.attempts, dead.runs) == (JobState.DEAD, 3, 3)
    assert drive.results(job) == ["failed"] * 3
    assert [attempt.number for attempt in drive.attempts(job)] == [1, 2, 3]


@pytest.mark.parametrize("ending", [ForcedStop(), NotStarted("EMFILE")], ids=words)
def test_what_is_given_back_is_not_charged_but_stays_in_the_history(
    drive: Driver, ending: Ending
) -> None:
    job = drive.add(max_retries=0)

    for runs in (1, 2, 3):
        back = drive.run(ending)
        assert (back.stored, back.attempts, back.runs) == (State.READY, 0, runs)

    drive.run(Exited(0))
    assert drive.results(job) == [result_of(ending)] * 3 + ["completed"]
    assert [attempt.number for attempt in drive.attempts(job)] == [1, 2, 3, 4]


def test_what_is_given_back_is_first_in_line_again(drive: Driver) -> None:
    first = drive.add()
    drive.add()

    drive.run(ForcedStop())

    assert drive.claimed() == [first.id]


def test_a_lost_attempt_is_charged_and_ready_at_once(drive: Driver) -> None:
    drive.add(max_retries=1)
    claim = drive.claim()

    assert drive.lose(claim, LOST) is Verdict.SETTLED
    job = drive.get(claim.job)
    assert (job.stored, job.attempts, job.deaths) == (State.READY, 1, 1)
    drive.lose(drive.claim(), LOST)

    assert drive.get(job).state is JobState.DEAD
    assert drive.results(job) == ["lost", "lost"]


def test_three_deaths_under_a_living_supervisor_are_poison(drive: Driver) -> None:
    job = drive.add(max_retries=50)
    for _ in range(2):
        drive.lose(drive.claim(), LOST)
        drive.lose(drive.claim(), WorkerDied(supervised=False))

    assert drive.get(job).stored is State.READY
    drive.lose(drive.claim(), LOST)

    dead = drive.get(job)
    assert (dead.state, dead.deaths) == (JobState.DEAD, 3)
    assert "poison" in (dead.reason or "")


def test_a_requeue_forgets_deaths(drive: Driver) -> None:
    job = drive.add(max_retries=50)
    for _ in range(3):
        drive.lose(drive.claim(), LOST)

    drive.requeue(job)
    drive.lose(drive.claim(), LOST)

    assert (drive.get(job).stored, drive.get(job).deaths) == (State.READY, 1)


# -- the fence


def test_a_result_after_the_job_was_given_to_another_is_kept_and_changes_nothing(
    repo: JobRepository, drive: Driver
) -> None:
    drive.add()
    late = drive.claim()
    drive.lose(late, LOST)
    current = drive.claim()
    before = drive.get(current.job), repo.counts(), drive.attempts(current.job)[1]

    assert drive.end(late, Exited(0), output_of("done\n")) is Verdict.LOST

    assert (drive.get(current.job), repo.counts(), drive.attempts(current.job)[1]) == before
    evidence = drive.attempts(current.job)[0]
    assert evidence.result == "lost"
    assert evidence.late is not None
    assert "exit 0" in evidence.late
    assert drive.end(current, Exited(0)) is Verdict.SETTLED


@pytest.mark.parametrize("ending", [Exited(0), Exited(1), LOST, ForcedStop()], ids=words)
def test_a_second_settlement_of_one_attempt_changes_nothing(
    repo: JobRepository, drive: Driver, ending: Ending
) -> None:
    drive.add()
    claim = drive.claim()
    drive.end(claim, Exited(1))
    before = drive.get(claim.job), repo.counts(), drive.results(claim.job)

    # The very same one is a repeat, of a worker whose commit seemed to fail.
    verdict = Verdict.SETTLED if ending == Exited(1) else Verdict.LOST
    assert drive.end(claim, ending) is verdict
    assert drive.lose(claim, ending) is verdict
    assert (drive.get(claim.job), repo.counts(), drive.results(claim.job)) == before


def test_a_wrong_token_settles_nothing(drive: Driver) -> None:
    drive.add()
    drive.add()
    mine, other = drive.turn(room=2).claims
    stolen = mine.attempt._replace(token=other.attempt.token)
    forged = drive.ended(mine, Exited(0))._replace(attempt=stolen)

    assert drive.turn(forged).verdicts == (Verdict.LOST,)
    assert drive.get(mine.job).stored is State.PROCESSING
    assert drive.get(other.job).stored is State.PROCESSING


def test_a_lost_attempt_does_not_roll_its_neighbours_back(drive: Driver) -> None:
    for _ in range(3):
        drive.add()
    a, b, c = drive.turn(room=3).claims
    drive.lose(b, LOST)

    turn = drive.turn(*(drive.ended(claim, Exited(0)) for claim in (a, b, c)), room=1)

    assert turn.verdicts == (Verdict.SETTLED, Verdict.LOST, Verdict.SETTLED)
    assert drive.get(a.job).state is drive.get(c.job).state is JobState.COMPLETED
    assert [claim.job.id for claim in turn.claims] == [b.job.id]


def test_a_result_for_a_job_that_was_purged_is_lost(repo: JobRepository, drive: Driver) -> None:
    drive.add(max_retries=0)
    claim = drive.claim()
    drive.lose(claim, LOST)
    drive.delete(claim.job)
    drive.later(HOUR)
    repo.maintain(now=drive.now)

    assert drive.end(claim, Exited(0)) is Verdict.LOST


# -- a cancel that was asked while it ran


@pytest.mark.parametrize(("ending", "state"), ENDINGS.items(), ids=str)
def test_only_success_beats_a_cancel(drive: Driver, ending: Ending, state: State) -> None:
    drive.add(max_retries=5)
    claim = drive.claim()

    assert drive.cancel(claim.job) == [claim.job.id]
    assert drive.get(claim.job).cancel_asked
    assert drive.end(claim, ending) is Verdict.SETTLED

    job = drive.get(claim.job)
    expected = State.COMPLETED if state is State.COMPLETED else State.CANCELLED
    assert (job.stored, job.cancel_asked, job.finished_at) == (expected, False, drive.now)
    assert drive.results(job) == [result_of(ending)]


def test_a_cancel_that_came_too_late_does_not_haunt_the_next_run(drive: Driver) -> None:
    drive.add()
    claim = drive.claim()
    drive.cancel(claim.job)
    drive.end(claim, Exited(1))

    drive.requeue(claim.job)

    assert not drive.claim().job.cancel_asked
