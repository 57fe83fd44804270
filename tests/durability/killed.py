"""Upgrades golden files in DIR, each killed before another statement: `python -m … VERSION DIR`.

One child a statement, forked before anything is open; the last one, which gets to the end, is in
the directory with the highest number.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path

import apsw

from queuectl_engine.repository import open_repository
from tests.durability.golden.files import golden


def upgrade(path: Path, kill_before: int) -> None:
    """Open the file; die by SIGKILL when so many statements have been run."""
    left = kill_before

    def trace(cursor: apsw.Cursor, statement: str, bindings: apsw.Bindings | None) -> bool:
        nonlocal left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return True

    def hook(connection: apsw.Connection) -> None:
        connection.exec_trace = trace

    apsw.connection_hooks.append(hook)
    open_repository(str(path)).close()


if __name__ == "__main__":
    version, where = int(sys.argv[1]), Path(sys.argv[2])
    for number in count():
        (directory := where / f"{number:03}").mkdir()
        path = golden(version, directory / "queue.db")
        if not (child := os.fork()):
            upgrade(path, number)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            sys.exit(os.WEXITSTATUS(status))
        assert os.WTERMSIG(status) == signal.SIGKILL
