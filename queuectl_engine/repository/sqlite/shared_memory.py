"""Who holds which lock of a database, as the kernel tells in /proc/locks: nothing is opened.

SQLite's locks are bytes of the -shm file (https://sqlite.org/walformat.html#locks): 120 is the
writer's, 123 to 127 are readers', each of a moment of the log that must stay while it is held.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from queuectl_engine.safe_text import safe_text

_WRITER: Final = range(120, 121)
_READERS: Final = range(123, 128)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds a lock."""

    pid: int
    name: str
    stopped: bool

    def __str__(self) -> str:
        return f"process {self.pid} ({safe_text(self.name)}{', stopped' if self.stopped else ''})"


def writers(path: str, proc: str = "/proc") -> list[Holder]:
    """Who holds the write lock."""
    return _holders(path, _WRITER, proc)


def readers(path: str, proc: str = "/proc") -> list[Holder]:
    """Who is in a read transaction, oldest process first."""
    return _holders(path, _READERS, proc)


def _holders(path: str, wanted: range, proc: str) -> list[Holder]:
    try:
        info = os.stat(f"{path}-shm")
        lines = Path(proc, "locks").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    file = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}:{info.st_ino}"
    pids = set()
    for line in lines:
        # proc(5): "1: POSIX ADVISORY READ 711 08:11:1966 123 123"; those that wait have an arrow
        fields = line.split()
        if len(fields) == 8 and fields[1] == "POSIX" and fields[5] == file:
            first, last = int(fields[6]), fields[7]
            end = wanted.stop if last == "EOF" else int(last) + 1
            if first < wanted.stop and end > wanted.start:
                pids.add(int(fields[4]))
    return [_holder(pid, proc) for pid in sorted(pids)]


def _holder(pid: int, proc: str) -> Holder:
    try:
        text = Path(proc, str(pid), "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended, or is in another namespace
        return Holder(pid, "?", stopped=False)
    name, _, rest = text.partition("(")[2].rpartition(")")
    return Holder(pid, name, stopped=rest.split()[0] in ("T", "t"))
