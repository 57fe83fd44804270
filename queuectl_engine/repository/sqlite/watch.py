"""The file from outside: is it the one we opened, is it marked as damaged, has it room?

Looks at paths and opens nothing but its own mark: to close any other descriptor of an open database
would drop the locks that SQLite holds on it (https://sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, NamedTuple

from queuectl_engine import private
from queuectl_engine.errors import NotAQueue, StorageDamaged, StorageMoved
from queuectl_engine.safe_text import safe_text

_MARK: Final = "damaged"  # in the run directory
_LONGEST_REASON: Final = 200


class Sight(NamedTuple):
    """Which file is at a path, and when its content last changed (nanoseconds)."""

    device: int
    inode: int
    changed: int


def look(path: str) -> Sight | None:
    """What is there; None when nothing is, or it cannot be reached. Costs a microsecond."""
    try:
        info = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return Sight(info.st_dev, info.st_ino, info.st_mtime_ns)


def moved(path: str, before: Sight | None, now: Sight | None) -> str | None:
    """What became of the file that was opened, in words and with what to do; None: it is there."""
    if before is None or (now is not None and before[:2] == now[:2]):
        return None
    where = safe_text(path)
    if now is None:
        return (
            f"{where} was deleted or renamed while it was in use; put it back, as its log is "
            "still here, or restore a backup"
        )
    return (
        f"{where} is another file than the one that was opened; "
        f"start again what shall use the new one"
    )


def overwritten(path: str) -> str:
    """The same for a file that is where it was, with the content of another one."""
    return (
        f"{safe_text(path)} was overwritten with another database while it was in use; "
        "stop all that uses it, then copy again, with no -wal or -shm of the old one beside it"
    )


def restored(path: str) -> str:
    """The same for one that holds an earlier moment of itself."""
    return f"{safe_text(path)} was restored from a backup while it was open here; start again"


def mark_damaged(path: str, why: str) -> None:
    """Tell every process that this file is not to be claimed from or written to any more.

    Beside the file, as that cannot be trusted. Where not even this can be written each process has
    to find out by itself.
    """
    directory = f"{path}.d"
    with suppress(OSError):
        os.makedirs(directory, mode=0o700, exist_ok=True)
        mark = private.open_file(os.path.join(directory, _MARK), os.O_WRONLY | os.O_EXCL)
        try:
            os.write(mark, why[:_LONGEST_REASON].encode("utf-8", "replace"))
        finally:
            os.close(mark)


def damage(path: str) -> str | None:
    """Why the file is marked as damaged; None when it is not. Costs a microsecond then."""
    mark = f"{path}.d/{_MARK}"
    if not os.access(mark, os.F_OK, follow_symlinks=False):  # asked in every write transaction
        return None
    try:
        with open(mark, encoding="utf-8", errors="replace") as file:
            return file.read(_LONGEST_REASON) or "it was found damaged"
    except OSError:
        return "it was found damaged"


def unmark(path: str) -> None:
    """The file was checked and is sound, or is another one now."""
    with suppress(FileNotFoundError):
        os.unlink(os.path.join(f"{path}.d", _MARK))


def refuse_orphaned(path: str) -> None:
    """Where the log of a queue is left, no new queue may begin. Raises StorageMoved.

    SQLite would throw away the log, in which jobs may be that came back with the old file.
    """
    if _size(f"{path}-wal") and not os.path.lexists(path):
        where = safe_text(path)
        raise StorageMoved(
            f"{where} is gone, but its log {where}-wal is here; put the file back, or remove the "
            "log to begin anew"
        )


def refuse_emptied(path: str, *, create: bool) -> None:
    """A file of no bytes that was a queue must not become a new one, unheard.

    SQLite would throw away the log beside it, which may hold jobs. Raises StorageDamaged, or
    NotAQueue where nothing says that it was one.
    """
    # Asked first: who makes the file at this moment fills it before it makes anything beside it.
    in_use = os.path.isdir(f"{path}.d") or _size(f"{path}-wal")
    if os.stat(path).st_size:
        return
    if in_use:
        raise StorageDamaged(in_words(path, "it is empty, but was in use"))
    if not create:
        where = safe_text(path)
        raise NotAQueue(f"{where} is empty; 'queuectl initdb --db {where}' makes a queue of it")


def nobody_writes(path: str) -> bool:
    """Whether it can only be read from here, and nobody has it open.

    Then SQLite must be told that it does not change: else it would look for the shared memory,
    which cannot be made.
    """
    return not (
        os.access(os.path.dirname(path), os.W_OK)  # false also on a disk mounted read-only
        or os.path.exists(f"{path}-shm")
        or _size(f"{path}-wal")
    )


def in_words(path: str, why: str) -> str:
    """What StorageDamaged says: what to keep, and what to try."""
    where = safe_text(path)
    return (
        f"{where} is taken for damaged ({safe_text(why)}): nothing is claimed or written, and "
        f"nothing was deleted; copy it and {where}-wal away, then start a pool, which checks the "
        "file, or restore a backup (docs/recovery.md)"
    )


def free_space(path: str) -> tuple[int, int] | None:
    """Bytes that we may still fill on the disk of this file, and its size; None when not known."""
    try:
        disk = os.statvfs(os.path.dirname(path) or ".")
    except OSError:
        return None
    return disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
