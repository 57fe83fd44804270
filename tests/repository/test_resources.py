"""What an attempt used is kept in its history; the last runs are found by when they ended."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queuectl_engine.job import Ran, State
from queuectl_engine.lifecycle import Ending, Exited, Signalled, WorkerDied
from queuectl_engine.repository.protocol import JobRepository, Usage, Verdict
from tests.repository.driver import Driver
from tests.samples import SECOND

USED = Usage(timedelta(milliseconds=1234), 210 * 1024 * 1024)


@pytest.mark.parametrize("ending", [Exited(0), Exited(1), Signalled(9)])
def test_an_attempt_keeps_what_it_used(drive: Driver, ending: Ending) -> None:
    job = drive.add()
    drive.turn(drive.ended(drive.claim(), ending)._replace(usage=USED))
    (attempt,) = drive.attempts(job)
    assert (attempt.cpu, attempt.peak_memory) == (USED.cpu, USED.peak_memory)


def test_what_is_not_known_stays_unknown(drive: Driver) -> None:
    job = drive.add()
    claim = drive.claim()
    assert (drive.attempts(job)[0].cpu, drive.attempts(job)[0].peak_memory) == (None, None)
    drive.lose(claim, WorkerDied(supervised=True))
    drive.turn(drive.ended(drive.claim(), Exited(0))._replace(usage=Usage(SECOND, None)))
    lost, small = drive.attempts(job)
    assert (lost.cpu, lost.peak_memory) == (None, None)
    assert (small.cpu, small.peak_memory) == (SECOND, None)


def test_a_late_result_says_nothing_about_what_was_used(drive: Driver) -> None:
    job = drive.add()
    claim = drive.claim()
    drive.lose(claim, WorkerDied(supervised=True))
    turn = drive.turn(drive.ended(claim, Exited(0))._replace(usage=USED))
    assert turn.verdicts == (Verdict.LOST,)
    assert drive.attempts(job)[0].cpu is None


def test_the_last_runs_come_newest_first_and_only_of_jobs_that_ran_to_an_end(
    repo: JobRepository, drive: Driver
) -> None:
    assert repo.last_ran(limit=9) == []
    expected = []
    for number in range(6):
        drive.add(queue=f"q{number % 2}", max_retries=0)
        claim, began = drive.claim(), drive.now
        drive.later()
        drive.end(claim, Exited(number % 3))  # completed and dead
        expected.append(Ran(f"q{number % 2}", began, drive.now))
    for state in (State.FAILED, State.CANCELLED, State.PROCESSING, State.READY):
        drive.job_in(state)
    assert repo.last_ran(limit=9) == expected[::-1]
    assert repo.last_ran(limit=2) == expected[:-3:-1]


def test_a_crowd_of_cancelled_jobs_hides_runs_and_costs_no_more(
    repo: JobRepository, drive: Driver
) -> None:
    drive.add()
    drive.run(Exited(0))
    drive.later()
    for _ in range(5):
        drive.job_in(State.CANCELLED)
    assert repo.last_ran(limit=5) == []
    assert len(repo.last_ran(limit=6)) == 1
