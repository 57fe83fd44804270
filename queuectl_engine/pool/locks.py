"""Who lives is the kernel's word: a lock held by a process until it dies, however it dies.

`flock` and not a pid or a heartbeat: it survives SIGSTOP, clock jumps and reused pids, works across
containers that share the volume, and is free the moment its holder is gone (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from queuectl_engine import private
from queuectl_engine.repository.holding import SUPERVISOR, is_free, worker_lock

__all__ = ["SUPERVISOR", "HeldLock", "is_free", "worker_lock"]


class HeldLock:
    """A lock that this process holds. Never inherited: a child would keep it after our death."""

    def __init__(self, descriptor: int, path: Path) -> None:
        """Use `take`."""
        self._descriptor = descriptor
        self._path = path

    @classmethod
    def take(cls, path: Path, *, wait: bool = False) -> Self | None:
        """Take the lock, making its file when needed; None when someone holds it.

        With `wait` for as long as it takes, which is short: others only look, or bury the dead.
        """
        descriptor = private.open_file(path, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return None
        if not _same_file(descriptor, path):  # removed while we waited: a lock on nothing
            os.close(descriptor)
            return None
        return cls(descriptor, path)

    def release(self, *, remove: bool = False) -> None:
        """Give it up; `remove` takes the file away while it is still ours."""
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
