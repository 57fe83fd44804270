"""A disk that fails at any call: nothing acknowledged is lost, nothing is half done, and it heals.

For each verb the Nth call fails, for every N until the verb ends without meeting it: once, or from
then on, with an I/O error or a full disk. Seen to fail: with the checkpoint within COMMIT, where a
good commit was reported as failed; without the log being read anew after a failed COMMIT, where a
job that was reported as not added was there after a crash.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import pytest

from queuectl_engine.errors import OutcomeUnknown, StorageError, StoredUnconfirmed
from queuectl_engine.repository.sqlite import SqliteRepository, connection
from queuectl_engine.repository.sqlite.connection import Connection
from tests.durability.disk import FOR_EVER, Disk, Fault, Kind, in_use
from tests.durability.looking import wrongs
from tests.durability.verbs import READS, WRITES, Scene, Verb
from tests.samples import new

Contents = Mapping[str, Sequence[tuple[object, ...]]]
EVERY: Final = int(os.environ.get("QUEUECTL_EVERY_CALL", "4"))  # 1: each call fails once
# After an error, until they succeed.
REPEATED: Final = tuple(WRITES[name] for name in ("progress", "promote", "maintain"))
GROWING: Final = frozenset({Kind.WRITE, Kind.TRUNCATE})
RANDOM: Final = frozenset({"nonce", "token"})  # columns


_QUERIES: Final[dict[str, str]] = {}  # by table


@dataclass(frozen=True)
class Weather:
    """How the disk fails, and after how many pages of log a commit is followed by a checkpoint."""

    error: type[apsw.Error]
    times: int
    pages: int

    def fault(self, at: int) -> Fault:
        """One that begins with call number `at`."""
        if self.error is apsw.FullError:
            return Fault(at, self.error, self.times, GROWING)
        return Fault(at, self.error, self.times)


WEATHERS: Final = {
    "an error": Weather(apsw.IOError, times=1, pages=4_000),
    "errors": Weather(apsw.IOError, times=FOR_EVER, pages=4_000),
    "an error, checkpoints": Weather(apsw.IOError, times=1, pages=1),
    "full once": Weather(apsw.FullError, times=1, pages=1),
    "full": Weather(apsw.FullError, times=FOR_EVER, pages=4_000),
}


class Stage:
    """One database, set up again and again from a copy of its files."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.path = Path(disk.path)
        with closing(self._open(create=True)) as repo:
            self.scene = Scene(repo)
        self._template = self.path.read_bytes()
        self.before = self.crashed()

    def _open(self, *, create: bool = False) -> SqliteRepository:
        return SqliteRepository.open(self.disk.path, create=create, timeout=0.0)

    @contextmanager
    def set(self, *, company: bool) -> Iterator[Scene]:
        """The scene as it was; in `company` another program has the database open, too."""
        self.disk.fault = None
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        self.path.write_bytes(self._template)
        with ExitStack() as opened:
            self.scene.repo = self.scene.drive.repo = opened.enter_context(closing(self._open()))
            if company:
                opened.enter_context(closing(self._open())).counts()
            opened.callback(setattr, self.disk, "fault", None)
            yield self.scene

    def states(self, verb: Verb, patch: pytest.MonkeyPatch) -> list[Contents]:
        """What is stored before the verb, and after each of its commits."""
        states, commit = [self.before], Connection._commit

        def noted(db: Connection) -> None:
            commit(db)
            states.append(contents(db))

        with patch.context() as watched, self.set(company=False) as scene:
            watched.setattr(Connection, "_commit", noted)
            verb(scene)
        return states

    def crashed(self) -> Contents:
        """What another program finds after all of this one's processes were killed."""
        copy = self.path.with_name("crashed.db")
        for suffix in ("", "-wal", "-shm"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)
        for suffix in ("", "-wal"):
            if Path(f"{self.path}{suffix}").exists():
                shutil.copy(f"{self.path}{suffix}", f"{copy}{suffix}")
        with closing(SqliteRepository.open(str(copy))) as repo:
            return contents(repo._db)


def contents(db: Connection) -> Contents:
    """Every row of every table, but for random values."""
    if not _QUERIES:
        for (table,) in db.run("SELECT name FROM sqlite_schema WHERE type = 'table'"):
            columns = db.run("SELECT name FROM pragma_table_info(?)", (table,))
            kept = ", ".join(name for (name,) in columns if name not in RANDOM)
            _QUERIES[table] = f"SELECT {kept} FROM {table} ORDER BY {kept}"
    return {table: db.run(query) for table, query in _QUERIES.items()}


@pytest.fixture
def stage(ram: Path) -> Iterator[Stage]:
    """A disk that fails when told to, and a database on it."""
    with in_use(Disk(str(ram / "queue.db"), recording=False)) as disk:
        yield Stage(disk)


@pytest.mark.parametrize("weather", WEATHERS)
def test_a_failing_disk_loses_nothing_and_lies_about_nothing(
    stage: Stage, weather: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = WEATHERS[weather]
    monkeypatch.setattr(connection, "_CHECKPOINT_PAGES", outside.pages)
    for name, verb in WRITES.items():
        states = stage.states(verb, monkeypatch)
        assert len(states) > 1, name
        for at in range(len(name) % EVERY, 1_000, EVERY):
            fault = outside.fault(at)
            enough = 1 if name == "delete" else len(states) - 1  # it purges others, if it can
            if not one_failure(stage, verb, states, enough, fault, company=at // EVERY % 2 == 0):
                break
        assert at > 0, name


def one_failure(
    stage: Stage,
    verb: Verb,
    states: Sequence[Contents],
    enough: int,
    fault: Fault,
    *,
    company: bool,
) -> int:
    """How often the disk failed meanwhile, and all is as it must be."""
    error: StorageError | None = None
    with stage.set(company=company) as scene:
        stage.disk.fault = fault
        try:
            verb(scene)
        except StorageError as raised:  # and nothing else
            error = raised
        stage.disk.fault = None
        now, later = contents(scene.repo._db), stage.crashed()
        allowed = allowed_after(error, states, enough)
        if verb in REPEATED and error:
            allowed = states
            verb(scene)
            assert contents(scene.repo._db) == states[-1]
        assert now in allowed, error
        assert later in allowed, error
        swept = enough < len(states) - 1  # what else it did may be in doubt
        assert now == later or isinstance(error, OutcomeUnknown) or swept, error
        assert wrongs(scene.repo) == []
        (added,) = scene.repo.add([new("next")], now=scene.drive.now)
        assert added.id in scene.repo.get([added.id])
    return fault.failed


def allowed_after(
    error: StorageError | None, states: Sequence[Contents], enough: int
) -> Sequence[Contents]:
    """What may be stored; after `enough` commits the verb has done what it says."""
    match error:
        case None:
            return states[enough:]
        case StoredUnconfirmed():
            return states[1:]
        case OutcomeUnknown():
            return states
    return states[:enough]


@pytest.mark.parametrize("name", READS)
def test_a_read_that_fails_says_so_and_the_next_one_works(stage: Stage, name: str) -> None:
    for at in range(1_000):
        with stage.set(company=True) as scene:
            fault = stage.disk.fault = Fault(at)
            try:
                READS[name](scene)
            except StorageError as error:
                assert fault.failed, error
                stage.disk.fault = None
                READS[name](scene)
            if not fault.failed:
                break
    assert at > 1
