"""The terminal: whether it can be used, and a driver that survives its loss.

Textual's own driver spins for ever when the terminal vanishes (Textualize/textual#6690), blocks the
event loop while a slow terminal does not read, and cannot tell a pasted burst from typing.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Mapping, Sequence
from typing import IO, Any, Final

from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers._writer_thread import MAX_QUEUED_WRITES
from textual.drivers.linux_driver import LinuxDriver
from textual.events import Key
from textual.message import Message

from queuectl_engine import safe_text
from queuectl_tui.joining import PATIENCE, Joiner, Pastes

ENDING: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)  # signals that end the program
_TICK: Final = 0.1  # seconds between two looks whether an Esc was all there is
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
    """Whether the terminal has not read yet what was written to it."""
    driver = app._driver
    return isinstance(driver, TerminalDriver) and driver.queued() > 0


def toggle_mouse(app: App[Any]) -> bool:
    """Turn reports of clicks and the wheel on or off; whether they are on now."""
    driver = app._driver
    return isinstance(driver, TerminalDriver) and driver.toggle_mouse()


def run_outside(app: App[Any], argv: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Give the terminal to a program until it ends; what went wrong, or nothing.

    What ends us meanwhile ends the program first: the event loop hears of it afterwards.
    """
    program: subprocess.Popen[bytes] | None = None
    asked = False

    def end(*_: object) -> None:
        nonlocal asked
        asked = True
        if program is not None:
            program.terminate()

    before = {number: signal.signal(number, end) for number in ENDING}
    try:
        with app.suspend():
            program = subprocess.Popen(argv, env=env)
            # Ctrl+C is for the program, which would inherit it if we ignored it before.
            before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.SIG_IGN)
            if asked:  # while it was started
                program.terminate()
            code = program.wait()
    except OSError as error:
        return f"{safe_text(argv[0])}: {error.strerror}"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return f"{safe_text(argv[0])} ended with {code}" if code else ""


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
        self._alarm = self.exit_event = _Alarm()
        self._drawing = True
        self._missed = False  # something that was to be drawn was not

    def queued(self) -> int:
        """How many pieces of what is to be drawn wait for the terminal."""
        return 0 if self._writer_thread is None else self._writer_thread._queue.qsize()

    def write(self, data: str) -> None:
        """Write it soon; a terminal that does not read gets the whole screen when it reads again.

        Textual's queue blocks the event loop when it is full.
        """
        if self._drawing and self.queued() >= MAX_QUEUED_WRITES - 1:
            if not self._missed:
                self._missed = True
                self._app.set_timer(_TICK, self._catch_up)
        else:
            super().write(data)

    def _catch_up(self) -> None:
        if self.queued():
            self._app.set_timer(_TICK, self._catch_up)
        else:
            self._missed = False
            self._app.refresh(layout=True)

    def start_application_mode(self) -> None:
        """Take the terminal."""
        self._drawing = True
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def stop_application_mode(self) -> None:
        """Give it back as it was; this is never left out."""
        self._drawing = False
        super().stop_application_mode()

    def run_input_thread(self) -> None:
        """Read keys until told to stop, or until the terminal is gone."""
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        joiner, pastes = Joiner(), Pastes()
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            selector.register(self._alarm.fd, selectors.EVENT_READ)
            while not self.exit_event.is_set():
                # Only after input can the parser wait for something: for the rest of a sequence.
                waits = time.monotonic() - self._read_at < PATIENCE
                ready = selector.select(_TICK if waits else None)
                if any(key.fd == self.fileno for key, _ in ready):
                    data = self._read()
                    if not data:
                        os.kill(os.getpid(), signal.SIGHUP)
                        return
                    # Without a byte the parser would think that the input has ended.
                    if text := pastes.clean(joiner.join(decode(data), self._read_at)):
                        for message in parser.feed(text):
                            self.process_message(message)
                for message in parser.tick():
                    if isinstance(message, Key) and message.key == "escape":
                        joiner.let_go()
                    self.process_message(message)

    def toggle_mouse(self) -> bool:
        """Report clicks and the wheel from now on, or no more; whether it does."""
        self._mouse = not self._mouse
        if self._mouse:
            self._enable_mouse_support()
        else:
            self._mouse = True  # Textual turns off only what it thinks is on
            self._disable_mouse_support()
            self._mouse = False
        return self._mouse

    def _enable_mouse_support(self) -> None:
        # Textual would ask for every motion as well, which costs a slow link more than all we draw.
        if self._mouse:
            self.write("\x1b[?1000h\x1b[?1006h")
            self.flush()

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


class _Alarm(threading.Event):
    """An event that also wakes who sleeps in a `select`: no need to look whether it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.fd, self._ring = os.pipe()
        os.set_blocking(self.fd, False)

    def set(self) -> None:
        super().set()
        os.write(self._ring, b".")

    def clear(self) -> None:
        super().clear()
        try:
            os.read(self.fd, 64)
        except BlockingIOError:
            return  # it was not set


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
