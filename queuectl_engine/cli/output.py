"""How a job's output reaches its reader: its bytes to a program, harmless lines to a person."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Final, Protocol, TextIO

from queuectl_engine.job import Piece, Stream
from queuectl_engine.safe_text import safe_output

_COLOURS: Final = (36, 33, 32, 35, 34, 31)  # SGR: cyan, yellow, green, magenta, blue, red


class Printer(Protocol):
    """Takes output as it arrives."""

    def write(self, pieces: Iterable[Piece]) -> None:
        """Print what can be printed of these pieces now."""

    def end(self) -> None:
        """The attempt is over: print what is left."""


def printer(file: TextIO | None = None) -> Printer:
    """The printer for whoever reads stdout, or another stream."""
    file = file or sys.stdout
    return Lines(file) if file.isatty() else Raw(file)


def prefixed(jobs: Sequence[int]) -> dict[int, Printer]:
    """A printer for each of several jobs: each of its lines begins with its id."""
    width = max(len(str(job)) for job in jobs)
    return {job: Lines(sys.stdout, _prefix(job, width, n)) for n, job in enumerate(jobs)}


def _prefix(job: int, width: int, number: int) -> str:
    plain = f"{job:>{width}} | "
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return plain
    return f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{plain}\x1b[0m"


class Raw:
    """Every byte, as it is."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, pieces: Iterable[Piece]) -> None:
        """Pass the bytes on at once."""
        self._file.flush()
        for piece in pieces:
            self._file.buffer.write(piece.data)
        self._file.buffer.flush()

    def end(self) -> None:
        """Nothing is held back."""


class Lines:
    """Whole lines of each stream: an escape sequence or a character may come in two pieces."""

    def __init__(self, file: TextIO, prefix: str = "") -> None:
        self._file = file
        self._person = file.isatty()
        self._prefix = prefix
        self._open: dict[Stream, bytes] = {}

    def write(self, pieces: Iterable[Piece]) -> None:
        """Print the lines that these pieces complete, and keep the beginning of the next."""
        for piece in pieces:
            whole, newline, rest = piece.data.rpartition(b"\n")
            if newline:
                self._print(self._open.pop(piece.stream, b"") + whole)
            self._open[piece.stream] = self._open.get(piece.stream, b"") + rest
        self._file.flush()

    def end(self) -> None:
        """Print the last line of each stream, which has no newline."""
        for data in filter(None, self._open.values()):
            self._print(data)
        self._open.clear()
        self._file.flush()

    def _print(self, data: bytes) -> None:
        if self._person:
            lines = safe_output(data).split("\n")
            self._file.writelines(f"{self._prefix}{line}\n" for line in lines)
            return
        self._file.flush()
        prefix = self._prefix.encode()
        self._file.buffer.writelines(prefix + line + b"\n" for line in data.split(b"\n"))


class Apart:
    """Stdout goes to stdout and stderr to stderr, each as its own reader likes it."""

    def __init__(self) -> None:
        self._printers = {Stream.OUT: printer(sys.stdout), Stream.ERR: printer(sys.stderr)}

    def write(self, pieces: Iterable[Piece]) -> None:
        """Print each piece where it belongs."""
        for piece in pieces:
            self._printers[piece.stream].write((piece,))

    def end(self) -> None:
        """Print what is left of both."""
        for each in self._printers.values():
            each.end()
