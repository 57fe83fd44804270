"""What a command prints: kept in order, folded, bounded, and handed out for storing.

The first and the last `limit` bytes are kept, what lies between is counted. A progress bar drawn
with carriage returns is folded to its last state before it counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Final

from queuectl_engine.job import Chunk, Piece, Stream
from queuectl_engine.repository.protocol import Output

_STREAMS: Final = tuple(Stream)  # to walk through an Enum takes ten times as long
_LONGEST_BAR: Final = 4 * 1024  # an unfinished line longer than this is no progress bar
_SMALL: Final = 4 * 1024  # parts below this are joined at once, so that no heap of bytes grows


class OutputBuffer:
    """Output of one attempt between two writes to the store."""

    def __init__(self, limit: int) -> None:
        """Keep `limit` bytes of the start, and as many of the end."""
        self._limit = limit
        self._head_left = limit
        self._head = _Pieces()
        self._tail = _Pieces()
        self._unfinished = dict.fromkeys(_STREAMS, b"")  # lines that may be overwritten yet
        self._stored_tail: deque[tuple[int, int]] = deque()  # seq and size
        self._stored_tail_bytes = 0
        self._last_line = dict.fromkeys(_STREAMS, b"")
        self._provisional: int | None = None  # the stored chunk that shows them meanwhile
        self._next_seq = 0
        self._total = 0
        self._dropped = 0
        self._news = False

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take what was read from one stream."""
        self._news = True
        held = self._unfinished[stream]
        text = held + data if held else data
        end = text.rfind(b"\n") + 1
        lines, rest = text[:end], text[end:]
        if b"\r" in lines:
            lines = b"\n".join(map(_last_state, lines.split(b"\n")))
        if b"\r" in rest:
            rest = _last_state(rest)
        if len(rest) > _LONGEST_BAR:
            lines, rest = lines + rest, b""
        self._unfinished[stream] = rest
        self._keep(stream, lines)
        if said := lines.rstrip():
            self._last_line[stream] = said[said.rfind(b"\n") + 1 :][-_LONGEST_BAR:]

    @property
    def last_line(self) -> bytes:
        """The last line with anything on it of stderr, else of stdout, else nothing."""
        for stream in (Stream.ERR, Stream.OUT):
            if line := self._unfinished[stream].strip() or self._last_line[stream]:
                return line
        return b""

    def take(self, at: datetime, *, last: bool = False) -> Output:
        """Everything new since the last call, to be stored. `last`: no more will come."""
        if not self._news and not (last and self._provisional is not None):
            return Output(total=self._total, dropped=self._dropped)
        self._news = False
        gone = [] if self._provisional is None else [_just(self._provisional)]
        self._provisional = None
        if last:
            for stream, rest in self._unfinished.items():
                if rest:
                    self._keep(stream, rest)
        head, _ = self._head.take(self._limit)
        tail, dropped = self._tail.take(self._limit)
        self._dropped += dropped
        chunks = [self._chunk(pieces, at) for pieces in (head, tail) if pieces]
        if tail:
            gone += self._shorten_tail(chunks[-1])
        if not last and (unfinished := self._unfinished_pieces()):
            chunks.append(self._chunk(unfinished, at))
            self._provisional = chunks[-1].seq
        return Output(tuple(chunks), tuple(gone), self._total, self._dropped)

    def _keep(self, stream: Stream, data: bytes) -> None:
        self._total += len(data)
        if self._head_left and data:
            head, data = data[: self._head_left], data[self._head_left :]
            self._head_left -= len(head)
            self._head.add(stream, head)
        if data:
            self._tail.add(stream, data)
            self._dropped += self._tail.forget_beyond(self._limit)

    def _chunk(self, pieces: tuple[Piece, ...], at: datetime) -> Chunk:
        self._next_seq += 1
        return Chunk(self._next_seq - 1, at, pieces)

    def _shorten_tail(self, new: Chunk) -> Iterator[range]:
        self._stored_tail.append((new.seq, new.size))
        self._stored_tail_bytes += new.size
        while self._stored_tail_bytes - self._stored_tail[0][1] >= self._limit:
            seq, size = self._stored_tail.popleft()
            self._stored_tail_bytes -= size
            self._dropped += size
            yield _just(seq)

    def _unfinished_pieces(self) -> tuple[Piece, ...]:
        return tuple(Piece(stream, rest) for stream, rest in self._unfinished.items() if rest)


class _Pieces:
    """Bytes of two streams in order of arrival: appended without copying, joined when taken."""

    def __init__(self) -> None:
        self._parts: deque[tuple[Stream, bytes]] = deque()
        self._size = 0

    def add(self, stream: Stream, data: bytes) -> None:
        self._size += len(data)
        if self._parts and self._parts[-1][0] is stream and len(self._parts[-1][1]) < _SMALL:
            data = self._parts.pop()[1] + data
        self._parts.append((stream, data))

    def forget_beyond(self, limit: int) -> int:
        """Drop the oldest parts that are not needed for the last `limit` bytes; how many bytes."""
        dropped = 0
        while self._size - len(self._parts[0][1]) >= limit:
            gone = len(self._parts.popleft()[1])
            self._size -= gone
            dropped += gone
        return dropped

    def take(self, limit: int) -> tuple[tuple[Piece, ...], int]:
        """The last `limit` bytes, neighbours of one stream joined, and how many came before."""
        if not self._parts:
            return (), 0
        dropped = max(0, self._size - limit)
        if dropped:
            stream, data = self._parts[0]
            self._parts[0] = stream, data[dropped:]
        if len(self._parts) == 1:  # as of most jobs
            pieces: tuple[Piece, ...] = (Piece(*self._parts[0]),)
        else:
            pieces = tuple(
                Piece(stream, b"".join(data for _, data in parts))
                for stream, parts in groupby(self._parts, key=itemgetter(0))
            )
        self._parts.clear()
        self._size = 0
        return pieces, dropped


def _just(seq: int) -> range:
    return range(seq, seq + 1)


def _last_state(line: bytes) -> bytes:
    """What a terminal would show of a line that carriage returns overwrote; CRLF stays."""
    return line[line.rstrip(b"\r").rfind(b"\r") + 1 :]
