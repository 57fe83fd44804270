"""Files of every earlier schema open, become the present one, and lose nothing on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from queuectl_engine import Engine, JobState, open_engine
from queuectl_engine.errors import StorageError
from queuectl_engine.job import State
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.sqlite import copying, schema
from tests.durability.golden.files import golden
from tests.pools import stop_pools
from tests.waiting import until

EARLIER = range(1, schema.VERSION)


def look(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
        return db.execute(sql).fetchall()


def tables(path: Path) -> set[tuple[Any, ...]]:
    """Every object of the schema, written in one way."""
    rows = look(path, "SELECT type, name, tbl_name, sql FROM sqlite_schema")
    return {(*row, " ".join(sql.split()) if sql else None) for *row, sql in rows}


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    path = tmp_path / "fresh.db"
    open_repository(str(path), create=True).close()
    return path


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_file_becomes_what_a_fresh_one_is(
    tmp_path: Path, fresh: Path, version: int
) -> None:
    path = golden(version, tmp_path / "queue.db")
    assert look(path, "PRAGMA user_version") == [(version,)]

    open_repository(str(path)).close()

    assert tables(path) == tables(fresh)
    for what in ("user_version", "application_id", "auto_vacuum", "journal_mode", "page_size"):
        assert look(path, f"PRAGMA {what}") == look(fresh, f"PRAGMA {what}")
    allowed = "SELECT min_reader, min_writer FROM meta"
    assert look(path, allowed) == look(fresh, allowed)
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_file_keeps_every_row(tmp_path: Path, version: int) -> None:
    path = golden(version, tmp_path / "queue.db")
    names = [name for kind, name, *_ in tables(path) if kind == "table" and name != "meta"]
    columns = {
        name: ", ".join(column for _, column, *_ in look(path, f"PRAGMA table_info({name})"))
        for name in names
    }
    columns["pool"] = columns["pool"].replace("stop, ", "")  # pools that run are asked to stop
    before = {name: look(path, f"SELECT {columns[name]} FROM {name}") for name in names}
    assert {row[2] for row in before["job"]} == set(State)

    open_repository(str(path)).close()

    after = {name: look(path, f"SELECT {columns[name]} FROM {name}") for name in names}
    assert after == before


@pytest.mark.parametrize("version", EARLIER)
def test_a_copy_from_before_the_upgrade_stays_beside_it(tmp_path: Path, version: int) -> None:
    path = golden(version, tmp_path / "queue.db")
    jobs = look(path, "SELECT id, state, command FROM job")

    open_repository(str(path)).close()
    open_repository(str(path)).close()

    (copy,) = tmp_path.glob("queue.db.*")
    assert copy.name.startswith(f"queue.db.before-format-{schema.VERSION}-")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert look(copy, "PRAGMA user_version") == [(version,)]
    assert look(copy, "SELECT id, state, command FROM job") == jobs


def test_without_room_for_the_copy_nothing_is_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = golden(1, tmp_path / "queue.db")

    def full(path: str) -> None:
        raise StorageError("no space left")

    monkeypatch.setattr(copying, "fsync", full)
    with pytest.raises(StorageError, match="no space left"):
        open_repository(str(path))

    assert look(path, "PRAGMA user_version") == [(1,)]
    assert list(tmp_path.glob("queue.db.*")) == []


@pytest.mark.parametrize("version", EARLIER)
def test_an_upgrade_that_is_killed_before_any_statement_leaves_old_or_new(
    tmp_path: Path, fresh: Path, version: int
) -> None:
    old = golden(version, tmp_path / "old.db")
    jobs = look(old, "SELECT id, state, command FROM job")

    subprocess.run(
        [sys.executable, "-m", "tests.durability.killed", str(version), str(tmp_path)], check=True
    )

    killed = sorted(directory / "queue.db" for directory in tmp_path.glob("[0-9]*"))
    assert len(killed) > 40
    seen: list[int] = []
    for path in killed:
        with closing(apsw.Connection(str(path))) as db:  # recovers, as whoever comes next does
            number = int(str(db.pragma("user_version")))
            assert db.pragma("integrity_check") == "ok"
        seen.append(number)
        assert tables(path) == tables(fresh if number == schema.VERSION else old)
        open_repository(str(path)).close()
        assert tables(path) == tables(fresh)
        assert look(path, "SELECT id, state, command FROM job") == jobs
    assert seen == sorted(seen)
    assert set(seen) == {version, schema.VERSION}


# -- while a pool runs


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A database with a pool of this version."""
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        start_detached(PoolOptions(engine.database.location, workers=1, name="p", detached=True))
        yield engine
        stop_pools(engine)


def newer(engine: Engine, oldest_writer: int, *args: str) -> subprocess.CompletedProcess[str]:
    """Run a command of a later version on the engine's database."""
    program = [sys.executable, "-m", "tests.durability.newer", str(oldest_writer)]
    line = [*program, "--db", engine.database.location, *args]
    return subprocess.run(line, capture_output=True, text=True)


def test_a_pool_takes_nothing_more_after_an_upgrade_and_ends_when_its_jobs_have(
    engine: Engine, tmp_path: Path
) -> None:
    door = tmp_path / "door"
    running = engine.add(f"until test -e {door}; do sleep 0.05; done; echo through")
    until(lambda: engine.get(running.id).state is JobState.PROCESSING)
    waiting = engine.add("true")
    pool = engine.find_pool("p")

    done = newer(engine, schema.VERSION, "add", "of the newer program")

    assert done.returncode == 0, done.stderr
    door.touch()
    until(lambda: not any(other.alive for other in engine.pools()))
    assert engine.get(running.id).state is JobState.COMPLETED
    assert engine.output(running.id)[0].pieces[0].data == b"through\n"
    assert engine.get(waiting.id).state is JobState.PENDING
    until(lambda: "stopped " in Path(pool.log).read_text())
    assert "a newer queuectl has upgraded the database" in Path(pool.log).read_text()
    assert engine.add("of the older program").id == 4  # as min_writer allows


def test_an_upgrade_that_a_running_pool_cannot_stand_is_refused_until_it_has_ended(
    engine: Engine,
) -> None:
    location = engine.database.location
    pool = engine.find_pool("p")

    refusal = newer(engine, schema.VERSION + 1, "status")

    assert refusal.returncode == 1
    assert refusal.stderr.count("\n") == 1
    assert f"pool p of an older queuectl runs and could not use {location}" in refusal.stderr
    assert f"kill -TERM {pool.pid}" in refusal.stderr
    job = engine.add("true")
    until(lambda: engine.get(job.id).state is JobState.COMPLETED)

    os.kill(pool.pid, signal.SIGTERM)
    until(lambda: not engine.pools())
    assert newer(engine, schema.VERSION + 1, "status").returncode == 0
    with pytest.raises(StorageError, match="written by a newer queuectl"):
        engine.add("true")
