"""What is kept of what a command prints: all of little, both ends of much."""

from __future__ import annotations

import random

import pytest

from queuectl_engine.job import Chunk, Stream
from queuectl_engine.pool.output import OutputBuffer
from queuectl_engine.repository.protocol import Output
from tests.samples import NOON


class Store:
    """What a repository would hold of an attempt's output."""

    def __init__(self) -> None:
        self.chunks: dict[int, Chunk] = {}
        self.total = self.dropped = 0

    def write(self, output: Output) -> None:
        for chunk in output.chunks:
            assert chunk.seq not in self.chunks
            self.chunks[chunk.seq] = chunk
        for gone in output.gone:
            for seq in gone:
                del self.chunks[seq]
        self.total, self.dropped = output.total, output.dropped

    @property
    def data(self) -> bytes:
        pieces = [p for seq in sorted(self.chunks) for p in self.chunks[seq].pieces]
        return b"".join(piece.data for piece in pieces)


def test_little_output_is_kept_whole_and_tells_its_streams_apart() -> None:
    buffer, store = OutputBuffer(1000), Store()
    buffer.feed(Stream.OUT, b"one\n")
    buffer.feed(Stream.OUT, b"two\n")
    buffer.feed(Stream.ERR, b"oops\n")
    buffer.feed(Stream.OUT, b"three")

    store.write(buffer.take(NOON, last=True))

    pieces = store.chunks[0].pieces
    assert [(p.stream, p.data) for p in pieces] == [
        (Stream.OUT, b"one\ntwo\n"),
        (Stream.ERR, b"oops\n"),
        (Stream.OUT, b"three"),
    ]
    assert (store.total, store.dropped) == (18, 0)


def test_nothing_new_writes_nothing() -> None:
    buffer = OutputBuffer(1000)
    assert buffer.take(NOON).chunks == ()
    buffer.feed(Stream.OUT, b"x\n")
    assert buffer.take(NOON).chunks
    assert buffer.take(NOON).chunks == ()
    assert buffer.take(NOON, last=True).chunks == ()


@pytest.mark.parametrize("seed", range(20))
def test_much_output_keeps_both_ends_and_counts_the_middle(seed: int) -> None:
    chance = random.Random(seed)
    limit = chance.choice([1, 10, 100, 1000])
    buffer, store, everything = OutputBuffer(limit), Store(), b""
    for _ in range(chance.randint(1, 60)):
        data = bytes(chance.choices(b"abcdef\n", k=chance.randint(1, limit)))
        if seed % 2:
            stream = Stream.OUT  # in any pieces
        else:
            data, stream = data + b"\n", chance.choice(list(Stream))  # whole lines of both
        everything += data
        buffer.feed(stream, data)
        if chance.random() < 0.3:
            store.write(buffer.take(NOON))
    store.write(buffer.take(NOON, last=True))

    kept = store.data
    assert store.total == len(everything)
    assert len(kept) == store.total - store.dropped
    assert kept[:limit] == everything[:limit]
    assert everything.endswith(kept[limit:])
    assert len(kept) >= min(len(everything), 2 * limit)
    assert len(kept) <= 3 * limit + 1


def test_memory_between_two_writes_is_bounded() -> None:
    buffer, store = OutputBuffer(1000), Store()
    for _ in range(1000):
        buffer.feed(Stream.OUT, b"x" * 999)

    output = buffer.take(NOON)

    store.write(output)
    assert sum(chunk.size for chunk in output.chunks) == 2000
    assert output.dropped == 999_000 - 2000


@pytest.mark.parametrize(
    ("printed", "kept"),
    [
        (b"10%\r20%\r100%\ndone\n", b"100%\ndone\n"),
        (b"dos\r\nlines\r\n", b"dos\r\nlines\r\n"),
        (b"10%\r20%\r", b"20%\r"),
        (b"plain\n10%\r20%", b"plain\n20%"),
        (b"10%\r\r\n", b"10%\r\r\n"),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_progress_bar_is_folded_to_its_last_state(printed: bytes, kept: bytes, step: int) -> None:
    buffer, store = OutputBuffer(1000), Store()
    for start in range(0, len(printed), step):
        buffer.feed(Stream.OUT, printed[start : start + step])
    store.write(buffer.take(NOON, last=True))
    assert store.data == kept


def test_an_unfinished_line_is_seen_and_stored_once() -> None:
    buffer, store = OutputBuffer(1000), Store()
    buffer.feed(Stream.OUT, b"Password: ")
    store.write(buffer.take(NOON))
    assert store.data == b"Password: "
    buffer.feed(Stream.OUT, b"wrong\nPass")
    store.write(buffer.take(NOON))
    assert store.data == b"Password: wrong\nPass"
    store.write(buffer.take(NOON, last=True))
    assert store.data == b"Password: wrong\nPass"
    assert (store.total, store.dropped) == (20, 0)


def test_a_progress_bar_is_seen_while_it_moves_and_does_not_pile_up() -> None:
    buffer, store = OutputBuffer(1000), Store()
    for percent in range(100):
        buffer.feed(Stream.ERR, b"%d%%\r" % percent)
        store.write(buffer.take(NOON))
        assert store.data == b"%d%%\r" % percent
    buffer.feed(Stream.ERR, b"100%\n")
    store.write(buffer.take(NOON, last=True))
    assert store.data == b"100%\n"
    assert store.total == 5


def test_an_endless_line_is_no_progress_bar() -> None:
    buffer, store = OutputBuffer(1_000_000), Store()
    buffer.feed(Stream.OUT, b"start\r" + b"x" * 200_000)
    store.write(buffer.take(NOON, last=True))
    assert store.data == b"x" * 200_000
