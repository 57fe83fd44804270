"""The end of a job's output as lines: fed with new chunks, each line made harmless once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from queuectl_engine import Chunk, Piece, Stream, safe_output
from queuectl_tui.picture import Said

LONGEST: Final = 4096  # bytes of one line that are shown
MOST: Final = 10_000  # lines that are held


@dataclass(slots=True, eq=False)
class _Line:
    stream: Stream | None
    raw: bytearray
    at: datetime | None = None  # when its first bytes were stored
    is_cut: bool = False
    said: Said | None = None  # the harmless form, made when asked for

    def show(self) -> Said:
        if self.said is None:
            text = safe_output(bytes(self.raw))
            self.said = Said(self.stream, text + " …" if self.is_cut else text, self.at)
        return self.said

    @property
    def weight(self) -> int:
        """Bytes that count against the limit: notes are ours."""
        return len(self.raw) if self.stream else 0

    def extend(self, data: bytes) -> int:
        """Add bytes; by how many it grew."""
        before = len(self.raw)
        self.raw += data
        if b"\r" in data:  # what a progress bar overwrote need not be kept
            del self.raw[: self.raw.rstrip(b"\r").rfind(b"\r") + 1]
        if len(self.raw) > LONGEST:
            del self.raw[LONGEST:]
            self.is_cut = True
        self.said = None
        return len(self.raw) - before


class Tail:
    """The last lines of one attempt, at most `limit` bytes of them.

    A line stands where its first byte arrived; the streams do not break each other's lines.
    """

    def __init__(self, job: int, attempt: int, *, limit: int) -> None:
        self.job = job
        self.attempt = attempt
        self.seq = -1  # of the last chunk that was fed
        self._limit = limit
        self._lines: list[_Line] = []
        self._open: dict[Stream, _Line] = {}
        self._held = 0

    def feed(self, chunks: Iterable[Chunk]) -> None:
        """Add what was printed since."""
        for chunk in chunks:
            if chunk.seq > self.seq + 1:
                self._note("… not kept" if self.seq >= 0 else "… earlier output")
            self.seq = chunk.seq
            for piece in chunk.pieces:
                self._add(piece, chunk.at)
        self._forget()

    def lines(self) -> tuple[Said, ...]:
        """What is held, made harmless."""
        return tuple(line.show() for line in self._lines)

    def _note(self, text: str) -> None:
        self._open.clear()
        self._lines.append(_note(text))

    def _add(self, piece: Piece, at: datetime) -> None:
        *ended, rest = piece.data.split(b"\n")
        for part in ended:
            self._extend(piece.stream, part, at)
            del self._open[piece.stream]
        if rest:
            self._extend(piece.stream, rest, at)

    def _extend(self, stream: Stream, data: bytes, at: datetime) -> None:
        line = self._open.get(stream)
        if line is None:
            line = self._open[stream] = _Line(stream, bytearray(), at)
            self._lines.append(line)
        self._held += line.extend(data)

    def _forget(self) -> None:
        gone = max(len(self._lines) - MOST, 0)
        self._held -= sum(line.weight for line in self._lines[:gone])
        while self._held > self._limit and gone < len(self._lines) - 1:
            self._held -= self._lines[gone].weight
            gone += 1
        if gone:
            self._lines[:gone] = [_note("… earlier output")]
            kept = {id(line) for line in self._lines}
            self._open = {s: line for s, line in self._open.items() if id(line) in kept}


def _note(text: str) -> _Line:
    return _Line(None, bytearray(text.encode()))
