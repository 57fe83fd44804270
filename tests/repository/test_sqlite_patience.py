"""How often someone who waits for the write lock looks for it; on a clock that only moves here."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from queuectl_engine import open_engine
from queuectl_engine.repository.sqlite import connection, watch
from queuectl_engine.repository.sqlite.connection import Connection

TIMEOUT = 1.0


class Waiter:
    """Waits for a lock that others hold; `writing` says whether the log grows meanwhile."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.now = 1000.0
        self.writing = True
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def look(self, _: str) -> object:
        return self.now if self.writing else None

    def wait(self, seconds: float) -> list[float]:
        """The pauses of so long a wait."""
        self.pauses, begun, calls = [], self.now, 0
        while self.now < begun + seconds and self._db._keep_waiting(calls):
            calls += 1
        return self.pauses


@pytest.fixture
def waiter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Waiter]:
    """On a real connection; pauses are as long as they may be."""
    path = tmp_path / "queue.db"
    open_engine(path, create=True).close()
    with closing(Connection(str(path), timeout=TIMEOUT)) as db:
        waiter = Waiter(db)
        clock = SimpleNamespace(monotonic=lambda: waiter.now, sleep=waiter.sleep)
        with monkeypatch.context() as patch:
            patch.setattr(connection, "time", clock)
            patch.setattr(watch, "look", waiter.look)
            patch.setattr(random, "uniform", lambda _, most: most)
            yield waiter


def test_who_has_waited_longer_looks_oftener_while_others_write(waiter: Waiter) -> None:
    pauses = waiter.wait(0.05)
    assert pauses == sorted(pauses, reverse=True)
    assert pauses[-1] < pauses[0] / 5


def test_a_lock_that_is_merely_held_is_looked_at_ever_more_seldom(waiter: Waiter) -> None:
    waiter.writing = False
    pauses = waiter.wait(0.5)
    assert pauses[-1] > 10 * pauses[0]
    assert len(pauses) < 150


def test_patience_ends_and_begins_anew_with_the_next_lock(waiter: Waiter) -> None:
    assert TIMEOUT <= sum(waiter.wait(60)) < 1.1 * TIMEOUT
    assert TIMEOUT <= sum(waiter.wait(60)) < 1.1 * TIMEOUT
