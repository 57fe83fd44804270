"""A program in a pseudo-terminal whose bytes are counted and drawn by nobody."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Self

import queuectl_engine
from benchmarks.pools import cpu_seconds

_QUIET: Final = 0.3  # seconds without a byte after which a program has drawn what it wanted
_PATIENCE: Final = 60.0
_ROOT: Final = str(Path(queuectl_engine.__file__).parent.parent)


class Terminal:
    """One run of a Python program; a context manager that leaves no process behind."""

    def __init__(self, program: Sequence[str], cwd: Path, width: int, height: int) -> None:
        self._master, slave = os.openpty()
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, size)
        self.written = 0
        self.started_at = time.perf_counter()
        self.process = subprocess.Popen(
            [sys.executable, *program],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=_environment(cwd),
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._master)

    def read(self, seconds: float) -> bytes:
        """What is there, or comes first within so many seconds. Raises OSError after its end."""
        if not select.select([self._master], [], [], max(seconds, 0))[0]:
            return b""
        got = os.read(self._master, 65_536)
        self.written += len(got)
        return got

    def shows(self, word: bytes) -> float:
        """Seconds from the start of the program until it had written this."""
        deadline = time.perf_counter() + _PATIENCE
        seen = b""
        while word not in seen:
            seen = seen[-len(word) :] + self.read(1.0)
            if time.perf_counter() > deadline:
                raise TimeoutError(f"it never wrote {word!r}")
        return time.perf_counter() - self.started_at

    def quiet(self) -> None:
        """Wait until it writes nothing more."""
        while self.read(_QUIET):
            pass

    def after(self, act: Callable[[], object]) -> tuple[float, int]:
        """Do something: seconds until the first byte of the answer, and bytes until its last.

        Raises TimeoutError when it answers nothing.
        """
        before, began = self.written, time.perf_counter()
        act()
        if not self.read(_PATIENCE):
            raise TimeoutError("it wrote nothing")
        taken = time.perf_counter() - began
        self.quiet()
        return taken, self.written - before

    def press(self, keys: bytes) -> tuple[float, int]:
        """The same for keys."""
        return self.after(lambda: os.write(self._master, keys))

    def cpu(self) -> float:
        """Seconds of CPU so far."""
        return cpu_seconds([self.process.pid])

    def memory(self) -> float:
        """What it has in memory (RSS), in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _environment(home: Path) -> dict[str, str]:
    """The same for every program, whoever asks."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": _ROOT,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
    }
