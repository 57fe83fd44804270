"""A backup is one moment of a database in use, complete before it has its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from queuectl_engine import Engine, JobState, QueuectlError, State, StorageError, open_engine
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.repository import copy_database, open_repository
from queuectl_engine.repository.sqlite import copying
from tests.pools import stop_pools
from tests.repository.driver import Driver
from tests.waiting import until


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        yield engine
        stop_pools(engine)


def raw(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(apsw.Connection(str(path))) as db:
        return db.execute(sql).fetchall()


def test_it_is_a_database_that_can_be_used_as_it_is(engine: Engine, tmp_path: Path) -> None:
    jobs = [engine.add(f"echo {number}", key=f"k{number}", labels=["all"]) for number in range(3)]

    made = engine.backup(tmp_path / "copy.db")

    assert made.jobs[JobState.PENDING] == 3
    assert (made.path, made.size) == (str(tmp_path / "copy.db"), os.stat(made.path).st_size)
    assert sorted(p.name for p in tmp_path.glob("copy*")) == ["copy.db"]
    assert os.stat(made.path).st_mode & 0o777 == 0o600
    assert raw(tmp_path / "copy.db", "PRAGMA journal_mode") == [("wal",)]
    with open_engine(made.path) as copy:
        assert [copy.get(job.id) for job in jobs] == jobs
        assert copy.add("true").id == 4
    assert engine.counts().of(JobState.PENDING) == 3


def test_it_is_one_moment_while_others_write_and_no_one_waits_for_it(
    engine: Engine, tmp_path: Path
) -> None:
    """Two jobs a transaction: every copy holds an even number of them."""
    done = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        try:
            with open_engine(engine.database, timeout=0.5) as other:
                while not done.is_set():
                    other.add_many([other.new_job("true"), other.new_job("true")])
        except BaseException as failure:
            failures.append(failure)

    writer = threading.Thread(target=write)
    writer.start()
    counts = []
    for number in range(5):
        before = engine.counts().of(JobState.PENDING)
        made = engine.backup(tmp_path / f"{number}.db")
        counts.append(made.jobs[JobState.PENDING])
        assert before <= counts[-1] <= engine.counts().of(JobState.PENDING)
        assert raw(tmp_path / f"{number}.db", "SELECT count(*) FROM job") == [(counts[-1],)]
    done.set()
    writer.join()

    assert failures == []
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]


def test_a_pool_of_the_copy_leaves_the_jobs_of_the_original_alone(
    engine: Engine, tmp_path: Path
) -> None:
    """In the copy the job runs, too, and its worker is dead: what it left must not be killed."""
    door = tmp_path / "door"
    job = engine.add(f"until test -e {door}; do sleep 0.05; done")
    start_detached(PoolOptions(engine.database.location, workers=1, name="p", detached=True))
    until(lambda: engine.get(job.id).state is JobState.PROCESSING)
    until(lambda: raw(tmp_path / "queue.db", "SELECT leader_pid FROM attempt")[0][0])

    made = engine.backup(tmp_path / "copy.db")

    with open_engine(made.path) as copy:
        assert copy.get(job.id).state is JobState.PROCESSING
        start_detached(PoolOptions(made.path, workers=0, name="p", detached=True))
        until(lambda: copy.get(job.id).state is JobState.PENDING)
        assert copy.attempts(job.id)[0].result == "lost"
        copy.delete(job.id)
        stop_pools(copy)
    door.touch()
    assert engine.wait(job.id, timeout=30)[0].state is JobState.COMPLETED
    assert len(engine.attempts(job.id)) == 1


@pytest.mark.parametrize("force", [False, True])
def test_what_must_not_be_replaced_is_not(engine: Engine, tmp_path: Path, force: bool) -> None:
    other = tmp_path / "other.db"
    with open_engine(other, create=True) as in_use:
        in_use.add("true")
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "nothing")

        for target in ("queue.db", "other.db", "link", ".", "no/such/directory"):
            with pytest.raises(QueuectlError):
                engine.backup(tmp_path / target, force=force)

        assert in_use.get(1).state is JobState.PENDING
    assert list(tmp_path.glob("*.tmp")) == []


def test_a_file_is_replaced_only_when_asked(engine: Engine, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("notes")

    with pytest.raises(QueuectlError, match=r"exists; .*--force"):
        engine.backup(target)
    assert target.read_text() == "notes"

    engine.backup(target, force=True)
    assert raw(target, "PRAGMA integrity_check") == [("ok",)]


def test_a_damaged_database_makes_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with closing(open_repository(str(path), create=True)) as repo:
        drive = Driver(repo)
        for _ in range(50):
            drive.add("x" * 500)
    raw(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    (root,) = raw(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'job_waiting'")[0]
    with path.open("r+b") as file:
        file.seek((int(str(root)) - 1) * 4096)
        file.write(b"\x00" * 4096)

    with pytest.raises(StorageError, match="damaged"):
        copy_database(str(path), str(tmp_path / "copy.db"))

    assert sorted(p.name for p in tmp_path.glob("copy*")) == []


def test_wrong_counts_make_no_backup(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with closing(open_repository(str(path), create=True)) as repo:
        Driver(repo).job_in(State.COMPLETED)
    raw(path, "UPDATE counter SET n = n + 1")

    with pytest.raises(StorageError, match="--recount"):
        copy_database(str(path), str(tmp_path / "copy.db"))


@pytest.mark.parametrize("step", ["inspect", "fsync", "replace"])
def test_a_backup_that_is_killed_leaves_nothing_under_its_name(tmp_path: Path, step: str) -> None:
    """At each step the name is free or the file is whole; only the last step gives it the name."""
    path, target = tmp_path / "queue.db", tmp_path / "copy.db"
    with closing(open_repository(str(path), create=True)) as repo:
        Driver(repo).add("true")
    script = (
        "import os, signal, sys; from queuectl_engine.repository.sqlite import copying\n"
        "def die(*args): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"setattr(copying.os if {step!r} == 'replace' else copying, {step!r}, die)\n"
        "copying.copy(sys.argv[1], sys.argv[2])"
    )

    killed = subprocess.run([sys.executable, "-c", script, str(path), str(target)], check=False)

    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    assert copying.copy(str(path), str(target)).path == str(target)


def test_the_file_is_on_disk_before_it_has_its_name_and_the_name_before_we_say_so(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    sync, replace = os.fsync, os.replace

    def fsync(descriptor: int) -> None:
        told.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")))
        sync(descriptor)

    def renamed(old: str, new: str) -> None:
        told.append(f"renamed to {os.path.basename(new)}")
        replace(old, new)

    monkeypatch.setattr("os.fsync", fsync)
    monkeypatch.setattr("os.replace", renamed)
    engine.backup(tmp_path / "copy.db")

    assert told[0].startswith("copy.db.")
    assert told[1:] == ["renamed to copy.db", tmp_path.name]


def test_finished_history_is_in_it(engine: Engine, tmp_path: Path) -> None:
    with closing(open_repository(engine.database.location)) as repo:
        drive = Driver(repo)
        drive.add("make", labels=["ci"])
        job = drive.run(Exited(0))

    made = engine.backup(tmp_path / "copy.db")

    with open_engine(made.path) as copy:
        assert copy.attempts(job.id) == engine.attempts(job.id)
        assert copy.labels() == engine.labels()
