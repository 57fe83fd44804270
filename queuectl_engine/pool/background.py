"""Starting pools, in the foreground and in the background, and stopping them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any, Final, NoReturn

from queuectl_engine.errors import PoolRefused
from queuectl_engine.job import PoolInfo
from queuectl_engine.pool.census import census
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.repository.protocol import JobRepository

_LOOK_EVERY: Final = 0.05


def exec_foreground(options: PoolOptions) -> NoReturn:
    """Become the supervisor. Does not return; the pool logs to standard error."""
    sys.stdout.flush()
    sys.stderr.flush()
    command = _command(options)
    os.execv(command[0], command)  # noqa: S606 - that is the point


def start_detached(options: PoolOptions) -> bool:
    """Start a pool in a session of its own, and return when its first worker lives.

    False when a pool of that name runs already. Raises PoolRefused with its own words.
    """
    ears, mouth = os.pipe2(os.O_CLOEXEC)
    with open(ears, "rb") as news:
        try:
            starter = subprocess.Popen(
                [*_command(options), str(mouth)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[mouth],
            )
        finally:
            os.close(mouth)
        told: dict[str, Any] = json.loads(news.readline() or b"{}")
    starter.wait()  # it has forked the supervisor, which is on its own
    if told.get("taken"):
        return False
    if "pool" not in told:
        raise PoolRefused(told.get("error") or "the pool ended at its start, without a word")
    return True


def stop(
    repository: JobRepository, pool: PoolInfo, *, now: bool, timeout: float | None
) -> PoolInfo:
    """Ask a pool to stop and wait until it is gone; how it was when last seen."""
    repository.ask_stop(pool.id, "now" if now else "graceful")
    deadline = time.monotonic() + (float("inf") if timeout is None else timeout)
    while time.monotonic() < deadline:
        left = [other for other in census(repository) if other.id == pool.id and other.alive]
        if not left:
            break
        pool = left[0]
        time.sleep(_LOOK_EVERY)
    return pool


def _command(options: PoolOptions) -> list[str]:
    # -P: a module of the same name in the current directory must not be imported.
    return [sys.executable, "-P", "-m", "queuectl_engine.pool", json.dumps(options.to_json())]
