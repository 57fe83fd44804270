"""What people do to stored jobs: guarded by the state, all or nothing, kept as events."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from queuectl_engine.errors import BadInput, NoSuchJob, QueuectlError, WrongState
from queuectl_engine.job import Event, Job, JobState, State, View
from queuectl_engine.lifecycle import (
    CANCELLABLE,
    DELETABLE,
    MOVES,
    REQUEUEABLE,
    CancelObeyed,
    Exited,
    WorkerDied,
)
from queuectl_engine.repository.protocol import JobRepository
from tests.repository.driver import Driver, output_of
from tests.samples import HOUR, MINUTE, NOON, SECOND

Act = Callable[[Driver, Job], object]
ACTS: dict[str, Act] = {
    "requeue": lambda drive, job: drive.requeue(job),
    "requeue later": lambda drive, job: drive.requeue(job, run_at=drive.now + HOUR),
    "cancel": lambda drive, job: drive.cancel(job),
    "delete": lambda drive, job: drive.delete(job),
}
AIMS = {
    "requeue": State.READY,
    "requeue later": State.SCHEDULED,
    "cancel": State.CANCELLED,
    "delete": State.DELETED,
}
FROM = {
    "requeue": REQUEUEABLE,
    "requeue later": REQUEUEABLE,
    "cancel": CANCELLABLE,
    "delete": DELETABLE,
}


@pytest.mark.parametrize("state", State, ids=str)
@pytest.mark.parametrize("act", ACTS)
def test_every_act_on_every_state_is_a_move_of_the_table_or_refused(
    repo: JobRepository, drive: Driver, act: str, state: State
) -> None:
    job = drive.job_in(state)
    counts, events = repo.counts(), repo.events(job.id)
    drive.later()

    if state in FROM[act]:
        ACTS[act](drive, job)
        after = repo.get([job.id])
        if state is State.PROCESSING:  # asked for: its worker ends it
            assert after[job.id].stored is State.PROCESSING
            assert after[job.id].cancel_asked
        else:
            assert AIMS[act] in MOVES[state]
            assert [found.stored for found in after.values()] == (
                [] if act == "delete" else [AIMS[act]]
            )
    else:
        expected = NoSuchJob if state is State.DELETED else WrongState
        with pytest.raises(expected, match=f"job {job.id}") as refused:
            ACTS[act](drive, job)
        assert str(refused.value).isprintable()
        assert repo.get([job.id]) == ({} if state is State.DELETED else {job.id: job})
        assert (repo.counts(), repo.events(job.id)) == (counts, events)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("bad", ["unknown", "wrong state"])
def test_one_bad_id_among_many_changes_nothing(
    repo: JobRepository, drive: Driver, act: str, bad: str
) -> None:
    good = [drive.job_in(State.FAILED) for _ in range(2)]
    wrong = State.PROCESSING if act == "delete" else State.READY
    other = drive.job_in(State.COMPLETED if act == "cancel" else wrong)
    ids = [good[0].id, other.id if bad == "wrong state" else 999, good[1].id]
    counts = repo.counts()
    acts: dict[str, Callable[[], object]] = {
        "requeue": lambda: repo.requeue(ids, user="ada", now=NOON),
        "requeue later": lambda: repo.requeue(ids, user="ada", now=NOON, run_at=NOON + HOUR),
        "cancel": lambda: repo.cancel(ids, user="ada", now=NOON),
        "delete": lambda: repo.delete(ids, user="ada", now=NOON),
    }

    with pytest.raises(QueuectlError, match=f"job {ids[1]}"):
        acts[act]()

    assert repo.counts() == counts
    assert [drive.get(job) for job in good] == good
    assert [len(repo.events(job.id)) for job in good] == [1, 1]


@pytest.mark.parametrize(("act", "kind"), [("requeue", "requeued"), ("cancel", "cancelled")])
def test_an_act_leaves_an_event_with_time_and_user(
    repo: JobRepository, drive: Driver, act: str, kind: str
) -> None:
    job = drive.job_in(State.FAILED)
    drive.later()

    ACTS[act](drive, job)

    assert repo.events(job.id) == [
        Event(job.id, NOON, "added", "ada"),
        Event(job.id, NOON + SECOND, kind, "ada"),
    ]


# -- requeue


@pytest.mark.parametrize(
    "state", [State.DEAD, State.CANCELLED, State.COMPLETED, State.FAILED], ids=str
)
def test_a_requeued_job_has_a_fresh_budget_and_its_history(drive: Driver, state: State) -> None:
    job = drive.job_in(state, max_retries=1, priority=3)
    history = drive.attempts(job)
    drive.later()

    drive.requeue(job)

    again = drive.get(job)
    assert (again.stored, again.attempts, again.deaths) == (State.READY, 0, 0)
    assert (again.runs, again.priority, again.finished_at) == (job.runs, 3, None)
    assert (again.run_at, again.created_at) == (drive.now, NOON)
    assert drive.attempts(job) == history
    claim = drive.claim()
    assert (claim.attempt.number, claim.job.attempts) == (len(history) + 1, 1)


def test_a_requeued_job_may_fail_max_retries_plus_one_times_again(drive: Driver) -> None:
    job = drive.add(max_retries=1)
    for _ in range(2):
        for _ in range(2):
            drive.run(Exited(1))
            drive.later(HOUR)
        assert drive.get(job).state is JobState.DEAD
        drive.requeue(job)

    assert drive.results(job) == ["failed"] * 4
    assert [attempt.number for attempt in drive.attempts(job)] == [1, 2, 3, 4]


def test_a_requeue_for_later_waits_and_says_so(repo: JobRepository, drive: Driver) -> None:
    job = drive.job_in(State.DEAD)

    drive.requeue(job, run_at=NOON + HOUR)

    assert (drive.get(job).stored, drive.get(job).run_at) == (State.SCHEDULED, NOON + HOUR)
    assert drive.claimed() == []
    drive.now = NOON + HOUR
    assert drive.claimed() == [job.id]
    assert "2026-01-31T13:00" in (repo.events(job.id)[-1].detail or "")


def test_a_requeue_for_a_time_that_has_passed_is_ready(drive: Driver) -> None:
    job = drive.job_in(State.DEAD)

    drive.requeue(job, run_at=NOON - HOUR)

    assert drive.get(job).stored is State.READY


def test_requeued_jobs_keep_their_place_in_line(drive: Driver) -> None:
    old = drive.job_in(State.DEAD)
    young = drive.add()

    drive.requeue(old)

    assert drive.claimed(room=2) == [old.id, young.id]


def dead_jobs(drive: Driver, number: int, **policy: str) -> list[Job]:
    dead = []
    for _ in range(number):
        dead.append(drive.job_in(State.DEAD, queue=policy.get("queue", "default")))
        drive.later()
    return dead


# -- cancel


@pytest.mark.parametrize("state", [State.READY, State.SCHEDULED, State.FAILED], ids=str)
def test_a_waiting_job_is_cancelled_at_once(drive: Driver, state: State) -> None:
    job = drive.job_in(state)
    drive.later()

    assert drive.cancel(job) == []

    after = drive.get(job)
    assert (after.state, after.finished_at) == (JobState.CANCELLED, drive.now)
    assert drive.claimed() == []


def test_running_jobs_are_asked_and_named(drive: Driver) -> None:
    waiting, running = drive.add(priority=-1), drive.add()
    claim = drive.claim()

    assert drive.cancel(waiting, running) == [running.id]
    assert drive.cancel(running) == [running.id]  # asking twice is no error
    assert drive.say(claim).cancelled == {claim.attempt.token}
    drive.end(claim, CancelObeyed())
    assert drive.get(running).state is JobState.CANCELLED


def test_a_cancelled_job_whose_worker_died_is_cancelled(drive: Driver) -> None:
    drive.add(max_retries=9)
    claim = drive.claim()
    drive.cancel(claim.job)

    drive.lose(claim, WorkerDied(supervised=True))

    assert drive.get(claim.job).state is JobState.CANCELLED


def test_a_parked_job_stays_in_processing_until_a_person_cancels_it(
    repo: JobRepository, drive: Driver
) -> None:
    job = drive.add()
    claim = drive.claim()
    repo.park(claim.attempt, "its machine cannot be asked")
    assert (drive.get(job).stored, drive.get(job).parked) == (
        State.PROCESSING,
        "its machine cannot be asked",
    )

    drive.cancel(job)

    after = drive.get(job)
    assert (after.state, after.parked, after.worker) == (JobState.CANCELLED, None, None)
    drive.requeue(job)
    assert drive.claim().attempt.number == 2


def test_parking_needs_the_token(repo: JobRepository, drive: Driver) -> None:
    drive.add()
    old = drive.claim()
    drive.lose(old, WorkerDied(supervised=True))
    drive.claim()

    repo.park(old.attempt, "stale")

    assert drive.get(old.job).parked is None


# -- delete


def test_a_deleted_job_is_hidden_everywhere_at_once(repo: JobRepository, drive: Driver) -> None:
    job = drive.job_in(State.DEAD, key="k", queue="q")

    drive.delete(job)

    assert not drive.exists(job)
    assert repo.find_keys(["k"]) == {}
    assert all(drive.listed(view) == [] for view in View)
    assert sum(repo.counts().outward().values()) == 0
    assert all(sum(queue.counts.values()) == 0 for queue in repo.queues())


def test_a_deleted_job_is_purged_after_a_minute_with_all_it_had(
    repo: JobRepository, drive: Driver
) -> None:
    job = drive.add(max_retries=0)
    drive.end(drive.claim(), Exited(1), output_of("x"))
    drive.delete(job)

    drive.later(MINUTE - SECOND)
    repo.maintain(now=drive.now)
    assert repo.attempts(job.id) != []  # an undo could still bring it back

    drive.later(2 * SECOND)
    repo.maintain(now=drive.now)
    assert repo.attempts(job.id) == []
    assert repo.events(job.id) == []
    assert repo.output(job.id, 1) == []


def test_a_later_delete_purges_too(repo: JobRepository, drive: Driver) -> None:
    first, second = drive.job_in(State.DEAD), drive.add()
    drive.delete(first)
    drive.later(2 * MINUTE)

    drive.delete(second)

    assert repo.attempts(first.id) == []


# -- pause


def test_a_queue_is_made_by_its_pause_and_only_known_ones_are_resumed(
    repo: JobRepository, drive: Driver
) -> None:
    assert repo.pause(["new"], paused=True) == ["new"]
    assert [(queue.name, queue.paused) for queue in repo.queues()] == [("new", True)]
    drive.add(queue="new")
    assert drive.claimed() == []

    with pytest.raises(BadInput, match="unheard"):
        repo.pause(["new", "unheard"], paused=False)
    assert repo.queues()[0].paused  # all or nothing


def test_pausing_all_holds_for_queues_that_come_later(repo: JobRepository, drive: Driver) -> None:
    drive.add(queue="a")
    drive.add(queue="b")

    assert sorted(repo.pause(None, paused=True)) == ["a", "b"]
    drive.add(queue="c")
    assert drive.claimed(room=9) == []
    assert all(queue.paused for queue in repo.queues())

    assert sorted(repo.pause(None, paused=False)) == ["a", "b", "c"]
    drive.add(queue="d")
    assert len(drive.claimed(room=9)) == 4
