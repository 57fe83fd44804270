"""Whole copies of a database file: for a backup, before an upgrade, before a restore.

A copy is made by SQLite in one step, so it is one moment of the database whatever is written
meanwhile, and no writer waits for it. It appears under its name when it is complete, checked and on
disk.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from queuectl_engine import private
from queuectl_engine.errors import QueuectlError, StorageDamaged, StorageError
from queuectl_engine.job import OUTWARD, JobState, State
from queuectl_engine.keeping import Copied
from queuectl_engine.repository.sqlite import counting
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.safe_text import safe_text

_PATIENCE: Final = 5.0  # seconds for a lock
_BESIDE: Final = ("-wal", "-shm", "-journal")
# What a copy says of running jobs must lead nobody to the processes of the original.
_DISOWN: Final = (
    """UPDATE attempt SET token = lower(hex(randomblob(16))),
                          leader_pid = iif(leader_pid = 0, 0, NULL), leader_ticks = NULL
        WHERE (job, number) IN (SELECT id, runs FROM job WHERE state = 'processing')""",
    """UPDATE job SET token = (SELECT token FROM attempt WHERE job = job.id AND number = job.runs)
        WHERE state = 'processing'""",
    "UPDATE hook_due SET pool = NULL, token = NULL",
)


def copy(path: str, target: str, *, force: bool = False, check: bool = True) -> Copied:
    """Copy the database at `path` to a file that is not there yet, or with `force` may be replaced.

    Checked, unless told not to, where a copy of something damaged is better than none. Raises
    StorageError for what does not pass, and QueuectlError for a target that cannot be.
    """
    check_target(path, target, force=force)
    with temporary(target) as new:
        with (
            closing(Connection(path, timeout=_PATIENCE)) as source,
            closing(Connection(new, timeout=_PATIENCE)) as made,
        ):
            source.copy_into(made)
        jobs = _finish(new, check=check)
        fsync(new)
        check_target(path, target, force=force)
        os.replace(new, target)
        fsync(os.path.dirname(target))
    return Copied(target, os.stat(target).st_size, jobs)


def beside(path: str, why: str, now: datetime) -> str:
    """A name for a copy of `path` in its directory, which says why and when it was made."""
    at = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    name = f"{path}.{why}-{at}"
    return name if not os.path.lexists(name) else f"{name}-{os.urandom(4).hex()}"


def check_target(path: str, target: str, *, force: bool) -> None:
    """Raise QueuectlError for a file that a copy must not replace."""
    shown = safe_text(target)
    if not os.path.isdir(os.path.dirname(target)):
        raise QueuectlError(f"no directory for {shown}; make it first")
    try:
        info = os.lstat(target)
    except FileNotFoundError:
        return
    if not stat.S_ISREG(info.st_mode):
        raise QueuectlError(f"{shown} is no regular file; name another one")
    if os.path.samefile(path, target):
        raise QueuectlError(f"{shown} is the database itself; name another file")
    if not force:
        raise QueuectlError(f"{shown} exists; name another file, or replace it with --force")
    if any(os.path.lexists(target + suffix) for suffix in _BESIDE):
        raise QueuectlError(f"{shown} is a database in use; name another file")


@contextmanager
def temporary(target: str) -> Iterator[str]:
    """The name of an empty file in the same directory, ours alone; gone afterwards, if still so."""
    name = f"{target}.{os.urandom(4).hex()}.tmp"
    private.make_file(name)
    try:
        yield name
    finally:
        for suffix in ("", *_BESIDE):
            with suppress(FileNotFoundError):
                os.unlink(name + suffix)
        shutil.rmtree(f"{name}.d", ignore_errors=True)  # where damage that was met is marked


def inspect(db: Connection) -> dict[JobState, int]:
    """The jobs of a copy by outward state, once it has passed. Raises StorageError."""
    if problem := problem_of(db):
        raise StorageDamaged(
            f"what was to be copied is damaged ({problem}), so there is no copy; 'queuectl doctor'"
            " says more"
        )
    if counting.drifts(db):
        raise StorageError("its counts are wrong; mend them with 'queuectl doctor --recount'")
    jobs = dict.fromkeys(JobState, 0)
    for state, n in db.run("SELECT state, sum(n) FROM counter GROUP BY state"):
        if outward := OUTWARD.get(State(state)):
            jobs[outward] += n
    return jobs


def problem_of(db: Connection) -> str | None:
    """What is wrong with any page, None when nothing is."""
    try:
        found = db.inspect("integrity_check", None)
    except StorageDamaged as error:  # so much that the check cannot go on
        found = str(error.__cause__)
    return None if found == "ok" else safe_text(str(found))


def alone(path: str) -> Connection:
    """Open a file that nobody else knows of, without shared memory, which some disks have not."""
    db = Connection(path, timeout=_PATIENCE)
    db.run("PRAGMA locking_mode = EXCLUSIVE")
    return db


def fsync(path: str) -> None:
    """Bring a file or a directory to disk. No connection of this process may have it open."""
    descriptor = os.open(path or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        raise StorageError(
            f"the disk failed to store {safe_text(Path(path).name)}: {error.strerror}"
        ) from error
    finally:
        os.close(descriptor)


def _finish(path: str, *, check: bool) -> dict[JobState, int]:
    try:
        with closing(alone(path)) as db:
            with db.writing():
                for statement in _DISOWN:
                    db.run(statement)
            return inspect(db)
    except StorageError:
        if check:
            raise
        return {}
