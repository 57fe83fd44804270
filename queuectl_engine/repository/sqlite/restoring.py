"""Taking a copy back in the place of a database.

The new content is complete, checked and on disk in a file of its own before anything is touched.
Then SQLite writes it over the database in one transaction: whoever has that open sees the old
content or the new, never a new file with an old log; and a power cut in between leaves the old one.
Only where there is no database that could be written is the file moved into its place.
"""

from __future__ import annotations

import os
import stat
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from queuectl_engine import private
from queuectl_engine.errors import (
    NotAQueue,
    QueuectlError,
    StorageBusy,
    StorageDamaged,
    StorageError,
    UnsafeStorage,
)
from queuectl_engine.job import OUTWARD, JobState
from queuectl_engine.keeping import Restored
from queuectl_engine.lifecycle import (
    Backoff,
    Ending,
    NotStarted,
    WorkerDied,
    outcome_of,
)
from queuectl_engine.repository.holding import living
from queuectl_engine.repository.protocol import Ended
from queuectl_engine.repository.sqlite import (
    acts,
    copying,
    counting,
    foreign,
    migrating,
    place,
    pools,
    schema,
    turns,
    upkeep,
    watch,
)
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.safe_text import safe_text

_PATIENCE: Final = 5.0  # seconds for a lock
_TRIES: Final = 5
_KEPT: Final = "before-restore"
_WAS_RUNNING: Final = "it ran when the backup was made"
_NOT_BEGUN: Final = "it had not begun, as far as the backup knows"
# Ids that were given out since the backup stay given out.
_NEVER_AGAIN: Final = "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?"
_FIRST_ID: Final = """
    INSERT INTO sqlite_sequence (name, seq)
    SELECT ?, 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?)
"""


class _Moved(Exception):
    """The database changed between two looks."""


@dataclass(frozen=True, slots=True)
class _Present:
    """What the database says that is to be replaced."""

    generation: int
    sequences: dict[str, int]


def restore(
    location: str, backup: str, *, user: str, now: datetime, allow_owner: bool = False
) -> Restored:
    """Let the database at `location` hold what the file `backup` holds; its file stays as it is.

    What was there is kept beside it, and jobs that ran when the backup was made are settled as
    lost. Raises StorageBusy while a pool runs, NotAQueue for a file that is no backup of ours,
    StorageError for a damaged one; then nothing has changed.
    """
    path = place.canonical(location)
    directory = os.path.dirname(path)
    private.make_directory(directory, allow_owner=allow_owner)
    place.check_directory(directory, allow_owner=allow_owner)
    if os.path.lexists(path):
        place.check_place(path, allow_owner=allow_owner)
    _check_source(path, backup)
    _refuse_pools(path)
    with copying.temporary(path) as new:
        upgraded_from = _fetch(backup, new)
        with closing(copying.alone(new)) as db, db.writing():
            if upgraded_from:
                migrating.run_steps(db, upgraded_from)
            foreign.check(db)  # before any of its triggers runs
            lost = _lose_running(db, user, now)
            counting.mend(db, counting.drifts_inside(db))
        for _ in range(_TRIES):
            present = _look(path)
            with closing(copying.alone(new)) as db:
                generation = _succeed(db, present)
                jobs = copying.inspect(db)
            copying.fsync(new)
            with suppress(_Moved):
                kept, whole, before = _replace(path, new, present, now)
                return Restored(path, kept, whole, before, jobs, lost, generation, upgraded_from)
    raise StorageBusy(f"{safe_text(path)} is in heavy use; try again")


def _check_source(path: str, backup: str) -> None:
    shown = safe_text(backup)
    try:
        info = os.stat(backup)
    except OSError as error:
        raise NotAQueue(f"cannot read {shown}: {error.strerror}") from None
    if not stat.S_ISREG(info.st_mode):
        raise NotAQueue(f"{shown} is no regular file")
    if info.st_mode & stat.S_IWOTH:
        raise UnsafeStorage(
            f"others can write {shown} and so run commands as us; try: chmod o-w {shown}"
        )
    if os.path.exists(path) and os.path.samefile(path, backup):
        raise NotAQueue(f"{shown} is the database itself; name a backup of it")


def _refuse_pools(path: str) -> None:
    if names := living(Path(f"{path}.d")):
        one = safe_text(names[0].rpartition("-")[0])
        raise StorageBusy(
            f"pool {one} runs on {safe_text(path)}; run 'queuectl stop --pool {one}' first"
        )


def _fetch(backup: str, new: str) -> int | None:
    """Copy the backup; the older schema that it has, None for ours. Raises what `restore` does."""
    logged = os.path.exists(f"{backup}-wal")  # then what it holds is partly there
    with (
        closing(
            Connection(os.path.realpath(backup), timeout=_PATIENCE, still=not logged)
        ) as source,
        closing(Connection(new, timeout=_PATIENCE)) as made,
    ):
        version = _check_backup(source, safe_text(backup))
        source.copy_into(made)
    return version if version < schema.VERSION else None


def _check_backup(source: Connection, shown: str) -> int:
    """The schema that a backup has. Raises NotAQueue, or StorageError for a damaged one."""
    try:
        version, problem = migrating.version_of(source), copying.problem_of(source)
    except StorageDamaged as error:
        version, problem = -1, str(error.__cause__)
    if problem:
        raise StorageError(f"{shown} is damaged ({safe_text(problem)}); take another one")
    if version == 0:
        raise NotAQueue(f"{shown} is empty; take another one")
    if version > schema.VERSION:
        raise NotAQueue(
            f"{shown} was written by a newer queuectl (format {version}, this one knows "
            f"{schema.VERSION}); run: pip install --upgrade queuectl-tui"
        )
    return version


def _lose_running(db: Connection, user: str, now: datetime) -> dict[int, JobState]:
    """Settle what ran in the backup as the rescue of a dead worker does; what became of each.

    What had been claimed ahead had not begun as far as the backup knows: it is given back.
    """
    lost: dict[int, JobState] = {}
    for orphan in pools.all_held(db):
        ending: Ending = NotStarted(_NOT_BEGUN) if orphan.ahead else WorkerDied(supervised=False)
        outcome = outcome_of(orphan.job, ending, Backoff(), now)
        ends = turns.written([Ended(orphan.attempt, ending, outcome, now)], now)
        ((_, state),) = turns.settle(db, ends, now)
        assert state is not None
        if not orphan.ahead:
            lost[orphan.job.id] = OUTWARD[state]
    acts.note(db, list(lost), "restored", user, now, _WAS_RUNNING)
    db.run("DELETE FROM worker")
    db.run("DELETE FROM pool")
    db.run("UPDATE hook_due SET pool = NULL, token = NULL")
    return lost


def _look(path: str) -> _Present | None:
    """What is there now; None for nothing, and for what cannot be used any more."""
    if not os.path.lexists(path):
        return None
    try:
        with closing(Connection(path, timeout=_PATIENCE)) as db, db.reading():
            return _present(db)
    except StorageBusy:
        raise
    except NotAQueue as error:
        if isinstance(error.__cause__, Exception):  # what SQLite said: it is no database any more
            return None
        raise
    except StorageError:
        return None


def _present(db: Connection) -> _Present | None:
    if migrating.version_of(db) == 0:
        return None
    generation = int(db.value("SELECT generation FROM meta"))
    return _Present(generation, dict(db.run("SELECT name, seq FROM sqlite_sequence")))


def _succeed(db: Connection, present: _Present | None) -> int:
    """Make the new content come after what is there; its generation."""
    with db.writing():
        generation = int(db.value("SELECT generation FROM meta"))
        generation = max(generation, present.generation if present else 0) + 1
        db.run("UPDATE meta SET generation = ?", (generation,))
        for name, seq in (present.sequences if present else {}).items():
            db.run(_FIRST_ID, (name, name))
            db.run(_NEVER_AGAIN, (seq, name))
    return generation


def _replace(
    path: str, new: str, present: _Present | None, now: datetime
) -> tuple[str | None, bool, dict[JobState, int] | None]:
    """Put the new content there: the copy of the old, whether that is whole, and its counts."""
    kept = copying.beside(path, _KEPT, now)
    if present is None:
        return _move_into_place(path, new, kept), False, None
    whole, before = True, None

    def keep() -> None:
        nonlocal whole, before
        _refuse_pools(path)
        if _look(path) != present:
            raise _Moved
        try:
            before = dict(copying.copy(path, kept).jobs)
        except QueuectlError:  # a damaged one is evidence, too
            copying.copy(path, kept, check=False)
            whole = False

    with (
        closing(Connection(new, timeout=_PATIENCE)) as source,
        closing(Connection(path, timeout=_PATIENCE)) as there,
    ):
        source.copy_into(there, holding=keep)
        watch.unmark(path)  # what was damaged is not there any more
        upkeep.tidy(there)
    return kept, whole, before


def _move_into_place(path: str, new: str, kept: str) -> str | None:
    """For a file that SQLite cannot write any more: aside with it and its log, then the new one.

    In this order, so that the new file never stands beside the old log.
    """
    directory, old = os.path.dirname(path), os.path.lexists(path)
    for suffix in ("-wal", "-journal"):
        with suppress(FileNotFoundError):
            os.rename(path + suffix, kept + suffix)
    with suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")
    if old:
        os.rename(path, kept)
    copying.fsync(directory)
    os.rename(new, path)
    watch.unmark(path)
    copying.fsync(directory)
    return kept if old else None
