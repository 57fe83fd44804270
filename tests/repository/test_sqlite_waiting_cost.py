"""What jobs that wait cost: the same, however many wait for one job or for one mutex."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import apsw
import pytest

from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository import open_repository
from tests.repository.driver import Driver
from tests.repository.test_sqlite_cost import plans, steps
from tests.samples import NOON, new

SIZES = (600, 6_000)
TOLD = 100  # dependants in one transaction


class Queue:
    """A parent and its dependants, a mutex and those who wait for it, and a few other jobs."""

    def __init__(self, path: Path, size: int, connections: list[apsw.Connection]) -> None:
        self.repo = open_repository(str(path), create=True)
        self.db = connections[-1]
        self.drive = Driver(self.repo)
        self.parent = self.drive.add(priority=9)
        self.holder = self.drive.add(mutex="m", priority=8)
        self.repo.add([new(after_ok=[self.parent.id]) for _ in range(size)], now=NOON)
        self.repo.add([new(after_fail=[self.parent.id]) for _ in range(size)], now=NOON)
        self.repo.add([new(mutex="m", priority=7) for _ in range(size)], now=NOON)
        self.repo.add([new(queue="q") for _ in range(50)], now=NOON)
        self.parent_claim, self.holder_claim = self.drive.turn(room=2).claims


Make = Callable[[int], Queue]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """Queues of any size; all are closed after the tests."""
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    with ExitStack() as opened:

        def of(size: int) -> Queue:
            queue = Queue(tmp_path_factory.mktemp("waiting") / "queue.db", size, connections)
            opened.enter_context(closing(queue.repo))
            return queue

        yield of
    apsw.connection_hooks.remove(connections.append)


@pytest.fixture(scope="module")
def queues(make: Make) -> list[Queue]:
    """A small and a tenfold one."""
    return [make(size) for size in SIZES]


# In this order: each leaves the next one its work.
WORK: dict[str, Callable[[Queue], object]] = {
    "claim beside those who wait": lambda queue: queue.drive.claim(),
    "one more who waits for the parent": lambda queue: queue.drive.add(after_ok=[queue.parent.id]),
    "one more who waits for the mutex": lambda queue: queue.drive.add(mutex="m", priority=-1),
    "whether anything stirs": lambda queue: queue.repo.stirring(),
    "a window of those who wait": lambda queue: queue.repo.dependants(queue.parent.id, limit=20),
    "the end of the parent": lambda queue: queue.drive.end(queue.parent_claim, Exited(0)),
    "a further portion": lambda queue: queue.repo.promote(now=queue.drive.now),
    "the end of the holder": lambda queue: queue.drive.end(queue.holder_claim, Exited(0)),
    "the next holder": lambda queue: queue.drive.run(Exited(0)),
}


@pytest.mark.parametrize("name", WORK)
def test_ten_times_as_many_who_wait_cost_next_to_nothing(queues: list[Queue], name: str) -> None:
    small, large = (steps(queue, WORK[name]) for queue in queues)

    # A few steps more, or less, where a number takes a byte more: never ten times as many.
    assert 0 < large <= small * 1.02 + 10


def test_no_plan_walks_through_all_who_wait(make: Make) -> None:
    queue = make(50)

    for name, work in WORK.items():
        lines = plans(queue, work)
        assert lines
        bad = [line for line in lines if line.startswith(("SCAN job", "SCAN need"))]
        assert [line for line in bad if "INDEX" not in line] == [], name


def test_the_end_of_a_parent_of_a_hundred_thousand_writes_a_bounded_number_of_rows(
    make: Make,
) -> None:
    queue = make(10)
    parent = queue.drive.add(priority=99)
    for _ in range(20):
        queue.repo.add([new(after_any=[parent.id]) for _ in range(5_000)], now=NOON)
    claim = queue.drive.claim()

    def rows(work: Callable[[], object]) -> int:
        before = queue.db.total_changes()
        work()
        return queue.db.total_changes() - before

    # A need, a job and four counter rows for each that is told, and a few for the end itself.
    bound = 6 * TOLD + 20
    assert 0 < rows(lambda: queue.drive.end(claim, Exited(0))) <= bound
    for portion in range(2, 5):
        assert 0 < rows(lambda: queue.repo.promote(now=NOON)) <= bound
        ready = queue.repo.counts().of(State.READY)
        assert ready >= portion * TOLD
    assert queue.repo.counts().of(State.BLOCKED) > 99_000
