"""The server crashes and comes back under load: jobs run on, and nothing is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from queuectl_engine import Engine, StorageError, open_engine
from queuectl_engine.lifecycle import FINAL
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from tests.pool import evidence
from tests.pools import stop_pools
from tests.postgres import Server, running_server, with_queue
from tests.waiting import until


@pytest.fixture
def server() -> Iterator[Server]:
    """A server of our own, to be killed."""
    with running_server(restart_after_crash="on") as server:
        yield server


@pytest.fixture
def engine(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A queue on it; pools that a test starts end with it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with open_engine(server.url(with_queue(server)), timeout=30.0) as engine:
        yield engine
        stop_pools(engine)


def start_pool(engine: Engine, name: str) -> None:
    """Start a pool in the background."""
    db = engine.database.location
    start_detached(PoolOptions(db, workers=2, name=name, detached=True, backoff_cap=0.05))


def kill_a_session(server: Server, chance: random.Random) -> None:
    """As the kernel does when memory runs out; the server ends all others, too."""
    with suppress(Exception):
        found = server.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'queuectl'")
        os.kill(int(str(chance.choice(found)[0])), signal.SIGKILL)


def restart(server: Server, chance: random.Random) -> None:
    """Stop at once, without a word to anybody, and come back."""
    server.stop(signal.SIGQUIT)
    until(lambda: True, timeout=chance.random())
    server.start()


def test_nothing_is_lost_or_doubled_while_the_server_crashes(
    server: Server, engine: Engine, tmp_path: Path
) -> None:
    seed = int(os.environ.get("QUEUECTL_STORM_SEED", random.SystemRandom().randrange(10**6)))
    rounds = int(os.environ.get("QUEUECTL_STORM_SECONDS", "8"))
    print(f"QUEUECTL_STORM_SEED={seed}")  # noqa: T201 - shown when the test fails
    chance = random.Random(seed)
    marks = tmp_path / "evidence"
    acknowledged: list[int] = []
    for name in ("one", "two"):
        start_pool(engine, name)

    for fault in [kill_a_session, restart] * (rounds // 2):
        jobs = [
            engine.new_job(evidence.command(marks, work), max_retries=chance.randint(0, 3))
            for work in chance.choices(("true", "exit 1", "sleep 0.1", "sleep 0.7"), k=10)
        ]
        with suppress(StorageError):
            acknowledged += [added.id for added in engine.add_many(jobs)]
        fault(server, chance)

    until(lambda: all(job.stored in FINAL for job in engine.jobs()), timeout=90)
    evidence.check(engine, acknowledged, marks)
    results = {a.result for job in acknowledged for a in engine.attempts(job)}
    assert results <= {"completed", "failed"}, "a job was ended though its lease lived"
