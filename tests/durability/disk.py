"""A disk below SQLite that writes down what it was asked to do, and fails when it is told to.

An apsw VFS that derives from `unix` and is the default while it is in use, so that the program runs
unmodified. Shared memory passes through to `unix`: its calls are not seen and do not fail.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

import apsw

_NAME: Final = "recording"
FOR_EVER: Final = 1_000_000
_JOURNALS: Final = apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_MAIN_JOURNAL


class Kind(StrEnum):
    """What a disk is asked to do, or (`MARK`) what a workload says of itself."""

    OPEN = "open"
    CREATE = "create"
    READ = "read"
    WRITE = "write"
    SYNC = "sync"
    SYNC_DIRECTORY = "sync directory"
    TRUNCATE = "truncate"
    SIZE = "size"
    DELETE = "delete"
    ACCESS = "access"
    MARK = "mark"


class Entry(NamedTuple):
    """One call. `file` is what the name has behind that of the database: "", "-wal", "-journal"."""

    at: float  # by the workload's clock
    kind: Kind
    file: str
    offset: int = 0  # also the size after a TRUNCATE
    data: bytes = b""
    mark: Any = None


@dataclass
class Fault:
    """Fails `times` calls, from number `at` (from 0) on, of those that `kinds` and `file` mean."""

    at: int
    error: type[apsw.Error] = apsw.IOError
    times: int = 1
    kinds: frozenset[Kind] = frozenset(Kind) - {Kind.CREATE, Kind.MARK, Kind.SYNC_DIRECTORY}
    file: str | None = None
    seen: int = 0
    failed: int = 0

    def check(self, kind: Kind, file: str) -> None:
        """Count a call and raise if it is to fail."""
        if kind not in self.kinds or self.file not in (None, file):
            return
        number, self.seen = self.seen, self.seen + 1
        if self.at <= number < self.at + self.times:
            self.failed += 1
            raise _error(self.error, kind)


_CODES: Final = {
    Kind.READ: apsw.SQLITE_IOERR_READ,
    Kind.WRITE: apsw.SQLITE_IOERR_WRITE,
    Kind.SYNC: apsw.SQLITE_IOERR_FSYNC,
    Kind.TRUNCATE: apsw.SQLITE_IOERR_TRUNCATE,
    Kind.SIZE: apsw.SQLITE_IOERR_FSTAT,
    Kind.DELETE: apsw.SQLITE_IOERR_DELETE,
    Kind.ACCESS: apsw.SQLITE_IOERR_ACCESS,
}


def _error(kind: type[apsw.Error], call: Kind) -> apsw.Error:
    if call is Kind.OPEN:
        return apsw.CantOpenError("unable to open database file")
    error = kind("disk I/O error" if kind is apsw.IOError else "database or disk is full")
    code = _CODES[call] if kind is apsw.IOError else apsw.SQLITE_FULL
    error.extendedresult = code  # type: ignore[attr-defined]
    return error


@dataclass
class Disk:
    """What happened to the files of one database."""

    path: str
    clock: Callable[[], float] = lambda: 0.0
    recording: bool = True
    log: list[Entry] = field(default_factory=list)
    fault: Fault | None = None

    def mark(self, what: object) -> None:
        """Say something about the workload, in the order of what the disk did."""
        self.log.append(Entry(self.clock(), Kind.MARK, "", mark=what))

    def note(self, kind: Kind, file: str, offset: int = 0, data: bytes = b"") -> None:
        """Write a call down, once it is done."""
        if self.recording:
            self.log.append(Entry(self.clock(), kind, file, offset, data))

    def before(self, kind: Kind, file: str) -> None:
        """Fail if it is to."""
        if self.fault:
            self.fault.check(kind, file)

    def suffix(self, name: str | None) -> str | None:
        """Which of the database's files this is; None for any other."""
        if name is None or not name.startswith(self.path):
            return None
        suffix = name[len(self.path) :]
        return suffix if suffix in ("", "-wal", "-journal") else None


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int], suffix: str) -> None:
        super().__init__("unix", name, flags)
        self._disk = disk
        self._suffix = suffix
        # unixOpen: a handle that may have made a journal or log syncs its directory once.
        made = flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _JOURNALS
        self._directory_unsynced = bool(made)

    def xRead(self, amount: int, offset: int) -> bytes:
        self._disk.before(Kind.READ, self._suffix)
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:
        self._disk.before(Kind.WRITE, self._suffix)
        super().xWrite(data, offset)
        self._disk.note(Kind.WRITE, self._suffix, offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        self._disk.before(Kind.TRUNCATE, self._suffix)
        super().xTruncate(newsize)
        self._disk.note(Kind.TRUNCATE, self._suffix, newsize)

    def xSync(self, flags: int) -> None:
        self._disk.before(Kind.SYNC, self._suffix)
        super().xSync(flags)
        self._disk.note(Kind.SYNC, self._suffix)
        if self._directory_unsynced:
            self._directory_unsynced = False
            self._disk.note(Kind.SYNC_DIRECTORY, "")

    def xFileSize(self) -> int:
        self._disk.before(Kind.SIZE, self._suffix)
        return super().xFileSize()


class _Recording(apsw.VFS):
    def __init__(self, disk: Disk) -> None:
        super().__init__(_NAME, "unix", makedefault=True)
        self._disk = disk

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        suffix = self._disk.suffix(path)
        if suffix is None:
            return apsw.VFSFile("unix", name, flags)
        self._disk.before(Kind.OPEN, suffix)
        # The program itself makes an empty database file before it opens it.
        fresh = not os.path.exists(path) or (suffix == "" and not os.path.getsize(path))
        file = _File(self._disk, name, flags, suffix)
        if fresh:
            self._disk.note(Kind.CREATE, suffix)
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:
        suffix = self._disk.suffix(filename)
        if suffix is not None:
            self._disk.before(Kind.DELETE, suffix)
        super().xDelete(filename, syncdir)
        if suffix is not None:
            self._disk.note(Kind.DELETE, suffix)
            if syncdir:
                self._disk.note(Kind.SYNC_DIRECTORY, "")

    def xAccess(self, pathname: str, flags: int) -> bool:
        if (suffix := self._disk.suffix(pathname)) is not None:
            self._disk.before(Kind.ACCESS, suffix)
        return super().xAccess(pathname, flags)


@contextmanager
def in_use(disk: Disk) -> Iterator[Disk]:
    """Every connection that is opened meanwhile is on this disk; all must be closed at the end."""
    vfs = _Recording(disk)
    try:
        yield disk
    finally:
        apsw.set_default_vfs("unix")
        vfs.unregister()
