"""A restore takes a backup back whole or not at all, and nothing that was there is lost by it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from queuectl_engine import (
    Engine,
    JobState,
    NotAQueue,
    StorageBusy,
    StorageDamaged,
    StorageError,
    StorageMoved,
    UnsafeStorage,
    open_engine,
    restore,
)
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.repository import open_repository, restore_database
from queuectl_engine.repository.sqlite import copying, schema, watch
from tests.durability.golden.files import golden
from tests.pools import stop_pools
from tests.repository.driver import Driver
from tests.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    with open_engine(path, create=True) as engine:
        yield engine
        stop_pools(engine)


@pytest.fixture
def backup(engine: Engine, tmp_path: Path) -> Path:
    """A backup with job 1; in the database there is job 2 as well."""
    engine.add("in the backup", max_retries=0)
    engine.backup(tmp_path / "backup.db")
    engine.add("later")
    return tmp_path / "backup.db"


def raw(path: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(apsw.Connection(str(path))) as db:
        return db.execute(sql).fetchall()


def commands(engine: Engine) -> list[str]:
    return [job.command for job in engine.jobs()]


def test_the_database_holds_what_the_backup_holds_and_the_rest_is_kept(
    engine: Engine, path: Path, backup: Path
) -> None:
    before = backup.read_bytes()

    done = restore(path, backup)

    assert commands(engine) == ["in the backup"]  # seen by whoever had it open all the time
    assert done.kept is not None
    assert (done.before, done.jobs) == (
        {**dict.fromkeys(JobState, 0), JobState.PENDING: 2},
        {**dict.fromkeys(JobState, 0), JobState.PENDING: 1},
    )
    with open_engine(done.kept) as kept:
        assert commands(kept) == ["in the backup", "later"]
    assert os.stat(done.kept).st_mode & 0o777 == 0o600
    assert backup.read_bytes() == before
    assert sorted(p.name for p in path.parent.glob("backup*")) == ["backup.db"]
    assert list(path.parent.glob("*.tmp")) == []
    assert raw(path, "PRAGMA integrity_check") == [("ok",)]
    with pytest.raises(StorageMoved, match="was restored from a backup"):
        engine.add("of one who saw other jobs")
    with open_engine(path) as again:
        assert again.add("next").id == 3  # ids that were given out since are not given out again


def test_the_generation_grows_with_every_restore(engine: Engine, path: Path, backup: Path) -> None:
    generations = [restore(path, backup).generation for _ in range(3)]

    assert generations == [2, 3, 4]
    assert raw(path, "SELECT generation FROM meta") == [(4,)]
    assert engine.identity() == raw(backup, "SELECT uuid FROM meta")[0][0]


def test_what_a_restore_kept_can_be_restored(engine: Engine, path: Path, backup: Path) -> None:
    kept = restore(path, backup).kept

    assert kept is not None
    restore(path, kept)

    assert commands(engine) == ["in the backup", "later"]


@pytest.mark.parametrize(
    ("retries", "cancelled", "state"),
    [(3, False, JobState.PENDING), (0, False, JobState.DEAD), (3, True, JobState.CANCELLED)],
)
def test_jobs_that_ran_when_the_backup_was_made_are_lost(
    tmp_path: Path, path: Path, retries: int, cancelled: bool, state: JobState
) -> None:
    with closing(open_repository(str(path), create=True)) as repo:
        drive = Driver(repo)
        job = drive.add(max_retries=retries)
        claim = drive.claim()
        if cancelled:
            drive.cancel(job)
        copying.copy(str(path), str(tmp_path / "backup.db"))

        done = restore_database(
            str(path), str(tmp_path / "backup.db"), user="ada", now=drive.now + timedelta(hours=1)
        )

        assert done.lost == {job.id: state}
        assert drive.get(job).state is state
        assert drive.results(job) == ["lost"]
        event = repo.events(job.id)[-1]
        assert (event.kind, event.user) == ("restored", "ada")
        assert repo.pools() == []
        assert repo.workers() == []
        with pytest.raises(StorageMoved):  # whoever ran it is too late
            drive.end(claim, Exited(0))
        assert drive.get(job).state is state


def test_jobs_that_waited_in_a_worker_when_the_backup_was_made_have_not_lost_a_try(
    tmp_path: Path, path: Path
) -> None:
    backup = tmp_path / "backup.db"
    with closing(open_repository(str(path), create=True)) as repo:
        drive = Driver(repo)
        jobs = [drive.add(max_retries=0) for _ in range(12)]
        drive.turn(room=1, ahead=2)
        copying.copy(str(path), str(backup))

        done = restore_database(str(path), str(backup), user="ada", now=drive.now)

        assert done.lost == {jobs[0].id: JobState.DEAD}
        states = [(drive.get(job).state, drive.get(job).attempts) for job in jobs[:4]]
        assert states == [(JobState.DEAD, 1)] + [(JobState.PENDING, 0)] * 3
        results = [drive.results(job) for job in jobs[:3]]
        assert results == [["lost"], ["not started"], ["not started"]]


def test_no_pool_may_run_meanwhile(engine: Engine, path: Path, backup: Path) -> None:
    start_detached(PoolOptions(str(path), workers=1, name="p", detached=True))
    until(lambda: engine.find_pool("p").running)
    before = commands(engine)

    with pytest.raises(StorageBusy, match="queuectl stop --pool p"):
        restore(path, backup)
    assert commands(engine) == before

    # A supervisor that died has left a worker that ends its job: that is enough.
    door = path.parent / "door"
    job = engine.add(f"until test -e {door}; do sleep 0.05; done", priority=9)
    until(lambda: engine.get(job.id).state is JobState.PROCESSING)
    pool = engine.find_pool("p")
    os.kill(pool.pid, signal.SIGKILL)
    until(lambda: not any(found.alive for found in engine.pools()))
    with pytest.raises(StorageBusy, match="pool p runs"):
        restore(path, backup)

    door.touch()
    until(lambda: not any(worker.alive for pool in engine.pools() for worker in pool.workers))
    restore(path, backup)
    assert commands(engine) == ["in the backup"]


def test_a_restored_database_runs_its_jobs(engine: Engine, path: Path, backup: Path) -> None:
    restore(path, backup)

    start_detached(PoolOptions(str(path), workers=1, name="p", detached=True))

    with open_engine(path) as again:
        assert again.wait(1, timeout=30)[0].runs > 0
        stop_pools(again)


def test_where_there_is_no_database_one_is_made(tmp_path: Path, backup: Path) -> None:
    fresh = tmp_path / "new" / "queue.db"

    done = restore(fresh, backup)

    assert (done.kept, done.before) == (None, None)
    assert os.stat(fresh).st_mode & 0o777 == 0o600
    with open_engine(fresh) as made:
        assert commands(made) == ["in the backup"]


def test_an_older_backup_is_upgraded(engine: Engine, path: Path, tmp_path: Path) -> None:
    old = golden(1, tmp_path / "old.db")
    ran = {job for (job,) in raw(old, "SELECT id FROM job WHERE state = 'processing'")}

    done = restore(path, old)

    assert done.upgraded_from == 1
    assert set(done.lost) == ran
    assert raw(path, "PRAGMA user_version") == [(schema.VERSION,)]
    assert raw(old, "PRAGMA user_version") == [(1,)]
    assert raw(path, "SELECT count(*) FROM job WHERE state = 'processing'") == [(0,)]


# -- what is no backup


def nothing(path: Path) -> None:
    """No file."""


def notes(path: Path) -> None:
    path.write_text("these are the notes of a person and no database\n" * 200)


def empty(path: Path) -> None:
    path.touch()


def other_program(path: Path) -> None:
    raw(path, "CREATE TABLE song (title TEXT)")


def of_a_newer_program(path: Path) -> None:
    open_repository(str(path), create=True).close()
    raw(path, "PRAGMA user_version = 99")


def damaged(path: Path) -> None:
    with closing(open_repository(str(path), create=True)) as repo:
        for _ in range(50):
            Driver(repo).add("x" * 500)
    raw(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    (root,) = raw(path, "SELECT rootpage FROM sqlite_schema WHERE name = 'job_waiting'")[0]
    with path.open("r+b") as file:
        file.seek((int(str(root)) - 1) * 4096)
        file.write(b"\x00" * 4096)


def cut_off(path: Path) -> None:
    damaged(path)
    os.truncate(path, path.stat().st_size // 2)


def writable_by_others(path: Path) -> None:
    open_repository(str(path), create=True).close()
    path.chmod(0o666)


@pytest.mark.parametrize(
    "make",
    [
        nothing,
        notes,
        empty,
        other_program,
        of_a_newer_program,
        damaged,
        cut_off,
        writable_by_others,
    ],
)
def test_what_is_no_backup_is_refused_and_nothing_changes(
    engine: Engine, path: Path, backup: Path, make: object
) -> None:
    bad = path.parent / "bad"
    make(bad)  # type: ignore[operator]
    before = commands(engine)

    with pytest.raises((NotAQueue, StorageError, UnsafeStorage)) as refusal:
        restore(path, bad)

    assert str(bad) in str(refusal.value)
    assert str(refusal.value).isprintable()
    assert commands(engine) == before
    assert [p.name for p in path.parent.glob("queue.db.*") if p.is_file()] == []


# -- over something that is broken


@pytest.mark.parametrize("with_log", [False, True])
@pytest.mark.parametrize("break_it", [notes, damaged, cut_off, empty])
def test_a_broken_database_is_replaced_and_kept_as_evidence(
    tmp_path: Path, backup: Path, break_it: object, with_log: bool
) -> None:
    there = tmp_path / "there" / "queue.db"
    there.parent.mkdir(mode=0o700)
    break_it(there)  # type: ignore[operator]
    there.chmod(0o600)
    if with_log:  # of another file: it would be taken for that of the new one
        with closing(open_repository(str(tmp_path / "other.db"), create=True)) as other:
            Driver(other).add("of another file")
            log = (tmp_path / "other.db-wal").read_bytes()
        Path(f"{there}-wal").write_bytes(log)
        Path(f"{there}-wal").chmod(0o600)

    done = restore(there, backup)

    with open_engine(there) as engine:
        assert commands(engine) == ["in the backup"]
        assert engine.add("true").id
    assert raw(there, "PRAGMA integrity_check") == [("ok",)]
    if done.kept is not None:
        assert not done.kept_whole or break_it is empty or with_log
        assert os.path.exists(done.kept)


def test_a_restored_file_is_never_taken_together_with_the_old_log(
    tmp_path: Path, backup: Path
) -> None:
    """The header is gone, but the log is whole: it would be played into whatever stands there."""
    there = tmp_path / "there" / "queue.db"
    there.parent.mkdir(mode=0o700)
    with open_engine(tmp_path / "old.db", create=True) as old:
        old.add("of the old file")
        raw(tmp_path / "old.db", "PRAGMA wal_checkpoint(TRUNCATE)")
        old.limit(5)  # the header is not in the log
        for suffix in ("", "-wal"):
            Path(f"{there}{suffix}").write_bytes(Path(f"{tmp_path}/old.db{suffix}").read_bytes())
            Path(f"{there}{suffix}").chmod(0o600)
    with there.open("r+b") as file:
        file.write(b"notes of a person" * 6)
    log = Path(f"{there}-wal").read_bytes()

    done = restore(there, backup)

    assert done.kept is not None
    assert not done.kept_whole
    assert Path(f"{done.kept}-wal").read_bytes() == log
    with open_engine(there) as engine:
        assert commands(engine) == ["in the backup"]
        assert engine.identity() == raw(backup, "SELECT uuid FROM meta")[0][0]
        assert engine.counts().max_running is None
    assert raw(there, "PRAGMA integrity_check") == [("ok",)]


def test_what_was_taken_for_damaged_is_used_again_after_a_restore(
    engine: Engine, path: Path, backup: Path
) -> None:
    watch.mark_damaged(str(path), "a page is not what it should be")
    with pytest.raises(StorageDamaged):
        engine.add("true")

    restore(path, backup)

    with open_engine(path) as again:
        assert again.add("true").id == 3


def test_a_database_of_another_program_is_not_replaced(tmp_path: Path, backup: Path) -> None:
    there = tmp_path / "songs.db"
    other_program(there)
    before = there.read_bytes()

    with pytest.raises(NotAQueue, match="another program"):
        restore(there, backup)

    assert there.read_bytes() == before


# -- others meanwhile, and kills


def test_a_job_that_is_added_meanwhile_is_in_what_is_kept_or_in_what_is_restored(
    engine: Engine, path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added between the look at the database and its replacement; nothing acknowledged is lost."""
    check = copying.inspect
    added: list[int] = []

    def inspect(db: object) -> object:
        if not added:
            added.append(engine.add("in between").id)
        return check(db)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "inspect", inspect)
    done = restore(path, backup)

    assert done.kept is not None
    with open_engine(done.kept) as kept:
        assert "in between" in commands(kept)
    with open_engine(path) as again:
        assert again.add("next").id == added[0] + 1


def test_a_writer_waits_for_the_restore_and_writes_into_what_came_of_it(
    engine: Engine, path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = copying.copy, []

    def copy(*args: object, **kwargs: object) -> object:
        with open_engine(path, timeout=0.05) as other:
            try:
                other.add("must wait")
            except StorageBusy as busy:
                failures.append(busy)
        return real(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(copying, "copy", copy)
    restore(path, backup)

    assert len(failures) == 1
    assert commands(engine) == ["in the backup"]


RESTORES = """
import os, signal, sys, itertools, pathlib
import apsw
from queuectl_engine import open_engine, restore
where, backup = map(pathlib.Path, sys.argv[1:])
for number in itertools.count(0, 5):
    (directory := where / f"{number:04}").mkdir(mode=0o700)
    if not (child := os.fork()):
        with open_engine(directory / "queue.db", create=True) as there:
            there.add("old")
        left = number
        def trace(*_):
            global left
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return True
        apsw.connection_hooks.append(lambda db: setattr(db, "exec_trace", trace))
        restore(directory / "queue.db", backup)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        sys.exit(os.WEXITSTATUS(status))
"""


def test_a_restore_that_is_killed_leaves_the_old_content_or_the_new(
    tmp_path: Path, backup: Path
) -> None:
    """Before every fifth statement; the write over the database is one call of SQLite's."""
    (where := tmp_path / "killed").mkdir()

    subprocess.run([sys.executable, "-c", RESTORES, str(where), str(backup)], check=True)

    seen = []
    for directory in sorted(where.iterdir()):
        with open_engine(directory / "queue.db") as there:
            seen += commands(there)
        assert raw(directory / "queue.db", "PRAGMA integrity_check") == [("ok",)]
    assert len(seen) > 20
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"old", "in the backup"}


def test_a_full_disk_stops_it_before_anything_changes(
    engine: Engine, path: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: str) -> None:
        raise StorageError("no space left")

    before = commands(engine)
    monkeypatch.setattr(copying, "fsync", full)

    with pytest.raises(StorageError, match="no space left"):
        restore(path, backup)

    assert commands(engine) == before
    assert engine.add("true").id
