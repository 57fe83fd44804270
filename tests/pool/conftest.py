"""A database and real pools for it; nothing of them outlives a test."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from queuectl_engine import Engine, Job, JobState, PoolInfo, open_engine
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.processes import stat_of
from tests.pools import stop_pools
from tests.waiting import until

StartPool = Callable[..., PoolInfo]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An open, empty database."""
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        yield engine


@pytest.fixture
def start_pool(engine: Engine) -> Iterator[StartPool]:
    """Start pools in the background, with any option; all are gone after the test."""

    def start(workers: int = 1, name: str = "default", **options: Any) -> PoolInfo:
        db = engine.database.location
        start_detached(PoolOptions(db, workers=workers, name=name, detached=True, **options))
        return engine.find_pool(name)

    yield start
    stop_pools(engine)
    for pid in pool_processes(engine.database.location):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not pool_processes(engine.database.location))


def pool_processes(db: str) -> list[int]:
    """Supervisors, and what is left of their workers and fork servers, of one database."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and _is_pool(entry, db)
    ]


def _is_pool(process: Path, db: str) -> bool:
    try:
        return db.encode() in (process / "cmdline").read_bytes()
    except OSError:
        return False


def printed(engine: Engine, job: Job | int, attempt: int | None = None) -> str:
    """The output of an attempt, both streams in order of arrival."""
    number = job if isinstance(job, int) else job.id
    chunks = engine.output(number, attempt)
    return b"".join(p.data for chunk in chunks for p in chunk.pieces).decode()


def ended(engine: Engine, job: Job) -> Job:
    """The job once it is completed, dead or cancelled."""
    return engine.wait(job.id, timeout=60)[0]


def running(engine: Engine, job: Job) -> bool:
    """Whether the job is in processing."""
    return engine.get(job.id).state is JobState.PROCESSING


def parent_of(pid: int) -> int:
    """The process that it is a child of: of a worker, the fork server."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def runs(pid: int) -> bool:
    """Whether it has not ended; a zombie may stay for as long as its parent likes."""
    stat = stat_of(pid)
    return stat is not None and not stat.dead
