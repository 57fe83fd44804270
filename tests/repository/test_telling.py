"""What is told to those who watch: happenings in order, resumable by number, and sums."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from queuectl_engine.job import Happening, State
from queuectl_engine.lifecycle import Exited, Signalled, TimedOut, WorkerDied
from queuectl_engine.metrics import BUCKETS, QueueMetrics
from queuectl_engine.repository.protocol import JobRepository
from tests.repository.driver import Driver, OpenRepo
from tests.samples import HOUR, MINUTE, NOON, SECOND, new


def told(repo: JobRepository, since: int | None = None, job: int | None = None) -> list[Happening]:
    """All there is after a number, read in small pieces."""
    found: list[Happening] = []
    while True:
        more, upto = repo.happenings(since=since, limit=3, job=job)
        found += more
        if upto == since:
            return found
        since = upto


def in_short(happenings: list[Happening]) -> list[tuple[str, int | None]]:
    return [(each.kind, each.job) for each in happenings]


def sums(drive: Driver, queue: str = "default") -> QueueMetrics:
    (found,) = (each for each in drive.repo.metrics() if each.queue == queue)
    return found


def test_what_happens_is_told_in_its_order(drive: Driver) -> None:
    drive.add(max_retries=1)
    drive.run(Exited(3))
    drive.later()
    drive.requeue(drive.get(1))
    drive.run(Exited(0))
    drive.delete(drive.get(1))

    story = told(drive.repo)
    assert in_short(story) == [
        (kind, 1)
        for kind in ("added", "started", "ended", "requeued", "started", "ended", "deleted")
    ]
    assert [each.id for each in story] == list(range(1, 8))
    assert [each.at for each in story] == [NOON] * 3 + [NOON + SECOND] * 4
    assert [each.user for each in story] == ["ada", None, None, "ada", None, None, "ada"]
    ended = [(each.attempt, each.result, each.exit_code, each.state) for each in story]
    assert ended[2] == (1, "failed", 3, "failed")
    assert ended[5] == (2, "completed", 0, "completed")
    assert (story[1].attempt, story[1].worker, story[1].result) == (1, "w1", None)


def test_each_number_resumes_after_it_and_misses_nothing(drive: Driver) -> None:
    drive.repo.add([new() for _ in range(7)], now=NOON)
    drive.cancel(*(drive.get(job) for job in (2, 3, 5)))
    drive.run(Exited(0))

    story = told(drive.repo)
    assert in_short(story) == [
        *(("added", job) for job in range(1, 8)),
        *(("cancelled", job) for job in (2, 3, 5)),
        ("started", 1),
        ("ended", 1),
    ]
    for place in range(len(story) + 1):
        since = story[place - 1].id if place else 0
        assert told(drive.repo, since) == story[place:]


def test_one_job_is_told_alone(drive: Driver) -> None:
    drive.repo.add([new() for _ in range(3)], now=NOON)
    drive.cancel(drive.get(3), drive.get(2))
    drive.run(Exited(0))
    assert in_short(told(drive.repo, job=2)) == [("added", 2), ("cancelled", 2)]
    assert in_short(told(drive.repo, job=1)) == [("added", 1), ("started", 1), ("ended", 1)]


def test_a_job_that_is_gone_leaves_its_numbers_unused(drive: Driver) -> None:
    drive.add()
    drive.add()
    drive.delete(drive.get(1))
    drive.later(MINUTE * 2)
    drive.repo.maintain(now=drive.now)
    drive.add()
    assert [(each.id, each.kind, each.job) for each in told(drive.repo)] == [
        (2, "added", 2),
        (4, "added", 3),
    ]
    assert drive.repo.last_happening() == 4


def test_an_add_that_stores_nothing_tells_nothing(drive: Driver) -> None:
    drive.add(key="k")
    drive.add(key="k")
    assert in_short(told(drive.repo)) == [("added", 1)]


def test_what_is_not_kept_is_a_gap(drive: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queuectl_engine.repository.hearing.KEPT", 5)
    for _ in range(6):
        drive.add()
    drive.run(Exited(0))
    drive.repo.maintain(now=drive.now)

    found, upto = drive.repo.happenings(since=0, limit=10)
    assert [(each.kind, each.job, each.id) for each in found] == [("gap", None, 2)]
    assert in_short(told(drive.repo, upto))[-2:] == [("started", 1), ("ended", 1)]
    assert told(drive.repo)[0].kind == "added"  # from the oldest that is kept: no gap
    assert sums(drive).results == {"completed": 1}


def test_results_retries_and_times_are_summed_by_queue(drive: Driver) -> None:
    for ending, after in ((Exited(1), 0.1), (Signalled(9), 2), (TimedOut(SECOND), 200_000)):
        drive.add(max_retries=1, queue="q")
        drive.later(SECOND * 3)  # due, and nobody takes it
        claim = drive.claim("q")
        drive.later(timedelta(seconds=after))
        drive.end(claim, ending)
        drive.cancel(claim.job)
    drive.add(queue="q", max_retries=1)
    drive.run(Exited(1), "q")
    drive.later(SECOND * 2)
    drive.run(Exited(0), "q")

    for _ in range(2):  # before the sums are stored, and from what is stored
        found = sums(drive, "q")
        assert found.results == {"failed": 3, "timed out": 1, "completed": 1}
        assert (found.retries, found.late) == (1, 0)
        assert found.ran.count == 5
        assert found.ran.counts[0] == 3  # the bound itself is in its bucket
        assert found.ran.counts[BUCKETS.index(5)] == 1
        assert found.ran.counts[-1] == 1
        assert found.ran.seconds == pytest.approx(200_002.1)
        assert found.waited.count == 5
        assert found.waited.seconds == 9
        drive.repo.maintain(now=drive.now)


def test_sums_are_added_once_whoever_adds_them(open_repo: OpenRepo, drive: Driver) -> None:
    other = open_repo()
    drive.add()
    drive.run(Exited(0))
    db = drive.repo._db  # type: ignore[attr-defined] # a race in one thread
    name = "writing" if hasattr(db, "writing") else "write"
    begin = getattr(db, name)

    def first_the_other(*args: Any) -> Any:
        other.maintain(now=drive.now)
        return begin(*args)

    setattr(db, name, first_the_other)
    drive.repo.maintain(now=drive.now)
    assert sums(drive).results == {"completed": 1}


def test_lost_attempts_and_late_results_are_counted(drive: Driver) -> None:
    drive.add()
    claim = drive.claim()
    drive.lose(claim, WorkerDied(supervised=True))
    drive.end(claim, Exited(0))
    drive.end(claim, Exited(0))
    found = sums(drive)
    assert (found.results, found.late) == ({"lost": 1}, 2)
    assert found.ran.count == 0  # nobody knows for how long


def test_sums_outlive_their_jobs(drive: Driver) -> None:
    drive.job_in(State.COMPLETED)
    drive.repo.maintain(now=drive.now)
    drive.delete(drive.get(1))
    drive.later(MINUTE * 2)
    drive.repo.maintain(now=drive.now)
    assert drive.repo.attempts(1) == []
    assert sums(drive).results == {"completed": 1}


def test_the_oldest_ready_job_is_the_one_due_first_not_the_one_with_the_lowest_id(
    drive: Driver,
) -> None:
    assert drive.repo.oldest_due() is None
    drive.job_in(State.COMPLETED)
    drive.later(HOUR)
    drive.add(priority=5)
    drive.add(queue="other", run_at=drive.now + MINUTE)
    drive.later(SECOND)
    drive.requeue(drive.get(1))

    assert drive.repo.oldest_due() == NOON + HOUR
    assert sums(drive).oldest_due == NOON + HOUR
    assert sums(drive, "other").oldest_due is None
    drive.claim("default")
    assert drive.repo.oldest_due() == NOON + HOUR + SECOND
    drive.later(MINUTE)
    drive.repo.promote(now=drive.now)
    assert sums(drive, "other").oldest_due == NOON + HOUR + MINUTE
