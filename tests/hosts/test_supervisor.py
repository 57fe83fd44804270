"""A pool whose supervisor is stopped goes on: its workers renew the lease themselves."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl_engine import Engine, JobState, open_engine
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.repository.protocol import Lease
from tests.pools import stop_pools
from tests.postgres import cluster
from tests.waiting import until


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A queue on the session's server."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with open_engine(cluster().queue()) as engine:
        yield engine
        stop_pools(engine)


def test_a_stopped_supervisor_costs_no_job(engine: Engine, tmp_path: Path) -> None:
    db, go = engine.database.location, tmp_path / "go"
    start_detached(PoolOptions(db, name="one", detached=True, lease=5.0))
    job = engine.add(f"while [ ! -e {go} ]; do sleep 0.05; done")
    until(lambda: engine.get(job.id).state is JobState.PROCESSING)

    def lease() -> Lease:
        (pool,) = engine._repository.pools()
        assert pool.lease is not None
        return pool.lease

    supervisor = engine.find_pool("one").pid
    os.kill(supervisor, signal.SIGSTOP)
    try:
        stopped_with = lease().until
        assert stopped_with is not None
        # Renewed twice since, and by nobody else than the worker.
        once = until(lambda: (now := lease().until) != stopped_with and now)
        until(lambda: lease().until != once)
        assert not lease().over
        go.touch()
        until(lambda: engine.get(job.id).state is JobState.COMPLETED)
    finally:
        os.kill(supervisor, signal.SIGCONT)
    assert [a.result for a in engine.attempts(job.id)] == ["completed"]


def test_a_claim_whose_answer_was_lost_is_given_out_again(engine: Engine) -> None:
    """The server stored it, and the worker, which lives on, never heard of it."""
    db = engine.database.location
    start_detached(PoolOptions(db, name="one", queues=("other",), detached=True, lease=5.0))
    (worker,) = until(engine._repository.workers)
    job = engine.add("true")

    now = engine._repository.clock()
    turn = engine._repository.settle_and_claim(worker.id, [], room=1, queues=("default",), now=now)
    assert [claim.job.id for claim in turn.claims] == [job.id]

    until(lambda: engine.get(job.id).state is JobState.PENDING)
    assert [a.result for a in engine.attempts(job.id)] == ["lost"]
