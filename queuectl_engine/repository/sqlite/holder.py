"""Who keeps a database locked, as the kernel tells. Opens no file of the database."""

from __future__ import annotations

import os
from pathlib import Path

from queuectl_engine.safe_text import safe_text

_LOCKS = "/proc/locks"
# Bytes of the shared memory file that a process locks to write, to checkpoint or to recover the
# log (https://sqlite.org/walformat.html, 2.3.1).
_WRITER, _LAST = 120, 122
_STOPPED = frozenset("Tt")
_COMMAND_SHOWN = 60


def holder(path: str, locks: str = _LOCKS) -> str | None:
    """`process 42 (sqlite3 queue.db), which is stopped: …`; None where that cannot be known."""
    for pid in _who_locks(f"{path}-shm", locks):
        if pid != os.getpid():
            return _in_words(pid)
    return None


def _who_locks(path: str, locks: str) -> list[int]:
    """Processes that hold a write lock on those bytes, the writer first."""
    try:
        inode = os.stat(path).st_ino
        lines = Path(locks).read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:  # proc_locks(5): number, POSIX, ADVISORY, WRITE, pid, device:inode, from, to
        fields = line.split()
        if "->" in fields or len(fields) != 8 or fields[1] != "POSIX" or fields[3] != "WRITE":
            continue
        pid, file, first, last = fields[4:]
        on_it = file.rpartition(":")[2] == str(inode)
        if on_it and int(first) <= _LAST and (last == "EOF" or int(last) >= _WRITER):
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
