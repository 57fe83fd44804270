"""What `doctor` looks at in a database file. One function a check; `CHECKS` is their order.

Each gets the patient and returns what it found, or raises: then that is what was found. None needs
another one to have gone well, so that a damaged or locked file is told about as far as possible.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import apsw

from queuectl_engine.errors import (
    QueuectlError,
    StorageBusy,
    StorageDamaged,
    UnsafeStorage,
)
from queuectl_engine.estimate import about
from queuectl_engine.keeping import Finding, Level
from queuectl_engine.repository.sqlite import (
    counting,
    foreign,
    holder,
    migrating,
    place,
    pruning,
    schema,
    upkeep,
    watch,
)
from queuectl_engine.repository.sqlite.connection import Connection, check_library
from queuectl_engine.repository.sqlite.rows import moment
from queuectl_engine.safe_text import safe_text
from queuectl_engine.times import duration_text

_PATIENCE: Final = 1.0  # seconds for a lock
_MIB: Final = 1024 * 1024
_LITTLE_SPACE: Final = (64 * _MIB, 1)  # bytes or percent: too little to go on
_SOME_SPACE: Final = (512 * _MIB, 5)
_LONG_LOG: Final = 64 * _MIB  # four times what pools let it become
_SLIP: Final = timedelta(minutes=1)
_IN_MEMORY: Final = frozenset({"tmpfs", "ramfs"})
_RECOVER: Final = "stop its pools, keep a copy of it and of its -wal, then: queuectl restore BACKUP"

_LAST: Final = (
    "SELECT created_ms FROM job ORDER BY id DESC LIMIT 1",
    """SELECT started_ms FROM job INDEXED BY job_list_processing
        WHERE state = 'processing' AND worker IS NOT NULL
        ORDER BY started_ms DESC, id DESC LIMIT 1""",
    """SELECT finished_ms FROM job INDEXED BY job_list_dead
        WHERE state = 'dead' AND finished_ms IS NOT NULL
        ORDER BY finished_ms DESC, id DESC LIMIT 1""",
    """SELECT finished_ms FROM job INDEXED BY job_list_finished
        WHERE state IN ('completed', 'cancelled') AND finished_ms IS NOT NULL
        ORDER BY finished_ms DESC, id DESC LIMIT 1""",
)


class NotOpen(QueuectlError):
    """The file could not be opened, which another check has said."""


@dataclass
class Patient:
    """A database file that may be in any condition. Owns at most one connection; close it."""

    path: str
    quick: bool = False  # leave out what reads the whole file
    recount: bool = False  # mend the counts
    allow_owner: bool = False  # another user may own it
    _db: Connection | None = field(default=None, repr=False)
    _refusal: QueuectlError | None = field(default=None, repr=False)

    def open(self) -> Connection:
        """The connection; the file is neither made nor upgraded. Raises as SQLite says."""
        if self._db is None:
            if not os.path.lexists(self.path):
                raise NotOpen(f"no database at {safe_text(self.path)}")
            self._db = Connection(self.path, timeout=_PATIENCE)
        return self._db

    def db(self) -> Connection:
        """The same, for checks that have nothing to say where it is not to be had."""
        if self._refusal is not None:
            raise NotOpen("not known: the database cannot be read")
        return self.open()

    def give_up(self, why: QueuectlError) -> None:
        """It cannot be read: further checks need not try."""
        self._refusal = why

    def close(self) -> None:
        """Give the connection back."""
        if self._db is not None:
            self._db.close()


Found = Iterator[Finding]
Check = Callable[[Patient], Found]


def library(_: Patient) -> Found:
    """The SQLite that we use must not have the WAL-reset bug."""
    version = apsw.sqlite_lib_version()
    check_library(version)
    yield Finding("library", Level.OK, f"SQLite {version}, apsw {apsw.apsw_version()}")


def file_system(patient: Patient) -> Found:
    """Not one where locks and syncs cannot be relied on, or that is gone after a restart."""
    directory = os.path.dirname(patient.path)
    try:
        place.check_directory(directory, allow_owner=patient.allow_owner)
    except UnsafeStorage as error:
        yield Finding("file system", Level.BAD, str(error))
        return
    kind = place.file_system(directory) or "of an unknown kind"
    if kind in _IN_MEMORY:
        text, advice = f"{kind}: all jobs are gone after a restart", "move the database to a disk"
        yield Finding("file system", Level.WARN, text, advice)
    elif kind == "overlay":
        text = "overlay: all jobs are gone with the container"
        yield Finding("file system", Level.WARN, text, "keep the database on a volume")
    else:
        yield Finding("file system", Level.OK, kind)


def permissions(patient: Patient) -> Found:
    """Only we can read and write it."""
    place.check_place(patient.path, allow_owner=patient.allow_owner)
    mode = stat.S_IMODE(os.stat(patient.path).st_mode)
    if mode & 0o077:
        text = f"others can read commands and output (mode {mode:04o})"
        advice = f"chmod 600 {safe_text(patient.path)}"
        yield Finding("permissions", Level.WARN, text, advice)
    else:
        yield Finding("permissions", Level.OK, f"mode {mode:04o}, and nobody else can replace it")


def space(patient: Patient) -> Found:
    """Room for what comes."""
    disk = os.statvfs(os.path.dirname(patient.path))
    free = disk.f_bavail * disk.f_frsize
    percent = 100 * disk.f_bavail / max(disk.f_blocks, 1)
    text = f"{free / _MIB:,.0f} MiB free ({percent:.0f} %)"
    advice = "make room: queuectl prune --older-than 30d removes old completed jobs"
    if free < _LITTLE_SPACE[0] or percent < _LITTLE_SPACE[1]:
        yield Finding("space", Level.BAD, text, advice)
    elif free < _SOME_SPACE[0] or percent < _SOME_SPACE[1]:
        yield Finding("space", Level.WARN, text, advice)
    elif disk.f_files and not disk.f_favail:
        yield Finding("space", Level.BAD, "no inodes are left", "remove files that are not needed")
    else:
        yield Finding("space", Level.OK, text)


def file_format(patient: Patient) -> Found:
    """It can be opened, and is one of ours."""
    try:
        db = patient.open()
        version = migrating.version_of(db)
        why = migrating.why_only_read(db)
    except QueuectlError as error:
        patient.give_up(error)
        advice = None if isinstance(error, (StorageBusy, NotOpen)) else _RECOVER
        yield Finding("format", Level.BAD, str(error), advice)
        return
    if why:
        yield Finding("format", Level.WARN, why)
    elif version == 0:
        patient.give_up(NotOpen("empty"))
        yield Finding("format", Level.WARN, "the file is empty", "queuectl initdb makes it one")
    elif version < schema.VERSION:
        text = f"{version}; the next command upgrades it to {schema.VERSION}"
        yield Finding("format", Level.NOTE, text)
    else:
        made, generation = db.run("SELECT made_ms, generation FROM meta")[0]
        text = f"{version}, made {moment(made):%Y-%m-%d}, generation {generation}"
        yield Finding("format", Level.OK, f"{text}, durability {upkeep.durability(db)}")


def trust(patient: Patient) -> Found:
    """Pools of this user on this machine run it."""
    db = patient.db()
    if migrating.version_of(db) == schema.VERSION:
        foreign.check(db)
    if why := upkeep.distrusted(db):
        text = f"no pool runs it here: {why}"
        yield Finding("trust", Level.WARN, text, "look at its jobs, then: queuectl initdb --trust")
    else:
        yield Finding("trust", Level.OK, "made or trusted by you on this machine")


def lock(patient: Patient) -> Found:
    """It can be written to, or we know who is in the way."""
    try:
        with patient.db().writing():
            pass
    except StorageBusy:
        who = holder.holder(patient.path) or "a process that cannot be seen from here"
        yield Finding("lock", Level.BAD, f"nobody can write: it is locked by {who}")
    except StorageDamaged:
        raise NotOpen("not known: nobody writes to what is taken for damaged") from None
    else:
        yield Finding("lock", Level.OK, "free")


def damage(patient: Patient) -> Found:
    """Nobody has met damage and marked it so."""
    if (why := watch.damage(patient.path)) is not None:
        text = f"taken for damaged, so nobody claims or writes: {safe_text(why)}"
        advice = "start a pool, which checks the whole file, or restore a backup"
        yield Finding("damage", Level.BAD, text, advice)
    else:
        yield Finding("damage", Level.OK, "nobody has met any")


def log(patient: Patient) -> Found:
    """The log is short; where it is not, who keeps it from being so."""
    db = patient.db()
    _, frames, copied = db.run("PRAGMA wal_checkpoint(PASSIVE)")[0]
    size = _size(f"{patient.path}-wal")
    text, long = f"{size / _MIB:,.1f} MiB", size > _LONG_LOG
    readers = holder.readers(patient.path)
    if frames > copied >= 0 and readers:
        text = f"{text}; cannot become shorter while it is read by {', '.join(readers)}"
        advice = "end those that read for so long" if long else None
        yield Finding("log", Level.WARN if long else Level.NOTE, text, advice)
    elif long:
        yield Finding("log", Level.WARN, text, "a pool that runs makes it shorter")
    else:
        yield Finding("log", Level.OK, text)


def clock(patient: Patient) -> Found:
    """Nothing has happened in the future."""
    now, newest = datetime.now(UTC), _newest(patient.db())
    if newest is None:
        yield Finding("clock", Level.OK, f"{now.astimezone():%Y-%m-%d %H:%M:%S %z}")
    elif newest > now + _SLIP:
        text = f"the last thing happened {about(newest - now)} in the future"
        advice = "set the clock; start times, retries and schedules follow it"
        yield Finding("clock", Level.WARN, text, advice)
    else:
        yield Finding("clock", Level.OK, f"after all that happened, last {newest:%Y-%m-%d %H:%M}Z")


def integrity(patient: Patient) -> Found:
    """Every page is what it should be; reads the whole file."""
    db = patient.db()
    if patient.quick:
        yield Finding("integrity", Level.NOTE, "not looked at (--quick)")
        return
    try:
        problems = [str(row[0]) for row in db.run("PRAGMA integrity_check(100)")]
    except StorageDamaged as error:  # so much that the check cannot go on
        problems = [str(error.__cause__ or error)]
    if problems != ["ok"]:
        db.condemn(problems[0])
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        yield Finding("integrity", Level.BAD, f"{safe_text(problems[0])}{more}", _RECOVER)
        return
    if broken := db.run("PRAGMA foreign_key_check"):
        text = f"rows that belong to something that is gone: {len(broken)}"
        yield Finding("integrity", Level.WARN, text, "take a backup, and report this")
        return
    yield Finding("integrity", Level.OK, "every page and row")


def counts(patient: Patient) -> Found:
    """What screens count is what is there; reads all jobs. Mended when asked."""
    db = patient.db()
    if patient.quick and not patient.recount:
        yield Finding("counts", Level.NOTE, "not looked at (--quick)")
        return
    found = counting.drifts(db)
    if found and patient.recount:
        with db.writing():
            counting.mend(db, found)
        left = counting.drifts(db)
        text = f"mended; wrong numbers: {len(found)}"
        level = Level.WARN if left else Level.NOTE
        yield Finding("counts", level, text, "run it again" if left else None)
    elif found:
        text = f"wrong numbers: {len(found)}, off by {sum(abs(drift.by) for drift in found)} in all"
        yield Finding("counts", Level.WARN, text, "queuectl doctor --recount mends them")
    else:
        yield Finding("counts", Level.OK, "equal to a recount")


def size(patient: Patient) -> Found:
    """How large it is, and whether anything keeps it from growing for ever."""
    db = patient.db()
    finished = db.value("SELECT ifnull(sum(n), 0) FROM counter WHERE state = 'completed'")
    keep = pruning.retention(db) if migrating.version_of(db) > 1 else None
    kept = f"kept for {duration_text(keep)}" if keep else "kept until they are pruned"
    text = f"{_size(patient.path) / _MIB:,.1f} MiB; completed jobs: {finished:,}, {kept}"
    yield Finding("size", Level.OK, text)


def left_over(patient: Patient) -> Found:
    """Copies from before an upgrade or a restore, and what a killed copy left."""
    beside = sorted(Path(patient.path).parent.glob(f"{Path(patient.path).name}.*"))
    copies = [one for one in beside if ".before-" in one.name and one.suffix != ".tmp"]
    if unfinished := [one for one in beside if one.suffix == ".tmp"]:
        names = ", ".join(safe_text(one.name) for one in unfinished[:3])
        yield Finding("left over", Level.NOTE, f"unfinished copies: {names}", "remove them")
    if copies:
        total = sum(_size(str(one)) for one in copies) / _MIB
        text = f"older copies: {len(copies)}, {total:,.1f} MiB; last {safe_text(copies[-1].name)}"
        yield Finding("left over", Level.NOTE, text, "remove those that you do not need")


CHECKS: Final[dict[str, Check]] = {
    "library": library,
    "file system": file_system,
    "permissions": permissions,
    "space": space,
    "format": file_format,
    "trust": trust,
    "damage": damage,
    "lock": lock,
    "log": log,
    "clock": clock,
    "size": size,
    "left over": left_over,
    "integrity": integrity,
    "counts": counts,
}


def examine(location: str, *, quick: bool, recount: bool, allow_owner: bool = False) -> Found:
    """What every check finds. What one raises is a finding, and the next one goes on."""
    patient = Patient(place.canonical(location), quick, recount, allow_owner)
    try:
        for name, check in CHECKS.items():
            try:
                yield from check(patient)
            except NotOpen as error:
                yield Finding(name, Level.NOTE, str(error))
            except (QueuectlError, OSError) as error:
                yield Finding(name, Level.BAD, str(error))
    finally:
        patient.close()


def _newest(db: Connection) -> datetime | None:
    """When the last thing happened, as far as one step into an index tells."""
    moments = [db.value(sql) for sql in _LAST]
    return max((moment(at) for at in moments if at is not None), default=None)


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
