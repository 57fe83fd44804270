"""Pruning as the file and other processes feel it: short transactions, space, the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from queuectl_engine import JobState, open_engine
from queuectl_engine.filter import Filter
from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pruning import prune
from queuectl_engine.repository import clock_jumps, open_repository, removal
from queuectl_engine.repository.protocol import JobRepository, Removed
from queuectl_engine.repository.sqlite import SqliteRepository
from tests.pools import stop_pools
from tests.repository.driver import Driver, output_of
from tests.samples import HOUR, new
from tests.waiting import until

COMPLETED = (JobState.COMPLETED,)
DAY = timedelta(days=1)


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[JobRepository]:
    with closing(open_repository(str(tmp_path / "queue.db"), create=True)) as repo:
        yield repo


@pytest.fixture
def drive(repo: JobRepository) -> Driver:
    return Driver(repo)


def finish(drive: Driver, jobs: int, output: str = "") -> None:
    drive.repo.add([new() for _ in range(jobs)], now=drive.now)
    claims = drive.turn(room=jobs).claims
    drive.turn(*(drive.ended(claim, Exited(0), output_of(output)) for claim in claims))


def pruned(drive: Driver) -> int:
    return prune(drive.repo, drive.now, COMPLETED, Filter(), count_only=False).count


def test_the_space_goes_back_to_the_file_system(drive: Driver, tmp_path: Path) -> None:
    finish(drive, 600, "x" * 20_000)
    drive.repo.maintain(now=drive.now)
    large = (tmp_path / "queue.db").stat().st_size

    done = prune(drive.repo, drive.now, COMPLETED, Filter(), count_only=False)

    small = (tmp_path / "queue.db").stat().st_size
    assert done.output == 600 * 20_000
    assert done.returned > done.output
    assert small == large - done.returned
    assert small < large / 10


def test_others_write_between_two_portions(
    drive: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(drive, 1_200)
    parts: list[int] = []
    with closing(open_repository(str(tmp_path / "queue.db"), timeout=0)) as other:
        remove = SqliteRepository.remove

        def removed(self: SqliteRepository, ids: list[int], **how: object) -> Removed:
            done = remove(self, ids, **how)  # type: ignore[arg-type]
            parts.append(sum(done.jobs.values()))
            other.add([new()], now=drive.now)
            return done

        monkeypatch.setattr(SqliteRepository, "remove", removed)
        assert pruned(drive) == 1_200

    assert max(parts) <= 500
    assert sum(parts) == 1_200
    assert drive.repo.counts().of(State.READY) == len(parts)


def test_a_transaction_looks_through_no_more_output_than_it_should(
    drive: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(drive, 10, "x" * 100)
    monkeypatch.setattr(removal, "_OUTPUT_AT_ONCE", 250)
    ids = list(range(1, 11))
    parts = []
    while ids:
        done = drive.repo.remove(ids, before=drive.now, states=(State.COMPLETED,))
        parts.append(sum(done.jobs.values()))
        ids = list(done.left)

    assert parts == [3, 3, 3, 1]


class Clock:
    """Both clocks, as a test moves them."""

    CLOCK_BOOTTIME = time.CLOCK_BOOTTIME

    def __init__(self) -> None:
        self.wall = self.boot = 1e9

    def time(self) -> float:
        return self.wall

    def clock_gettime(self, _clock: int) -> float:
        return self.boot

    def pass_(self, seconds: float) -> None:
        self.wall += seconds
        self.boot += seconds


def test_a_clock_that_jumps_ahead_empties_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(clock_jumps, "time", clock)
    with closing(open_repository(str(tmp_path / "queue.db"), create=True)) as repo:
        drive = Driver(repo)
        finish(drive, 3)
        repo.set_retention(30 * DAY)
        clock.pass_(5)
        repo.maintain(now=drive.now)

        clock.wall += 365 * 86_400
        drive.later(365 * DAY)
        for _ in range(10):
            repo.maintain(now=drive.now)
            clock.pass_(300)
        assert repo.counts().of(State.COMPLETED) == 3

        clock.wall -= 365 * 86_400  # somebody has seen it
        drive.later(-365 * DAY)
        clock.pass_(3_600)
        repo.maintain(now=drive.now)
        assert repo.counts().of(State.COMPLETED) == 3


def test_after_an_hour_the_new_time_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(clock_jumps, "time", clock)
    with closing(open_repository(str(tmp_path / "queue.db"), create=True)) as repo:
        drive = Driver(repo)
        finish(drive, 3)
        repo.set_retention(HOUR)
        repo.maintain(now=drive.now)
        clock.wall += 86_400
        drive.later(DAY)
        repo.maintain(now=drive.now)
        assert repo.counts().of(State.COMPLETED) == 3

        clock.pass_(3_601)
        repo.maintain(now=drive.now)
        assert repo.counts().of(State.COMPLETED) == 0


def test_a_pool_keeps_to_the_retention_and_keeps_the_sums(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        with closing(open_repository(engine.database.location)) as repo:
            finish(Driver(repo), 3)
        dead = engine.add("false", max_retries=0)
        engine.set_retention(DAY)
        try:
            start_detached(PoolOptions(engine.database.location, name="p", detached=True))
            until(lambda: not engine.find([1, 2, 3]))
            until(lambda: engine.get(dead.id).state is JobState.DEAD)
        finally:
            stop_pools(engine)
        (queue,) = engine.metrics()
        assert queue.results == {"completed": 3, "failed": 1}
