"""Who keeps a database locked, as the kernel tells. Opens no file of the database."""

from __future__ import annotations

import os
from pathlib import Path

from queuectl_engine.safe_text import safe_text

_LOCKS = "/proc/locks"
# Bytes of the shared memory file that a process locks to write, to checkpoint or to recover the
# log (https://sqlite.org/walformat.html, 2.3.1).
_WRITER = range(120, 123)
_READERS = range(123, 128)  # each a moment of the log, which must stay while it is locked
_STOPPED = frozenset("Tt")
_COMMAND_SHOWN = 60


def holder(path: str, locks: str = _LOCKS) -> str | None:
    """`process 42 (sqlite3 queue.db), which is stopped: …`; None where that cannot be known."""
    for pid in _who_locks(f"{path}-shm", locks, "WRITE", _WRITER):
        if pid != os.getpid():
            return _in_words(pid)
    return None


def readers(path: str, locks: str = _LOCKS) -> list[str]:
    """Other processes that read now, and so keep the log from becoming shorter."""
    pids = dict.fromkeys(_who_locks(f"{path}-shm", locks, "READ", _READERS))
    return [_in_words(pid) for pid in pids if pid != os.getpid()]


def _who_locks(path: str, locks: str, kind: str, wanted: range) -> list[int]:
    """Processes that hold such a lock on one of those bytes, that of the lowest first."""
    try:
        inode = os.stat(path).st_ino
        lines = Path(locks).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:  # proc_locks(5): number, POSIX, ADVISORY, WRITE, pid, device:inode, from, to
        fields = line.split()
        if "->" in fields or len(fields) != 8 or fields[1] != "POSIX" or fields[3] != kind:
            continue
        pid, file, first, last = fields[4:]
        on_it = file.rpartition(":")[2] == str(inode)
        if on_it and int(first) < wanted.stop and (last == "EOF" or int(last) >= wanted.start):
            found.append((int(first), int(pid)))
    return [pid for _, pid in sorted(found) if pid > 0 and _has_open(pid, path)]


def _has_open(pid: int, path: str) -> bool:
    # The number of a file is unique on its device only, and some file systems show another device
    # here than there. A process of another user does not tell: then the number has to do.
    try:
        files = os.listdir(f"/proc/{pid}/fd")
        return any(os.readlink(f"/proc/{pid}/fd/{number}") == path for number in files)
    except PermissionError:
        return True
    except OSError:
        return False


def _in_words(pid: int) -> str:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0].decode()
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip()
    except (OSError, IndexError):
        return f"process {pid}"
    command = safe_text(argv.decode("utf-8", "replace"))
    shown = command if len(command) <= _COMMAND_SHOWN else f"{command[: _COMMAND_SHOWN - 1]}…"
    who = f"process {pid} ({shown})" if shown else f"process {pid}"
    return (
        f"{who}, which is stopped: 'kill -CONT {pid}' lets it go on" if state in _STOPPED else who
    )
