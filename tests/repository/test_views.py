"""The tables of the screens, window by window, and the numbers above them."""

from __future__ import annotations

import random
from collections.abc import Collection
from datetime import datetime

import pytest

from queuectl_engine.job import STORED_AS, Job, JobState, State, View
from queuectl_engine.lifecycle import Exited, ForcedStop
from queuectl_engine.repository.protocol import JobRepository, Key
from tests.repository.driver import Driver
from tests.samples import HOUR, NOON, SECOND

WAITING = (State.READY, State.FAILED, State.SCHEDULED, State.BLOCKED)
SHOWS = {
    View.PENDING: WAITING,
    View.PROCESSING: (State.PROCESSING,),
    View.DEAD: (State.DEAD,),
    View.FINISHED: (State.COMPLETED, State.CANCELLED),
    View.ALL: tuple(State),
}


def naive(view: View, jobs: Collection[Job]) -> list[int]:
    """A view as DESIGN says it: filter, then sort everything."""
    chosen = [job for job in jobs if job.stored in SHOWS[view]]
    match view:
        case View.PENDING:
            chosen.sort(key=lambda job: (WAITING.index(job.stored), -job.priority, job.id))
        case View.PROCESSING:
            chosen.sort(key=lambda job: (moment(job.started_at), job.id))
        case View.DEAD | View.FINISHED:
            chosen.sort(key=lambda job: (moment(job.finished_at), job.id), reverse=True)
        case View.ALL:
            chosen.sort(key=lambda job: job.id)
    return [job.id for job in chosen]


def moment(at: datetime | None) -> datetime:
    assert at is not None
    return at


@pytest.fixture
def crowd(drive: Driver) -> list[Job]:
    """A few dozen jobs in every state, with equal priorities and equal times among them."""
    chance = random.Random(7)
    for n in range(60):
        policy = {"priority": chance.choice([-1, 0, 0, 5]), "queue": chance.choice("ab")}
        end = chance.choice(["ready", "ready", "later", "run", "run", "run", "cancel"])
        if end == "later":
            drive.add(**policy, run_at=NOON + HOUR + n * SECOND)  # type: ignore[arg-type]
            continue
        job = drive.add(**policy, max_retries=chance.choice([0, 3]))  # type: ignore[arg-type]
        if end == "cancel":
            drive.cancel(job)
        if end == "run":
            claim = drive.claim()
            ending = chance.choice([Exited(0), Exited(1), Exited(1), ForcedStop(), None])
            if ending:
                drive.end(claim, ending)
        if chance.random() < 0.5:
            drive.later()
    jobs = drive.repo.page(View.ALL, limit=1000).jobs
    drive.delete(*[job for job in jobs if job.stored is not State.PROCESSING][::9])
    return list(drive.repo.page(View.ALL, limit=1000).jobs)


@pytest.mark.parametrize("view", View)
def test_a_view_in_one_window_is_in_its_order(drive: Driver, crowd: list[Job], view: View) -> None:
    assert drive.listed(view) == naive(view, crowd) != []


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("view", View)
def test_paging_down_and_up_visits_every_job_once(
    repo: JobRepository, crowd: list[Job], view: View, size: int
) -> None:
    expected = naive(view, crowd)
    for backwards in (False, True):
        seen: list[int] = []
        at: Key | None = None
        while len(seen) < len(expected):
            # `at` is inclusive, so each further window starts at the edge of the one before.
            page = repo.page(view, limit=size + bool(seen), at=at, backwards=backwards)
            ids = [job.id for job in page.jobs]
            assert len(page.keys) == len(ids) <= size + bool(seen)
            if backwards:
                seen = ids[: len(ids) - bool(seen)] + seen
                at = page.keys[0]
            else:
                seen += ids[bool(seen) :]
                at = page.keys[-1]
        assert seen == expected


def test_one_long_queue_among_many_short_ones_is_in_order(
    repo: JobRepository, drive: Driver
) -> None:
    for n in range(60):
        queue = f"q{n % 12}" if n % 7 == 0 else "long"
        drive.add(queue=queue, priority=(n * 5) % 3)
    expected = naive(View.PENDING, list(repo.page(View.ALL, limit=999).jobs))
    first, last = (repo.page(View.PENDING, limit=1, backwards=up).keys[0] for up in (False, True))
    for limit in range(1, 62):
        down = repo.page(View.PENDING, limit=limit, at=first)
        up = repo.page(View.PENDING, limit=limit, at=last, backwards=True)
        assert [job.id for job in down.jobs] == expected[:limit]
        assert [job.id for job in up.jobs] == expected[-limit:]


@pytest.mark.parametrize("view", View)
def test_a_window_starts_at_the_place_of_any_job_in_either_direction(
    repo: JobRepository, crowd: list[Job], view: View
) -> None:
    expected = naive(view, crowd)
    for job in crowd:
        if job.id not in expected:
            continue
        rank, key = expected.index(job.id), repo.place(view, job)
        down = repo.page(view, limit=3, at=key)
        up = repo.page(view, limit=3, at=key, backwards=True)

        assert [found.id for found in down.jobs] == expected[rank : rank + 3]
        assert [found.id for found in up.jobs] == expected[max(0, rank - 2) : rank + 1]
        assert down.keys[0] == up.keys[-1] == key


@pytest.mark.parametrize("view", sorted(set(View) - {View.PROCESSING}))  # what runs is not deleted
def test_a_place_holds_after_its_job_has_gone(
    repo: JobRepository, drive: Driver, crowd: list[Job], view: View
) -> None:
    expected = naive(view, crowd)
    middle = [drive.get(n) for n in expected[len(expected) // 2 :]]
    gone = next(job for job in middle if job.stored is not State.PROCESSING)
    rank, key = expected.index(gone.id), repo.place(view, gone)
    drive.delete(gone)
    expected.remove(gone.id)

    down = repo.page(view, limit=4, at=key)
    up = repo.page(view, limit=4, at=key, backwards=True)

    assert [job.id for job in down.jobs] == expected[rank : rank + 4]
    assert [job.id for job in up.jobs] == expected[max(0, rank - 4) : rank]


@pytest.mark.parametrize("view", View)
def test_filters_keep_the_order(repo: JobRepository, crowd: list[Job], view: View) -> None:
    in_a = naive(view, [job for job in crowd if job.queue == "a"])
    assert [job.id for job in repo.page(view, limit=999, queue="a").jobs] == in_a
    assert repo.page(view, limit=999, queue="nowhere").jobs == ()

    for states in STORED_AS.values():
        chosen = naive(view, [job for job in crowd if job.stored in states])
        page = repo.page(view, limit=999, states=states)
        assert [job.id for job in page.jobs] == chosen
        half = repo.page(view, limit=999, states=states, queue="a", backwards=True)
        assert [job.id for job in half.jobs] == [n for n in chosen if n in in_a]


@pytest.mark.parametrize("view", View)
def test_an_empty_view_has_an_empty_window(repo: JobRepository, view: View) -> None:
    for backwards in (False, True):
        page = repo.page(view, limit=5, backwards=backwards)
        assert (page.jobs, page.keys) == ((), ())


def test_a_window_holds_jobs_as_get_gives_them(repo: JobRepository, crowd: list[Job]) -> None:
    assert repo.get([job.id for job in crowd]) == {job.id: job for job in crowd}


# -- counts


def recount(jobs: Collection[Job]) -> dict[State, int]:
    return {state: sum(job.stored is state for job in jobs) for state in State}


def test_counts_equal_a_recount(repo: JobRepository, crowd: list[Job]) -> None:
    expected = recount(crowd)

    counts = repo.counts()

    assert {state: counts.of(state) for state in State} == expected
    assert counts.outward() == {
        outward: sum(expected[state] for state in states) for outward, states in STORED_AS.items()
    }
    assert counts.of(JobState.PENDING, State.FAILED) == sum(expected[state] for state in WAITING)


def test_each_queue_is_counted_and_listed_by_name(repo: JobRepository, crowd: list[Job]) -> None:
    queues = repo.queues()

    assert [queue.name for queue in queues] == ["a", "b"]
    for queue in queues:
        expected = recount([job for job in crowd if job.queue == queue.name])
        assert {state: queue.counts.get(state, 0) for state in State} == expected


def test_a_queue_that_emptied_stays_listed(repo: JobRepository, drive: Driver) -> None:
    drive.delete(drive.add(queue="once"))

    (queue,) = repo.queues()

    assert (queue.name, queue.paused, sum(queue.counts.values())) == ("once", False, 0)


def test_an_empty_database_counts_nothing(repo: JobRepository) -> None:
    assert repo.queues() == []
    assert repo.counts().outward() == dict.fromkeys(JobState, 0)
