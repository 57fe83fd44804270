"""A pool keeps its lease though one of its processes is stopped, and acts on it when it cannot."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from queuectl_engine import Engine, JobState, open_engine
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.lease import CLAIM
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


def lease_of(engine: Engine) -> Lease:
    """That of the only pool."""
    (pool,) = engine._repository.pools()
    assert pool.lease is not None
    return pool.lease


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """A process does nothing meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("who", ["supervisor", "worker"])
def test_whoever_is_stopped_the_other_renews_the_lease(
    engine: Engine, tmp_path: Path, who: str
) -> None:
    db, go = engine.database.location, tmp_path / "go"
    start_detached(PoolOptions(db, name="one", detached=True, lease=5.0))
    job = engine.add(f"while [ ! -e {go} ]; do sleep 0.05; done")
    until(lambda: engine.get(job.id).state is JobState.PROCESSING)

    (worker,) = engine._repository.workers()
    with stopped(engine.find_pool("one").pid if who == "supervisor" else worker.pid):
        before = lease_of(engine).until
        # Renewed twice since, and by nobody else than the other one.
        once = until(lambda: (now := lease_of(engine).until) != before and now)
        until(lambda: lease_of(engine).until != once)
        assert not lease_of(engine).over
    go.touch()
    until(lambda: engine.get(job.id).state is JobState.COMPLETED)
    assert [a.result for a in engine.attempts(job.id)] == ["completed"]


_NO_RENEWALS = """
CREATE FUNCTION queuectl.refuse() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE OF lease_until_ms ON queuectl.pool
  FOR EACH ROW EXECUTE FUNCTION queuectl.refuse()
"""


def test_nothing_is_claimed_any_more_long_before_the_lease_is_over(engine: Engine) -> None:
    """The store answers all but renewals."""
    db, lease = engine.database.location, 5.0
    start_detached(PoolOptions(db, name="one", detached=True, lease=lease))
    until(engine._repository.workers)
    with psycopg.connect(db, autocommit=True) as raw:
        raw.execute(_NO_RENEWALS)
        try:
            over_at = lease_of(engine).until
            assert over_at is not None
            claims_end = over_at - timedelta(seconds=lease * (1 - CLAIM) - 0.2)
            until(lambda: engine._repository.clock() > claims_end)
            job = engine.add("true")
            until(lambda: lease_of(engine).over)
            assert engine.get(job.id).state is JobState.PENDING
            assert engine.attempts(job.id) == []
        finally:
            raw.execute("DROP FUNCTION queuectl.refuse CASCADE")
    until(lambda: engine.get(job.id).state is JobState.COMPLETED)


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
