"""The terminal: whether it can be used, and a driver that survives its loss.

Textual's own driver spins for ever when the terminal vanishes (Textualize/textual#6690), blocks the
event loop while a slow terminal does not read, and cannot tell a pasted burst from typing.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import time
from codecs import getincrementaldecoder
from collections.abc import Mapping
from typing import IO, Any, Final

from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
from textual.message import Message

PAUSE: Final = 0.05  # seconds without input after which another burst begins


def why_not(env: Mapping[str, str] = os.environ) -> str | None:
    """Why a full-screen program cannot run here; None when it can."""
    if not all(stream is not None and stream.isatty() for stream in _streams()):
        return "no terminal here"
    if env.get("TERM", "") == "dumb":
        return "this terminal cannot place text (TERM=dumb)"
    return None


def let_go() -> None:
    """Send what is still to be written nowhere if the terminal is gone, so that exiting works."""
    try:
        sys.stderr.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for fd in (1, 2):
            os.dup2(nowhere, fd)


def burst_of(key: Key) -> int:
    """Which burst of input a key came in, counted up; 0 when it was not typed on a terminal."""
    burst: int = getattr(key, "burst", 0)
    return burst


def last_burst(app: App[Any]) -> int:
    """The burst that was read last: whoever asks something now was not seen by who typed it."""
    driver = app._driver
    return driver.burst if isinstance(driver, TerminalDriver) else -1


def backlogged(app: App[Any]) -> bool:
    """Whether the terminal has not read yet what was written to it.

    Textual's queue of writes blocks the event loop when it is full.
    """
    writer = getattr(app._driver, "_writer_thread", None)
    return writer is not None and writer._queue.qsize() > 0


class TerminalDriver(LinuxDriver):
    """Textual's driver; the loss of the terminal ends the program like SIGHUP does."""

    def __init__(
        self,
        app: App[Any],
        *,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._file: Any = _Screen(sys.__stderr__)
        self.burst = 0
        self._read_at = 0.0

    def run_input_thread(self) -> None:
        """Read keys until told to stop, or until the terminal is gone."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                data = b""
                if selector.select(0.1):
                    data = self._read()
                    if not data:
                        os.kill(os.getpid(), signal.SIGHUP)
                        return
                    for message in parser.feed(decode(data)):
                        self.process_message(message)
                for message in parser.tick():
                    self.process_message(message)

    def process_message(self, message: Message) -> None:
        """Pass an event on; a key says in which burst of input it came."""
        if isinstance(message, Key):
            message.burst = self.burst  # type: ignore[attr-defined]  # Textual has no place for it
        super().process_message(message)

    def _read(self) -> bytes:
        try:
            data = os.read(self.fileno, 4096)
        except OSError:  # EIO: the other end of the terminal is closed
            return b""
        now = time.monotonic()
        if now - self._read_at > PAUSE:
            self.burst += 1
        self._read_at = now
        return data


class _Screen:
    """Where the driver writes; once the terminal is gone, what is written is dropped."""

    def __init__(self, file: IO[str] | None) -> None:
        assert file is not None  # `why_not` looked
        self._terminal = file
        self._gone = False

    def write(self, text: str) -> None:
        try:
            if not self._gone:
                self._terminal.write(text)
        except OSError:
            self._gone = True

    def flush(self) -> None:
        try:
            if not self._gone:
                self._terminal.flush()
        except OSError:
            self._gone = True

    def fileno(self) -> int:
        return self._terminal.fileno()


def _streams() -> tuple[IO[str] | None, ...]:
    # Textual draws on stderr; stdout must be a terminal too, so that no script waits for an answer.
    return sys.__stdin__, sys.__stdout__, sys.__stderr__
