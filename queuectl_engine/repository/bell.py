"""Waking sleeping workers: one FIFO per pool, in its directory beside the database.

One byte wakes one worker. It is a hint: workers also look by themselves, so nothing waits for it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from queuectl_engine import private

if TYPE_CHECKING:
    from pathlib import Path

_FIFO: Final = "wake"
_RING: Final = b"!"


def listen(pool_directory: Path) -> int:
    """A non-blocking descriptor that turns readable when the pool is rung. The caller closes it.

    Opened for reading and writing: a read-only end would be readable for ever once the first
    writer has closed (fifo(7)).
    """
    path = pool_directory / _FIFO
    try:
        os.mkfifo(path, private.FILE)
    except FileExistsError:
        pass
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)


def ring_again(bell: int) -> None:
    """Ring one's own pool through the descriptor that `listen` gave."""
    with suppress(BlockingIOError):  # full: everybody has been rung often enough
        os.write(bell, _RING)


def ring_all(directory: str) -> None:
    """Ring every pool below the directory. Never blocks; a pool that is gone is passed over."""
    try:
        names = os.listdir(directory)
    except OSError:  # no pool ever ran
        return
    for name in names:
        ring(os.path.join(directory, name))


def ring(pool_directory: str) -> None:
    """Ring one pool."""
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        descriptor = os.open(os.path.join(pool_directory, _FIFO), flags)
    except OSError:  # no FIFO there, or (ENXIO) nobody listens
        return
    try:
        os.write(descriptor, _RING)
    except OSError:  # full: everybody has been rung often enough
        pass
    finally:
        os.close(descriptor)
