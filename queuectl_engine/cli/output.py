"""How a job's output reaches stdout: its bytes to a program, harmless lines to a person."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Protocol

from queuectl_engine.cli.terminal import on_terminal
from queuectl_engine.job import Piece, Stream
from queuectl_engine.safe_text import safe_output


class Printer(Protocol):
    """Takes output as it arrives."""

    def write(self, pieces: Iterable[Piece]) -> None:
        """Print what can be printed of these pieces now."""

    def end(self) -> None:
        """The attempt is over: print what is left."""


def printer() -> Printer:
    """The printer for whoever reads stdout."""
    return Lines() if on_terminal() else Raw()


class Raw:
    """Every byte, as it is."""

    def write(self, pieces: Iterable[Piece]) -> None:
        """Pass the bytes on at once."""
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece.data)
        sys.stdout.buffer.flush()

    def end(self) -> None:
        """Nothing is held back."""


class Lines:
    """Whole lines of each stream: an escape sequence or a character may come in two pieces."""

    def __init__(self) -> None:
        self._open: dict[Stream, bytes] = {}

    def write(self, pieces: Iterable[Piece]) -> None:
        """Print the lines that these pieces complete, and keep the beginning of the next."""
        for piece in pieces:
            whole, newline, rest = piece.data.rpartition(b"\n")
            if newline:
                self._print(self._open.pop(piece.stream, b"") + whole)
            self._open[piece.stream] = self._open.get(piece.stream, b"") + rest
        sys.stdout.flush()

    def end(self) -> None:
        """Print the last line of each stream, which has no newline."""
        for data in filter(None, self._open.values()):
            self._print(data)
        self._open.clear()
        sys.stdout.flush()

    def _print(self, data: bytes) -> None:
        sys.stdout.write(safe_output(data) + "\n")
