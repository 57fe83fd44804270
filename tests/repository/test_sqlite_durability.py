"""What was acknowledged stays, whoever is killed, forks, fills the disk or holds the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace

import apsw
import pytest

from queuectl_engine.errors import ExitCode, StorageBusy, StorageError
from queuectl_engine.job import State, View
from queuectl_engine.repository import create_database, open_repository
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.repository.sqlite import connection
from tests.repository.driver import Driver
from tests.samples import NOON, new


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty database."""
    path = tmp_path / "queue.db"
    create_database(str(path))
    return path


@contextmanager
def opened(path: Path, *, worker: bool = False) -> Iterator[tuple[JobRepository, apsw.Connection]]:
    """A repository, and the connection below it."""
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    try:
        repo = open_repository(str(path), timeout=0.05, worker=worker)
    finally:
        apsw.connection_hooks.remove(connections.append)
    with closing(repo):
        yield repo, connections[-1]


# -- locks


def test_a_lock_that_another_process_keeps_is_busy_not_broken(path: Path) -> None:
    holder = apsw.Connection(str(path))
    with opened(path) as (repo, _), closing(holder):
        driver = Driver(repo)
        job = driver.add()
        holder.execute("BEGIN IMMEDIATE")

        with pytest.raises(StorageBusy, match="try again") as refused:
            driver.add()
        assert refused.value.exit_code is ExitCode.BUSY
        with pytest.raises(StorageBusy):
            driver.claim()
        assert driver.get(job) == job  # readers do not wait for writers

        holder.execute("ROLLBACK")
        assert driver.claimed() == [job.id]
        assert repo.counts().of(State.PROCESSING) == 1


@pytest.mark.parametrize("moves", [True, False], ids=["others write", "it is held"])
def test_who_waits_long_looks_oftener_unless_the_lock_is_held(
    path: Path, monkeypatch: pytest.MonkeyPatch, moves: bool
) -> None:
    pauses: list[float] = []
    log = Path(f"{path}-wal")

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.now += seconds
        if moves:
            os.utime(log, (clock.now, clock.now))

    holder = apsw.Connection(str(path))
    with opened(path) as (repo, _), closing(holder):
        holder.execute("BEGIN IMMEDIATE")
        clock = Clock(monkeypatch, sleep)
        with pytest.raises(StorageBusy):
            repo.add([new()], now=NOON)

    assert (pauses[-1] < pauses[0] / 4) == moves
    assert (len(pauses) < 60) != moves


def test_a_transaction_that_was_refused_leaves_no_lock_behind(path: Path) -> None:
    with opened(path) as (one, _), opened(path) as (two, _):
        with pytest.raises(Exception, match="job 999"):
            one.delete([999], user="ada", now=NOON)

        assert two.add([new()], now=NOON)


def test_a_window_that_was_read_pins_no_log(path: Path) -> None:
    with opened(path) as (reader, db), opened(path) as (writer, _):
        writer.add([new() for _ in range(50)], now=NOON)
        reader.page(View.ALL, limit=3)
        reader.output(1, 1)
        reader.queues()

        assert not db.in_transaction
        assert db.txn_state("main") == apsw.SQLITE_TXN_NONE


def test_a_closed_repository_says_so(path: Path) -> None:
    with opened(path) as (repo, _):
        repo.close()

        with pytest.raises(StorageError, match="closed"):
            repo.counts()
        with pytest.raises(StorageError, match="closed"):
            repo.add([new()], now=NOON)
        repo.close()  # closing twice is harmless


def test_a_full_disk_refuses_and_heals(path: Path) -> None:
    with opened(path) as (repo, db):
        repo.add([new()], now=NOON)
        db.pragma("max_page_count", db.pragma("page_count") + 2)

        with pytest.raises(StorageError, match="no space"):
            repo.add([new("x" * 10_000) for _ in range(50)], now=NOON)
        assert repo.counts().of(State.READY) == 1

        db.pragma("max_page_count", 1_000_000)
        repo.add([new("x" * 10_000)], now=NOON)
        assert repo.counts().of(State.READY) == 2


# -- what is on disk when


class Clock:
    """Stands in for `time` in the module that decides when to sync."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, sleep: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self.now = 100.0
        fake = SimpleNamespace(monotonic=lambda: self.now, sleep=sleep)
        monkeypatch.setattr(connection, "time", fake)


FULL, NORMAL = 2, 1


def test_what_people_do_is_on_disk_before_it_is_acknowledged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    with opened(path) as (repo, db):
        for _ in range(3):
            repo.add([new()], now=NOON)
            assert db.pragma("synchronous") == FULL
            clock.now += 0.1


def test_a_worker_syncs_once_a_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with opened(path, worker=True) as (repo, db):
        driver = Driver(repo)
        repo.add([new() for _ in range(9)], now=NOON)
        modes = []
        for wait in (2.0, 0.4, 0.4, 0.4, 0.1):
            clock.now += wait
            driver.claim()
            modes.append(db.pragma("synchronous"))

        assert modes == [FULL, NORMAL, NORMAL, FULL, NORMAL]


def test_a_worker_that_fell_quiet_syncs_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    with opened(path, worker=True) as (repo, db):
        driver = Driver(repo)
        repo.add([new(), new()], now=NOON)
        clock.now += 2
        driver.claim()
        clock.now += 0.5
        driver.claim()

        def syncs() -> bool:
            before = db.total_changes()
            repo.sync_if_due(driver.worker, now=NOON)
            return db.total_changes() > before and db.pragma("synchronous") == FULL

        assert not syncs()  # the last sync is half a second ago
        clock.now += 0.6
        assert syncs()
        clock.now += 9
        assert not syncs()  # nothing was committed since


def test_with_full_durability_a_worker_syncs_every_commit(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_database(str(path), durability="full")
    clock = Clock(monkeypatch)
    with opened(path, worker=True) as (repo, db):
        driver = Driver(repo)
        repo.add([new() for _ in range(3)], now=NOON)
        for _ in range(3):
            clock.now += 0.1
            driver.claim()
            assert db.pragma("synchronous") == FULL


# -- crashes and forks, in processes of their own

ADD_FOR_EVER = """
import sys
from datetime import UTC, datetime
from queuectl_engine import open_engine

with open_engine(sys.argv[1]) as engine:
    context = engine.context()
    while True:
        jobs = [engine.new_job("true", context) for _ in range(int(sys.argv[2]))]
        print(*(added.id for added in engine.add_many(jobs)), flush=True)
"""


@pytest.mark.parametrize("size", [1, 40])
def test_sigkill_loses_no_job_that_was_acknowledged(path: Path, size: int) -> None:
    adder = subprocess.Popen(
        [sys.executable, "-c", ADD_FOR_EVER, str(path), str(size)], stdout=subprocess.PIPE
    )
    assert adder.stdout is not None
    acknowledged = [adder.stdout.readline() for _ in range(25)]
    adder.send_signal(signal.SIGKILL)
    rest, _ = adder.communicate()
    lines = [*acknowledged, *rest.splitlines(keepends=True)]
    ids = {int(number) for line in lines if line.endswith(b"\n") for number in line.split()}

    with opened(path) as (repo, db):
        assert len(ids) >= 25 * size
        assert set(repo.get(ids)) == ids
        ready = repo.counts().of(State.READY)
        assert ready % size == 0  # a transaction is there whole or not at all
        assert ready - len(ids) in (0, size)  # stored, and killed before it could say so
        assert db.pragma("integrity_check") == "ok"


def test_sigkill_of_a_lock_holder_frees_the_lock(path: Path) -> None:
    script = (
        "import apsw, sys, time; db = apsw.Connection(sys.argv[1]);"
        "db.execute('BEGIN IMMEDIATE'); db.execute(\"UPDATE meta SET generation = 99\");"
        "print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with opened(path) as (repo, db):
        with pytest.raises(StorageBusy):
            repo.add([new()], now=NOON)
        holder.kill()
        holder.communicate()

        assert repo.add([new()], now=NOON)
        assert db.execute("SELECT generation FROM meta").fetchall() == [(1,)]


FORK = """
import os, sys
from datetime import UTC, datetime
from queuectl_engine import UsedAfterFork, open_engine

engine = open_engine(sys.argv[1])
job = engine.add("true")
child = os.fork()
if not child:
    seen = []
    for use in (
        lambda: engine.get(job.id), lambda: engine.add("true"), engine.counts, engine.changed,
        lambda: engine.page("all", limit=1),
    ):
        try:
            use()
        except UsedAfterFork as error:
            seen.append(str(error).isprintable())
    engine.close()  # harmless, and does not touch the parent's locks
    os._exit(0 if seen == [True] * 5 else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert engine.add("true").id == job.id + 1
engine.close()
"""

FORK_WHILE_A_THREAD_WAITS = """
import os, signal, sys, threading, time
import apsw
from queuectl_engine import UsedAfterFork, open_engine

engine = open_engine(sys.argv[1])
holder = apsw.Connection(sys.argv[1])
holder.execute("BEGIN IMMEDIATE")
waiting, sleep = threading.Event(), time.sleep
time.sleep = lambda seconds: (waiting.set(), sleep(seconds))
thread = threading.Thread(target=lambda: engine.add("true"))
thread.start()
waiting.wait()  # the thread holds the engine and waits for the database
child = os.fork()
if not child:
    signal.alarm(20)
    try:
        engine.add("true")
    except UsedAfterFork:
        os._exit(0)
    os._exit(1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
holder.execute("ROLLBACK")
thread.join()
engine.close()
"""


@pytest.mark.parametrize("script", [FORK, FORK_WHILE_A_THREAD_WAITS], ids=["idle", "busy"])
def test_a_forked_child_is_refused_and_the_parent_goes_on(path: Path, script: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", script, str(path)]

    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
