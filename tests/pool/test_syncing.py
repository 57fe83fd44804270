"""A worker's times: what it committed last comes to disk within a second."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from queuectl_engine.errors import StorageBusy
from queuectl_engine.pool.log import Log
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.worker import Post, Worker
from queuectl_engine.repository.protocol import WorkerRow
from tests.samples import NOON, pool_row


def worker(directory: Path, sync_if_due: Any) -> Worker:
    """One whose repository does nothing else."""
    pool, row = pool_row(directory), WorkerRow(1, 1, 1, 0, NOON)
    post = Post(PoolOptions(str(directory / "queue.db")), pool, row, directory, "")
    repository: Any = SimpleNamespace(sync_if_due=sync_if_due, clock=lambda: NOON)
    return Worker(repository, post, Log("text", directory / "log", to_file=True))


@pytest.mark.parametrize(("left", "longest"), [(0.4, 0.4), (None, 5.0)])
def test_it_sleeps_no_longer_than_until_then(
    tmp_path: Path, left: float | None, longest: float
) -> None:
    idle = worker(tmp_path, lambda worker, now: left)
    idle._stopping = True  # so that it looks for nothing else
    idle._sync()

    assert longest / 2 < idle._patience(room=False) <= longest


def test_it_comes_back_when_the_database_was_busy(tmp_path: Path) -> None:
    def busy(worker: int, now: object) -> None:
        raise StorageBusy("locked")

    idle = worker(tmp_path, busy)
    idle._stopping = True
    idle._sync()

    assert idle._patience(room=False) <= 1.0
