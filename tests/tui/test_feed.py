"""The thread that reads: silent when nothing changed, and never gone for good."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from queuectl_engine import Database, StorageBusy, StorageError, View
from queuectl_tui.door import Door
from queuectl_tui.feed import EngineFeed
from queuectl_tui.picture import Snapshot, Spot, Table, Wanted
from tests.tui.fake import FakeQueue, pool, running, waiting
from tests.waiting import until

WANTED = Wanted({Table.PENDING: Spot(View.PENDING, rows=5)})


class Opened:
    """Counts how often the queue was opened; each failure is raised once."""

    def __init__(self, queue: FakeQueue) -> None:
        self.queue = queue
        self.times = 0
        self.failures: list[StorageError] = []

    def __call__(self) -> FakeQueue:
        self.times += 1
        if self.failures:
            raise self.failures.pop()
        self.queue.failure = None
        return self.queue


class Watched:
    """A running feed, and what it showed."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.shown: list[Snapshot] = []
        self.feed = EngineFeed(Door(opened, Database("memory://", "")))
        self.feed.want(WANTED)
        self.feed.start(self.shown.append)

    def last_ids(self) -> list[int]:
        if not self.shown:
            return []
        return [job.id for job in self.shown[-1].windows[Table.PENDING].jobs]


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched(Opened(FakeQueue(waiting(1))))
    yield watched
    watched.feed.stop()


def test_it_shows_what_is_wanted_and_then_only_what_changed(watched: Watched) -> None:
    until(lambda: watched.last_ids() == [1])
    pages = watched.opened.queue.pages
    until(lambda: watched.opened.queue.pages > pages + 2)  # it goes on looking
    assert len(watched.shown) == 1
    watched.opened.queue.put(waiting(2))
    until(lambda: watched.last_ids() == [1, 2])
    assert len(watched.shown) == 2


def test_it_reads_something_else_when_asked(watched: Watched) -> None:
    watched.opened.queue.put(running(7))
    watched.feed.want(replace(WANTED, detail=7))
    until(lambda: watched.shown and watched.shown[-1].detail)
    detail = watched.shown[-1].detail
    assert detail is not None
    assert detail.job == watched.opened.queue.stored[7]


def test_pools_are_looked_at_although_no_job_changes(watched: Watched) -> None:
    until(lambda: watched.shown)
    watched.opened.queue.running = [pool()]
    until(lambda: watched.shown[-1].pools == (pool(),))


def test_trouble_keeps_the_last_picture_and_ends_by_itself(watched: Watched) -> None:
    until(lambda: watched.last_ids() == [1])
    watched.opened.failures = [StorageError("the file is gone")]
    watched.opened.queue.failure = StorageBusy("locked\x1b[2J by another")

    until(lambda: watched.shown[-1].trouble)
    trouble = watched.shown[-1].trouble
    assert trouble is not None
    assert trouble.why == "locked␛[2J by another"
    assert watched.last_ids() == [1]

    until(lambda: watched.shown[-1].trouble is None)
    assert watched.opened.times == 3
    assert watched.last_ids() == [1]


def test_it_cannot_keep_the_process_alive() -> None:
    watched = Watched(Opened(FakeQueue()))
    [thread] = [t for t in threading.enumerate() if t.name == "queuectl-feed"]
    assert thread.daemon
    watched.feed.stop()
    assert not thread.is_alive()
