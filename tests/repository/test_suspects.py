"""Jobs that were beside others in a worker that died: alone they show which of them was why."""

from __future__ import annotations

import pytest

from queuectl_engine.job import Job, State
from queuectl_engine.lifecycle import (
    CancelObeyed,
    Ending,
    Exited,
    ForcedStop,
    NotStarted,
    Signalled,
    WorkerDied,
)
from queuectl_engine.repository.protocol import Claim, Turn
from tests.repository.driver import Driver
from tests.samples import MINUTE

TOGETHER = WorkerDied(supervised=True, alone=False)
ALONE = WorkerDied(supervised=True)


def claimed(turn: Turn) -> list[int]:
    return [claim.job.id for claim in turn.claims]


def take(drive: Driver, room: int = 1, running: int = 0, worker: int | None = None) -> Turn:
    return drive.repo.settle_and_claim(
        worker or drive.worker, [], room=room, queues=(), now=drive.now, running=running
    )


def lose(drive: Driver, *claims: Claim, ending: WorkerDied = TOGETHER) -> None:
    drive.repo.lose([drive.ended(claim, ending) for claim in claims], now=drive.now)


@pytest.fixture
def suspects(drive: Driver) -> list[Job]:
    """Three jobs whose worker died of one of them."""
    jobs = [drive.add(max_retries=50) for _ in range(3)]
    lose(drive, *take(drive, room=3).claims)
    return jobs


def test_a_death_beside_others_does_not_count(drive: Driver, suspects: list[Job]) -> None:
    seen = [drive.get(job) for job in suspects]

    assert [(job.stored, job.deaths, job.attempts) for job in seen] == [(State.READY, 0, 1)] * 3


def test_each_is_then_run_alone(drive: Driver, suspects: list[Job]) -> None:
    other = drive.add()

    for job in suspects:
        turn = take(drive, room=8)
        assert (claimed(turn), turn.hold, turn.more) == ([job.id], True, True)
        drive.turn(drive.ended(turn.claims[0], Exited(0)))
    turn = take(drive, room=8)
    assert (claimed(turn), turn.hold) == ([other.id], False)


def test_only_the_third_death_alone_is_poison(drive: Driver, suspects: list[Job]) -> None:
    for count in (1, 2, 3):
        (claim,) = take(drive, room=8).claims
        assert claim.job.id == suspects[0].id
        lose(drive, claim, ending=ALONE)
        assert drive.get(suspects[0]).deaths == count

    poisoned = drive.get(suspects[0])
    assert (poisoned.stored, poisoned.reason) == (State.DEAD, "poison: its worker died 3 times")
    assert claimed(take(drive, room=8)) == [suspects[1].id]


def test_a_busy_worker_passes_them_over(drive: Driver, suspects: list[Job]) -> None:
    others = [drive.add(), drive.add()]
    second = drive.start_worker(number=2).id
    assert second != drive.worker

    turn = take(drive, room=7, running=1, worker=second)

    assert (claimed(turn), turn.hold) == ([job.id for job in others], False)


def test_the_first_worker_takes_nothing_more_until_it_is_free(
    drive: Driver, suspects: list[Job]
) -> None:
    """Else workers that are never empty would never run them."""
    before = drive.add(priority=1)
    drive.add()

    turn = take(drive, room=7, running=1)

    assert (claimed(turn), turn.hold) == ([before.id], True)
    assert claimed(take(drive, room=8)) == [suspects[0].id]


def test_their_place_in_line_is_kept(drive: Driver, suspects: list[Job]) -> None:
    urgent = drive.add(priority=1)

    turn = take(drive, room=8)

    assert (claimed(turn), turn.hold) == ([urgent.id], True), "and then it makes room"


@pytest.mark.parametrize("ending", [Exited(1), Signalled(9)])
def test_an_end_of_its_own_clears_a_job(drive: Driver, suspects: list[Job], ending: Ending) -> None:
    (claim,) = take(drive).claims
    drive.turn(drive.ended(claim, ending))
    drive.later(60 * MINUTE)
    drive.repo.promote(now=drive.now)
    for job in suspects[1:]:
        drive.cancel(job)
    other = drive.add()

    turn = take(drive, room=8)

    assert claimed(turn) == [suspects[0].id, other.id]


@pytest.mark.parametrize(
    "ending", [ForcedStop(), NotStarted("EAGAIN"), WorkerDied(supervised=False)]
)
def test_an_end_that_says_nothing_of_it_does_not(
    drive: Driver, suspects: list[Job], ending: Ending
) -> None:
    (claim,) = take(drive).claims
    drive.turn(drive.ended(claim, ending))

    turn = take(drive, room=8)

    assert (claimed(turn), turn.hold) == ([suspects[0].id], True)


def test_a_requeue_by_a_person_begins_anew(drive: Driver) -> None:
    job = drive.add(max_retries=0)
    lose(drive, *take(drive).claims)
    assert drive.get(job).stored is State.DEAD
    drive.requeue(job)
    other = drive.add()

    assert claimed(take(drive, room=8)) == [job.id, other.id]


def test_a_cancel_clears_it(drive: Driver, suspects: list[Job]) -> None:
    (claim,) = take(drive).claims
    drive.cancel(drive.get(claim.job.id))
    drive.turn(drive.ended(claim, CancelObeyed()))
    drive.requeue(drive.get(claim.job.id))
    for job in suspects[1:]:
        drive.cancel(job)
    other = drive.add()

    assert claimed(take(drive, room=8)) == [claim.job.id, other.id]


def test_a_rescuer_is_told_who_ran_alone(drive: Driver, suspects: list[Job]) -> None:
    take(drive)

    assert [orphan.suspect for orphan in drive.repo.held_by(drive.worker)] == [True]
    plain = suspects[0]._replace(id=drive.add(priority=9).id)
    second = drive.start_worker(number=2).id
    assert claimed(take(drive, worker=second)) == [plain.id]
    assert [orphan.suspect for orphan in drive.repo.held_by(second)] == [False]
