"""The process that workers are forked from, as its supervisor sees it.

Not multiprocessing's: that one keeps a second process for shared memory, which nobody here has,
and each worker runs its start-up code, which copies pages (docs/decisions/0048).
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from queuectl_engine.pool.fork_server_process import NUMBER

_SERVE: Final = (
    "import queuectl_engine.pool.preload\n"
    "from queuectl_engine.pool.fork_server_process import serve\n"
    "serve()"
)


class ForkServer:
    """Makes processes that share what is imported. Owns the server, which ends with its owner.

    A server that was killed is replaced by the next `fork`. What it has forked lives on.
    """

    def __init__(self) -> None:
        """Start it; it imports while we do other things. Raises OSError."""
        self._start()

    @property
    def pid(self) -> int:
        """The server's own process."""
        return self._process.pid

    def fork(self, function: Callable[..., object], *args: object) -> int:
        """Call an importable function in a new process; its pid. Raises OSError without one."""
        if self._process.poll() is not None:
            self.close()
            self._start()
        request = pickle.dumps((function, args))
        self._requests.write(len(request).to_bytes(NUMBER, "little") + request)
        self._requests.flush()
        answer = int.from_bytes(self._answers.read(NUMBER), "little", signed=True)
        if answer == 0:
            raise ChildProcessError("the fork server is gone")
        if answer < 0:
            raise OSError(-answer, os.strerror(-answer))
        return answer

    def close(self) -> None:
        """End it."""
        self._process.kill()
        with suppress(BrokenPipeError), self._process:  # which closes its pipes, and waits
            pass

    def _start(self) -> None:
        # -P: a module of the same name in the current directory must not be imported. A process
        # group of its own: a terminal's Ctrl+C is for the supervisor alone.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
        )
        assert self._process.stdin
        assert self._process.stdout
        self._requests, self._answers = self._process.stdin, self._process.stdout
