"""`python -m queuectl_engine.pool OPTIONS [FD]`: one supervisor.

A process of its own, and not the command that starts it: every worker imports the main module
again, which here is light. OPTIONS is `PoolOptions` as JSON. What became of the start is told as a
line of JSON on descriptor FD.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from typing import Final

from queuectl_engine.errors import ExitCode, QueuectlError, StorageError
from queuectl_engine.pool.fork_server import ForkServer
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.pool.supervisor import NameTaken, Supervisor
from queuectl_engine.pool.systemd import Notifier
from queuectl_engine.repository import load_store, open_repository
from queuectl_engine.repository.protocol import JobRepository, PoolRow
from queuectl_engine.safe_text import safe_text

_ANOTHER_TRY: Final = (1.0, 3.0)  # seconds
_LOCK_PATIENCE: Final = 1.0  # then it looks at its signals and its workers again, and comes back


def main(arguments: list[str]) -> int:
    """Supervise until the pool ends; the exit code."""
    options = PoolOptions.from_json(json.loads(arguments[0]))
    told = int(arguments[1]) if len(arguments) > 1 else None
    if options.detached:
        _leave_home()
    os.umask(0o077)
    os.chdir("/")
    notify = Notifier()

    def ready(pool: PoolRow) -> None:
        _tell(told, pool=pool.id)
        notify("READY=1")

    try:
        fork_server = ForkServer()  # before the database is opened, which takes as long
        repository = open_repository(
            options.db, timeout=_LOCK_PATIENCE, allow_owner=options.allow_owner
        )
        load_store(options.db)
        supervisor = Supervisor(repository, options, fork_server, ready)
        supervisor.run(stopping := lambda: notify("STOPPING=1"))
        while supervisor.forgotten:
            supervisor = _anew(repository, options, fork_server)
            supervisor.run(stopping)
    except (QueuectlError, OSError) as error:
        _tell(told, error=str(error), taken=isinstance(error, NameTaken))
        if told is None:
            sys.stderr.write(f"error: {safe_text(str(error))}\n")
        return error.exit_code if isinstance(error, QueuectlError) else ExitCode.FAILED
    repository.close()
    if supervisor.left is not None:
        return supervisor.left.exit_code
    return ExitCode.INTERRUPTED if supervisor.interrupted else ExitCode.OK


def _anew(repository: JobRepository, options: PoolOptions, fork_server: ForkServer) -> Supervisor:
    """Another pool in the place of one that the database has forgotten; nobody waits for it."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    while True:
        try:
            return Supervisor(repository, options, fork_server, lambda _: None)
        except StorageError:  # the network comes and goes
            time.sleep(random.uniform(*_ANOTHER_TRY))


def _leave_home() -> None:
    """Belong to nobody: a child of init, in a session without a terminal."""
    if os.fork():
        os._exit(ExitCode.OK)  # its parent can reap this at once
    os.setsid()


def _tell(descriptor: int | None, **news: object) -> None:
    if descriptor is not None:
        os.write(descriptor, json.dumps(news).encode() + b"\n")
        os.close(descriptor)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
