"""`queuectl-tui` in a pseudo-terminal, its screen read by pyte, every byte kept."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import pyte

from tests.waiting import until

ROOT: Final = Path(__file__).parents[2]
# Keyboard protocol and mode queries, which pyte takes for cursor movements or prints.
_UNKNOWN: Final = re.compile(rb"\x1b\[[<>=?][\d;]*(?:u|\$p)")


class Terminal:
    """One run of the program; a context manager that leaves no process behind."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path,
        width: int = 80,
        height: int = 24,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = ("-m", "queuectl_tui"),
        controlling: bool = True,
    ) -> None:
        """Without `controlling` the program gets no SIGHUP when the terminal goes."""
        self._master, slave = os.openpty()
        self.raw = b""
        self._last = b""
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.ByteStream(self._screen)
        self._set_size(width, height)
        self.modes_before = termios.tcgetattr(slave)
        self._slave = slave
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=environment(cwd, env or {}),
            start_new_session=True,
            preexec_fn=_take_control if controlling else None,  # noqa: PLW1509
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.hang_up()
        os.close(self._slave)

    def send(self, keys: str) -> None:
        """Type all of it at once."""
        os.write(self._master, keys.encode())

    def resize(self, width: int, height: int) -> None:
        """Change the size of the terminal."""
        self._screen.resize(height, width)
        self._set_size(width, height)
        os.killpg(self.process.pid, signal.SIGWINCH)

    def hang_up(self) -> None:
        """Close our end of the terminal."""
        if self._master >= 0:
            os.close(self._master)
            self._master = -1

    def read(self) -> bytes:
        """What came since the last call; also drawn."""
        got = b""
        while self._master >= 0 and select.select([self._master], [], [], 0)[0]:
            try:
                got += os.read(self._master, 65536)
            except OSError:  # the program has ended
                break
        self.raw += got
        self._last = got
        self._stream.feed(_UNKNOWN.sub(b"", got))
        return got

    @property
    def text(self) -> str:
        """The screen as it is now."""
        self.read()
        return "\n".join(line.rstrip() for line in self._screen.display)

    def shows(self, *words: str) -> None:
        """Wait until the screen shows all these."""
        self.until(lambda: all(word in self.text for word in words), f"no {words}")

    def until(self, condition: Callable[[], bool], lacking: str) -> None:
        """Wait, and read meanwhile; a failure tells what the screen shows."""
        try:
            until(lambda: (self.read(), condition())[1], timeout=30.0)
        except AssertionError:
            raise AssertionError(f"{lacking}; the screen:\n{self.text}") from None

    def quiet(self) -> None:
        """Wait until nothing is written for a third of a second."""
        until(lambda: not self._wait_for_bytes(0.3))

    def written(self) -> int:
        """How many bytes come until nothing does for a third of a second."""
        until(lambda: self._wait_for_bytes(0.3))
        before = len(self.raw)
        last = before - len(self._last)
        self.quiet()
        return len(self.raw) - last

    def bytes_in(self, seconds: float) -> int:
        """How many bytes are written in so long a time of nothing."""
        deadline = time.monotonic() + seconds
        before = len(self.raw)
        while (left := deadline - time.monotonic()) > 0:
            self._wait_for_bytes(left)
        return len(self.raw) - before

    def clear(self) -> None:
        """Forget what is on the screen."""
        self._screen.reset()

    def exit_code(self) -> int:
        """Wait for the end; what is written meanwhile is read, as a terminal would."""
        until(lambda: (self.read(), self.process.poll() is not None)[1], timeout=30.0)
        self.read()
        return self.process.returncode

    def modes(self) -> list[object]:
        """The terminal's settings."""
        return termios.tcgetattr(self._slave)

    def _wait_for_bytes(self, seconds: float) -> bool:
        select.select([self._master], [], [], seconds)
        return bool(self.read())

    def _set_size(self, width: int, height: int) -> None:
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))


def _take_control() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def environment(home: Path, env: Mapping[str, str]) -> dict[str, str]:
    """What the program sees, whoever runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **env,
    }
