"""Jobs that a worker claims before it has room for them: which, how many, and what is known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queuectl_engine.job import Job, State
from queuectl_engine.lifecycle import Exited, GivenBack, NotStarted, WorkerDied, words
from queuectl_engine.repository.protocol import (
    Claim,
    Ended,
    JobRepository,
    Leader,
    Progress,
    Turn,
    Verdict,
)
from tests.repository.driver import Driver
from tests.samples import NOON, SECOND, new

on_sqlite = pytest.mark.parametrize("open_repo", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("open_repo", ["postgres"], indirect=True)

LITTLE = timedelta(milliseconds=7)


def add(drive: Driver, count: int) -> list[int]:
    """So many ready jobs."""
    return [added.id for added in drive.repo.add([new()] * count, now=drive.now)]


def take(drive: Driver, room: int = 1, ahead: int = 15) -> Turn:
    """A turn of a worker whose jobs are short."""
    return drive.turn(room=room, ahead=ahead)


def claimed(turn: Turn) -> list[tuple[int, bool]]:
    """The id of each job that was claimed, and whether that was ahead."""
    return [(claim.job.id, claim.ahead) for claim in turn.claims]


def marked(drive: Driver, worker: int | None = None) -> dict[int, bool]:
    """What the store knows of each job that a worker holds: whether it may not have begun."""
    return {one.job.id: one.ahead for one in drive.repo.held_by(worker or drive.worker)}


def not_begun(drive: Driver, claim: Claim) -> Ended:
    """What a worker tells of a job that it gives back."""
    ending = NotStarted("the job before it takes longer")
    return Ended(claim.attempt, ending, GivenBack(words(ending)), drive.now)


@on_sqlite
def test_those_beyond_the_room_are_claimed_ahead_and_the_store_knows_which(drive: Driver) -> None:
    jobs = add(drive, 40)

    turn = take(drive, room=2, ahead=3)

    expected = [(job, n >= 2) for n, job in enumerate(jobs[:5])]
    assert claimed(turn) == expected
    assert marked(drive) == dict(expected)
    assert [claim.job for claim in turn.claims] == [drive.get(job) for job in jobs[:5]]
    assert {claim.job.stored for claim in turn.claims} == {State.PROCESSING}
    assert {claim.job.attempts for claim in turn.claims} == {1}
    assert len({claim.attempt.token for claim in turn.claims}) == 5
    assert turn.more


@on_postgres
def test_a_store_of_several_hosts_gives_none_ahead(drive: Driver) -> None:
    jobs = add(drive, 40)

    turn = take(drive, ahead=3)

    assert claimed(turn) == [(jobs[0], False)]
    assert marked(drive) == {jobs[0]: False}


def test_without_room_none_is_claimed_ahead(drive: Driver) -> None:
    add(drive, 40)

    assert claimed(take(drive, room=0)) == []


@on_sqlite
def test_higher_priority_first_then_lower_id_also_ahead(drive: Driver) -> None:
    jobs = [drive.add(priority=priority).id for priority in (0, 5, -5, 5, 0)]
    add(drive, 30)

    turn = take(drive, ahead=3)

    assert claimed(turn)[:3] == [(jobs[1], False), (jobs[3], True), (jobs[0], True)]
    assert claimed(turn)[3] == (jobs[4], True)


@on_sqlite
def test_the_order_holds_over_queues_also_ahead(drive: Driver) -> None:
    places = (("a", 5), ("b", 4), ("a", 3), ("b", 2), ("b", 1))
    jobs = [drive.add(queue=queue, priority=priority).id for queue, priority in places]
    add(drive, 30)

    turn = take(drive, ahead=5)

    assert [claim.job.id for claim in turn.claims][:5] == jobs
    assert [claim.ahead for claim in turn.claims] == [False] + [True] * 5


@on_sqlite
@pytest.mark.parametrize(
    ("ready", "workers", "ahead"), [(3, 1, 0), (4, 1, 1), (40, 1, 10), (40, 2, 5), (400, 2, 15)]
)
def test_no_more_than_a_fair_share_is_claimed_ahead(
    drive: Driver, ready: int, workers: int, ahead: int
) -> None:
    """A quarter of what is ready, by the workers that there are."""
    for number in range(2, workers + 1):
        drive.start_worker(number=number)
    add(drive, ready)

    assert [claim.ahead for claim in take(drive).claims] == [False] + [True] * ahead


@on_sqlite
def test_what_no_worker_may_take_is_in_nobodys_share(repo: JobRepository, drive: Driver) -> None:
    """Of a paused queue, or of one that this worker does not serve."""
    for queue in ("paused", "other"):
        repo.add([new(queue=queue)] * 100, now=drive.now)
    add(drive, 12)
    repo.pause(["paused"], paused=True)

    turn = drive.turn(room=1, ahead=15, queues=["default", "paused"])

    assert len(turn.claims) == 1 + 3


@on_sqlite
@pytest.mark.parametrize("queue", [["default"], ["elsewhere"], None], ids=str)
def test_none_is_claimed_ahead_while_there_is_any_limit(
    repo: JobRepository, drive: Driver, queue: list[str] | None
) -> None:
    jobs = add(drive, 40)

    repo.limit(queue, 30)
    assert claimed(take(drive)) == [(jobs[0], False)]
    repo.limit(queue, None)
    assert len(take(drive).claims) == 1 + 9


@on_sqlite
def test_a_job_with_a_mutex_is_not_claimed_ahead_and_none_behind_it(drive: Driver) -> None:
    first, second = (drive.add(mutex=name).id for name in "ab")
    jobs = add(drive, 40)

    assert claimed(take(drive)) == [(first, False)]
    assert claimed(take(drive, ahead=2)) == [
        (second, False),
        (jobs[0], True),
        (jobs[1], True),
    ]


@on_sqlite
def test_a_job_with_a_mutex_is_claimed_ahead_nowhere_in_the_line(drive: Driver) -> None:
    before = add(drive, 2)
    held = drive.add(mutex="a").id
    behind = add(drive, 40)

    assert claimed(take(drive)) == [(before[0], False), (before[1], True)]
    assert claimed(take(drive, room=2, ahead=1)) == [
        (held, False),
        (behind[0], False),
        (behind[1], True),
    ]


@on_sqlite
def test_a_suspect_ends_the_line_of_a_worker_that_makes_room_for_it(drive: Driver) -> None:
    suspects = add(drive, 2)
    together = WorkerDied(supervised=True, alone=False)
    claims = drive.turn(room=2).claims
    drive.repo.lose([drive.ended(claim, together) for claim in claims], now=drive.now)
    urgent = [drive.add(priority=1).id for _ in range(2)]
    add(drive, 40)

    turn = take(drive, room=2)

    assert (claimed(turn), turn.hold) == ([(job, False) for job in urgent], True)
    assert claimed(take(drive)) == [(suspects[0], False)]


@on_sqlite
def test_a_suspect_is_claimed_without_any_ahead_and_never_ahead(drive: Driver) -> None:
    suspects = add(drive, 2)
    together = WorkerDied(supervised=True, alone=False)
    claims = drive.turn(room=2).claims
    drive.repo.lose([drive.ended(claim, together) for claim in claims], now=drive.now)
    others = add(drive, 40)
    second = drive.start_worker(number=2).id

    first = take(drive)
    assert (claimed(first), first.hold) == ([(suspects[0], False)], True)
    assert claimed(drive.turn(room=1, running=1, ahead=2, worker=second)) == [
        (others[0], False),
        (others[1], True),
        (others[2], True),
    ]


@on_sqlite
def test_what_has_told_of_its_process_has_begun(drive: Driver) -> None:
    jobs = add(drive, 40)
    claims = take(drive, ahead=2).claims
    leader = Leader(4242, 7)

    drive.repo.progress(drive.worker, [Progress(claims[1].attempt, leader)], now=drive.now)

    assert marked(drive) == {jobs[0]: False, jobs[1]: False, jobs[2]: True}
    leaders = {one.job.id: one.leader for one in drive.repo.held_by(drive.worker)}
    assert leaders == {jobs[0]: None, jobs[1]: leader, jobs[2]: None}


def test_a_job_that_began_later_than_it_was_claimed_started_then(drive: Driver) -> None:
    job = drive.add()
    claim = drive.claim()
    drive.later(LITTLE)
    began = drive.now
    drive.later(LITTLE)

    drive.turn(drive.ended(claim, Exited(0))._replace(began_at=began))

    (attempt,) = drive.attempts(job)
    assert (attempt.started_at, attempt.ended_at) == (began, drive.now)
    assert (drive.get(job).started_at, drive.get(job).finished_at) == (began, drive.now)


def test_others_started_when_they_were_claimed(drive: Driver) -> None:
    job = drive.add()
    claim = drive.claim()
    drive.later(LITTLE)

    drive.turn(drive.ended(claim, Exited(0)))

    assert drive.get(job).started_at == drive.attempts(job)[0].started_at == NOON


@on_sqlite
@pytest.mark.parametrize("rescued", [False, True], ids=["by its worker", "by a rescuer"])
def test_what_is_given_back_is_ready_again_uncharged_and_in_its_place(
    drive: Driver, rescued: bool
) -> None:
    jobs = add(drive, 40)
    first, second, third = take(drive, ahead=2).claims
    drive.later()
    back = [not_begun(drive, claim) for claim in (third, second)]

    verdicts = drive.repo.lose(back, now=drive.now) if rescued else drive.turn(*back).verdicts

    assert list(verdicts) == [Verdict.SETTLED] * 2
    assert [state_of(drive, job) for job in jobs[:4]] == [
        (State.PROCESSING, 1),
        (State.READY, 0),
        (State.READY, 0),
        (State.READY, 0),
    ]
    assert drive.results(drive.get(jobs[1])) == ["not started"]
    assert marked(drive) == {first.job.id: False}
    other = drive.start_worker(number=2).id
    assert claimed(drive.turn(room=3, worker=other)) == [(j, False) for j in jobs[1:4]]


def state_of(drive: Driver, job: int) -> tuple[State, int]:
    """How a job is, and how many attempts are charged."""
    found: Job = drive.get(job)
    return found.stored, found.attempts


@on_sqlite
def test_a_job_of_one_try_that_was_given_back_has_it_still(drive: Driver) -> None:
    drive.repo.add([new(max_retries=0)] * 40, now=drive.now)
    _, waits = take(drive, ahead=1).claims
    drive.turn(not_begun(drive, waits))
    drive.later(SECOND)

    again = drive.claim()

    assert (again.job.id, again.job.attempts, again.job.runs) == (waits.job.id, 1, 2)
    assert drive.end(again, Exited(0)) is Verdict.SETTLED
    assert drive.get(waits.job).stored is State.COMPLETED
