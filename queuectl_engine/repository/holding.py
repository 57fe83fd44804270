"""Who holds a database that lies in files: the locks in its run directory, looked at, never taken.

A pool has a directory there with a lock of its supervisor and one of each worker; the kernel frees
them when their holders die (flock(2)).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

SUPERVISOR: Final = "supervisor.lock"


def worker_lock(worker: int) -> str:
    """The name of a worker's lock in its pool's directory."""
    return f"worker-{worker}.lock"


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock: its holder is dead, or never was."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def is_held(directory: Path) -> bool:
    """Whether a pool's supervisor or one of its workers lives."""
    return any(not is_free(lock) for lock in directory.glob("*.lock"))


def living(run_directory: Path) -> list[str]:
    """The directories of pools of which anything lives, by name."""
    return sorted(lock.parent.name for lock in run_directory.glob("*/*.lock") if not is_free(lock))
