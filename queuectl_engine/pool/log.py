"""The pool's log: a line per event, with fields; for people on a terminal or JSON for machines.

A terminal that is gone is never fatal: the lines go on in the pool's file.
"""

from __future__ import annotations

import json
import os
import re
import time
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from queuectl_engine import private
from queuectl_engine.safe_text import safe_text

_STDERR: Final = 2
_LARGEST: Final = 10 * 1024 * 1024
_AT_ONCE: Final = 4096  # bytes that a pipe takes from each writer as a whole (pipe(7))
_MOST: Final = 100  # events that wait to be written
_LOOK_EVERY: Final = 0.5  # seconds between two looks whether the file was rotated
_PLAIN: Final = re.compile(r"[!#-~]*").fullmatch  # what needs no quotes and hides nothing


class Log:
    """Writes whole lines in single writes, so that the processes of a pool may share it.

    Each at once, but after `gather` only with `flush`, or when they are many: to make one between
    two commands takes four times as long as to make many in a row.
    """

    def __init__(self, form: str, path: Path, *, to_file: bool) -> None:
        """`form` is text or json; to standard error, or to the file at `path`."""
        self._json = form == "json"
        self._path = path
        self._name = str(path)
        self._file = (0, 0)
        self._look_at = 0.0
        self._descriptor = _STDERR
        self._gathering = False
        self._gathered: list[tuple[float, str, dict[str, object]]] = []
        if to_file:
            self.to_file()

    def to_file(self) -> None:
        """From now on write to the file: there is no terminal, or none any more."""
        self._descriptor = private.open_file(self._path, os.O_WRONLY | os.O_APPEND)
        os.dup2(self._descriptor, _STDERR)  # what a crash has to say belongs there too
        opened = os.fstat(self._descriptor)
        self._file = opened.st_dev, opened.st_ino

    def __call__(self, event: str, **fields: object) -> None:
        """Write one event. Foreign text is made harmless unless it is JSON, which escapes it."""
        self._gathered.append((time.time(), event, fields))
        if not self._gathering or len(self._gathered) >= _MOST:
            self.flush()

    def gather(self) -> None:
        """From now on keep events until `flush`: a write for each is dear to who has many."""
        self._gathering = True

    def flush(self) -> None:
        """Write what was gathered."""
        if not self._gathered:
            return
        events, self._gathered = self._gathered, []
        form, lines = _as_json if self._json else _as_text, b""
        for event in events:
            line = form(*event).encode("utf-8", "backslashreplace")
            if lines and len(lines) + len(line) > _AT_ONCE:
                self._write(lines)
                lines = b""
            lines += line
        self._write(lines)

    def _write(self, lines: bytes) -> None:
        try:
            self._reopen_if_rotated()
            os.write(self._descriptor, lines)
        except OSError:  # the terminal or the pipe is gone, or the disk is full
            if self._descriptor == _STDERR:
                with suppress(OSError):
                    self.to_file()
                    os.write(self._descriptor, lines)

    def rotate(self) -> None:
        """Start a new file when this one has grown large; one old one is kept."""
        if self._descriptor != _STDERR and os.fstat(self._descriptor).st_size > _LARGEST:
            os.replace(self._path, f"{self._path}.1")

    def _reopen_if_rotated(self) -> None:
        now = time.monotonic()
        if self._descriptor == _STDERR or now < self._look_at:
            return
        self._look_at = now + _LOOK_EVERY
        try:
            there = os.stat(self._name)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != self._file:
            # The new one first: a number that is closed may be the database's at the next write.
            before = self._descriptor
            with suppress(OSError):  # its directory is gone: what is open is better than nothing
                self.to_file()
                os.close(before)


def _as_json(at: float, event: str, fields: dict[str, object]) -> str:
    moment = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return json.dumps({"at": moment, "event": event, **fields}, default=str) + "\n"


def _as_text(at: float, event: str, fields: dict[str, object]) -> str:
    line = f"{_clock(int(at))} {event:<10}"
    for name, value in fields.items():
        if value is not None:
            text = str(value)
            plain = type(value) is int or _PLAIN(text)
            line += f" {name}={text if plain else _quoted(text)}"
    return line.rstrip() + "\n"


@lru_cache(maxsize=1)  # two lines a job, thousands a second
def _clock(second: int) -> str:
    return time.strftime("%H:%M:%S", time.localtime(second))


def _quoted(text: str) -> str:
    text = safe_text(text)
    if " " not in text and '"' not in text:
        return text
    if '"' in text or "\\" in text:
        return json.dumps(text, ensure_ascii=False)
    return f'"{text}"'
