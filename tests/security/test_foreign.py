"""A database from elsewhere runs nothing until it is trusted, and nothing by being opened."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from queuectl_engine import (
    JobState,
    PoolRefused,
    QueuectlError,
    StorageError,
    UnsafeStorage,
    open_engine,
)
from queuectl_engine.engine import Engine
from queuectl_engine.repository import create_database
from queuectl_engine.repository.sqlite import upkeep
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_tui import acts
from tests.cli.program import Program
from tests.pools import stop_pools
from tests.security.in_process import call, one_clear_line
from tests.waiting import until

OTHER_USER = "UPDATE meta SET owner = owner + 1"
OTHER_MACHINE = "UPDATE meta SET machine = 'another'"
NO_MACHINE = "UPDATE meta SET machine = ''"
has_an_id = pytest.mark.skipif(not upkeep.machine_id(), reason="this machine has no id")


def alter(database: Path, *statements: str) -> None:
    """Change a file as another program would."""
    with closing(apsw.Connection(str(database))) as db:
        for statement in statements:
            db.execute(statement).fetchall()


@pytest.fixture
def database(queuectl: Program) -> Path:
    """A queue with a job, a due schedule and hooks; each of them would leave a mark."""
    path = queuectl.directory / "queue.db"
    with open_engine(path) as engine:
        here = engine.context(cwd=str(queuectl.directory))
        engine.add("touch job", context=here, max_retries=0, on_completed="touch own")
        engine.add_schedule("* * * * *", engine.new_job("touch schedule", here))
        engine.set_hook("default", "on_completed", "touch hook", context=here)
    alter(path, "UPDATE schedule SET next_ms = 1")
    return path


def marks(queuectl: Program) -> set[str]:
    return {entry.name for entry in queuectl.directory.iterdir() if "queue.db" not in entry.name}


def foreground(queuectl: Program, engine: Engine) -> str:
    return queuectl("worker", "--drain", code=1).err


def detached(queuectl: Program, engine: Engine) -> str:
    return queuectl("worker", "--detach", code=1).err


def from_python(queuectl: Program, engine: Engine) -> str:
    with pytest.raises(PoolRefused) as refusal:
        engine.start_pool()
    return str(refusal.value)


def plus(queuectl: Program, engine: Engine) -> str:
    with pytest.raises(PoolRefused) as refusal:
        acts.start_pool()(engine)
    return str(refusal.value)


DOORS = [foreground, detached, from_python, plus]


@pytest.mark.parametrize(
    ("door", "elsewhere", "why"),
    [
        *[(door, OTHER_USER, "another user") for door in DOORS],
        pytest.param(from_python, OTHER_MACHINE, "another machine", marks=has_an_id),
        pytest.param(from_python, NO_MACHINE, "another machine", marks=has_an_id),
    ],
)
def test_it_runs_nothing_by_any_door(
    queuectl: Program,
    database: Path,
    engine: Engine,
    door: Callable[[Program, Engine], str],
    elsewhere: str,
    why: str,
) -> None:
    alter(database, elsewhere)

    told = door(queuectl, engine)

    assert why in told
    assert "initdb --trust" in told
    assert "no pool" in queuectl("scale", "+1", code=1).err
    assert marks(queuectl) == set()
    assert [job.state for job in engine.jobs()] == [JobState.PENDING]


def test_what_is_trusted_runs(queuectl: Program, database: Path, engine: Engine) -> None:
    alter(database, OTHER_USER)
    queuectl("worker", "--drain", code=1)

    queuectl("initdb", "--trust")
    queuectl("worker", "--detach")

    until(lambda: marks(queuectl) == {"job", "own", "hook", "schedule"})


@has_an_id
def test_a_copy_of_a_file_keeps_who_made_it(queuectl: Program, database: Path) -> None:
    """What is restored or sent comes with its mark."""
    alter(database, OTHER_MACHINE, "PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copy(database, queuectl.directory / "queue.db.copy")
    (queuectl.directory / "queue.db.copy").chmod(0o600)

    told = queuectl("--db", "queue.db.copy", "worker", "--drain", code=1)

    assert "another machine" in told.err


@has_an_id
def test_what_is_restored_keeps_who_made_it(queuectl: Program, database: Path) -> None:
    queuectl("backup", "copy.db")
    alter(queuectl.directory / "copy.db", OTHER_MACHINE)

    queuectl("restore", "copy.db", "--db", "back.db", "--yes")

    assert "another machine" in queuectl("--db", "back.db", "worker", "--drain", code=1).err


# -- what stands in it


def plain_connection(path: Path) -> Connection:
    return Connection(str(path), timeout=1)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT load_extension('libm.so.6')",
        "ATTACH ':memory:' AS other",
        "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'x'",
        "SELECT writefile('owned', 'x')",
        "SELECT edit('x', 'touch owned')",
    ],
)
def test_our_connection_does_nothing_but_sql(
    queuectl: Program, database: Path, statement: str
) -> None:
    with closing(plain_connection(database)) as db:
        with pytest.raises(StorageError):
            db.run(statement)
        assert db.value("PRAGMA trusted_schema") == 0
    assert marks(queuectl) == set()


PLANTED = {
    "trigger": (
        "CREATE TRIGGER planted AFTER INSERT ON job BEGIN SELECT load_extension('libm.so.6'); END"
    ),
    "rewriting trigger": (
        "CREATE TRIGGER planted AFTER INSERT ON job BEGIN"
        " UPDATE job SET command = 'touch owned' WHERE id = new.id; END"
    ),
    "view": "CREATE VIEW planted AS SELECT load_extension('libm.so.6')",
    "table": "CREATE TABLE planted (a, b AS (hex(a)))",
    "index": "CREATE INDEX planted ON job (upper(command))",
}


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("read_only", [False, True])
def test_a_foreign_file_with_more_in_it_than_ours_is_refused(
    database: Path, what: str, read_only: bool
) -> None:
    alter(database, PLANTED[what])
    open_engine(database).close()  # one of our own may be changed by hand
    alter(database, OTHER_USER)

    with pytest.raises(UnsafeStorage, match=r"not as queuectl makes it.*planted"):
        open_engine(database, read_only=read_only)


@pytest.mark.parametrize(
    "change",
    [
        ["DROP TRIGGER job_counted"],
        ["DROP INDEX job_due", "CREATE INDEX job_due ON job (id, run_at_ms)"],
        ["ALTER TABLE queue ADD COLUMN more TEXT"],
    ],
)
def test_a_foreign_file_with_other_things_than_ours_is_refused(
    database: Path, change: list[str]
) -> None:
    alter(database, OTHER_USER, *change)

    with pytest.raises(UnsafeStorage, match="not as queuectl makes it"):
        open_engine(database)


def test_a_foreign_file_as_we_make_it_is_looked_at(database: Path) -> None:
    alter(database, OTHER_USER, "ANALYZE")

    with open_engine(database) as engine:
        assert engine.get(1).command == "touch job"


def test_a_foreign_file_of_a_newer_version_cannot_be_checked(database: Path) -> None:
    alter(database, OTHER_USER, "PRAGMA user_version = 99")

    with pytest.raises(UnsafeStorage, match="pip install --upgrade"):
        open_engine(database)


@pytest.mark.parametrize(
    "change",
    [
        ["DELETE FROM meta"],
        ["DROP TABLE meta", "CREATE VIEW meta AS SELECT 1 AS owner, '' AS machine"],
        [
            "DROP TABLE meta",
            "CREATE VIEW meta AS WITH RECURSIVE n(owner) AS (SELECT 1 UNION ALL SELECT owner + 1"
            " FROM n) SELECT owner, '' AS machine, 1 AS min_writer, 'full' AS durability FROM n",
        ],
        ["DROP TABLE meta", "CREATE TABLE meta (owner, machine)"],
        ["DROP TABLE queue"],
    ],
)
def test_a_file_that_is_not_what_it_says_is_one_clear_error(
    database: Path, change: list[str]
) -> None:
    """Also one that never ends."""
    alter(database, "PRAGMA foreign_keys = OFF", *change)

    told = call("--db", str(database), "status")

    assert told.code == 1
    assert one_clear_line(told)


def test_our_own_file_with_a_planted_trigger_calls_nothing(database: Path) -> None:
    """Whoever planted it could as well have added a job; but SQLite itself is no tool for them."""
    alter(database, PLANTED["trigger"])

    with open_engine(database) as engine, pytest.raises(QueuectlError):
        engine.add("true")

    with open_engine(database) as engine:
        assert len(list(engine.jobs())) == 1


def test_trust_makes_a_file_ours(database: Path) -> None:
    alter(database, OTHER_USER)

    create_database(str(database), trust=True)

    with open_engine(database) as engine:
        assert engine._repository.distrusted() is None
        stop_pools(engine)
    assert os.stat(database).st_uid == os.getuid()
