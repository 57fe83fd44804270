"""The server is lost and its standby takes over, while pools work."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from queuectl_engine import Engine, StorageError, open_engine
from queuectl_engine.job import State
from queuectl_engine.lifecycle import FINAL, Exited
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.repository.postgres import PostgresRepository
from queuectl_engine.repository.protocol import Verdict
from tests.pool import evidence
from tests.pools import stop_pools
from tests.postgres import Server, with_queue
from tests.repository.driver import Driver
from tests.waiting import until


class Pair:
    """A primary and the standby that follows it."""

    def __init__(self) -> None:
        """Both run when this returns."""
        self.primary = Server().start()
        self.database = with_queue(self.primary)
        self.standby = Server(self.primary).start()

    @property
    def url(self) -> str:
        """Whichever of them is the primary."""
        hosts = f"{self.primary.directory},{self.standby.directory}"
        return (
            f"postgresql://postgres@/{self.database}?host={hosts}&target_session_attrs=read-write"
        )

    def synchronous(self) -> None:
        """From now on what the primary acknowledges is on the standby's disk, too."""
        self.primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.run("SELECT pg_reload_conf()")
        until(lambda: self._states() == [("streaming", "sync")])

    def catch_up(self) -> None:
        """The standby has heard all that happened until now."""
        lsn = self.primary.run("SELECT pg_current_wal_lsn()::text")[0][0]
        caught_up = f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'"
        until(lambda: self.standby.run(caught_up)[0][0])

    def fall_behind(self) -> None:
        """From now on the standby hears nothing."""
        self.standby.run("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.run("SELECT pg_reload_conf()")
        until(lambda: self._states() == [])

    def fail_over(self) -> None:
        """The primary is gone, and the standby takes its place."""
        self.primary.stop(signal.SIGQUIT)
        self.standby.run("SELECT pg_promote()")

    def remove(self) -> None:
        """Both end."""
        self.standby.remove()
        self.primary.remove()

    def _states(self) -> list[tuple[object, ...]]:
        return self.primary.run("SELECT state, sync_state FROM pg_stat_replication")


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    """Two servers of our own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pair = Pair()
    yield pair
    pair.remove()


def keep_adding(
    engine: Engine, marks: Path, acknowledged: list[int], over: threading.Event
) -> None:
    """Add jobs again and again, and note those that were acknowledged."""
    while not over.is_set():
        jobs = [engine.new_job(evidence.command(marks, "sleep 0.05"), max_retries=3)] * 3
        with suppress(StorageError):
            acknowledged += [added.id for added in engine.add_many(jobs)]
        over.wait(0.1)


def test_nothing_acknowledged_is_lost_with_a_synchronous_standby(
    pair: Pair, tmp_path: Path
) -> None:
    pair.synchronous()
    marks, over = tmp_path / "evidence", threading.Event()
    acknowledged: list[int] = []
    with open_engine(pair.url, timeout=30.0) as engine, open_engine(pair.url) as adder:
        options = PoolOptions(pair.url, workers=2, name="one", detached=True, backoff_cap=0.05)
        start_detached(options)
        load = threading.Thread(target=keep_adding, args=(adder, marks, acknowledged, over))
        load.start()
        until(lambda: len(evidence.read(marks)) > 20)

        pair.fail_over()
        before = len(acknowledged)
        until(lambda: len(acknowledged) > before + 10, timeout=40)
        over.set()
        load.join()

        until(lambda: all(job.stored in FINAL for job in engine.jobs()), timeout=60)
        evidence.check(engine, acknowledged, marks)
        results = {a.result for job in acknowledged for a in engine.attempts(job)}
        assert results == {"completed"}, "a job was ended though its lease lived"
        stop_pools(engine)


def test_an_asynchronous_standby_may_lose_the_last_moments_and_doubles_nothing(
    pair: Pair, tmp_path: Path
) -> None:
    marks, over = tmp_path / "evidence", threading.Event()
    acknowledged: list[int] = []
    with open_engine(pair.url, timeout=30.0) as engine, open_engine(pair.url) as adder:
        for name in ("one", "two"):
            start_detached(
                PoolOptions(
                    pair.url, workers=2, name=name, detached=True, backoff_cap=0.05, lease=5.0
                )
            )
        load = threading.Thread(target=keep_adding, args=(adder, marks, acknowledged, over))
        load.start()
        until(lambda: len(evidence.read(marks)) > 20)
        safe = list(acknowledged)
        pair.catch_up()
        pair.fall_behind()
        known, begun = len(acknowledged), len(evidence.read(marks))
        until(lambda: len(acknowledged) > known and len(evidence.read(marks)) > begun + 6)

        pair.fail_over()
        before = len(acknowledged)
        until(lambda: len(acknowledged) > before + 10, timeout=40)
        over.set()
        load.join()

        until(lambda: all(job.stored in FINAL for job in engine.jobs()), timeout=60)
        stop_pools(engine)
        kept = {job.id for job in engine.jobs()}
        # Of what was added while it was cut off nothing is promised. Numbers are given again.
        assert {*safe, *acknowledged[before + 3 :]} <= kept
        evidence.check_tokens(engine, marks)


def test_what_an_asynchronous_standby_never_heard_of_cannot_settle_anything(pair: Pair) -> None:
    """The numbers are the same again there; the tokens are not."""
    with closing(PostgresRepository.open(pair.url, timeout=30.0)) as repo:
        drive = Driver(repo)
        job = drive.add("true")
        pair.catch_up()
        pair.fall_behind()
        forgotten = drive.claim()
        lost = drive.add("acknowledged by the primary alone")

        pair.fail_over()
        assert not drive.exists(lost), "that is what asynchronous means; doctor says so"
        again = drive.claim()

        assert (again.attempt.job, again.attempt.number) == (
            forgotten.attempt.job,
            forgotten.attempt.number,
        )
        assert drive.end(forgotten, Exited(0)) is Verdict.LOST
        assert drive.get(job).stored is State.PROCESSING
        assert drive.end(again, Exited(0)) is Verdict.SETTLED
