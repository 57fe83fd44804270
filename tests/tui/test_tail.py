"""Output becomes lines as it arrives."""

from __future__ import annotations

from queuectl_engine import Chunk, Piece, Stream
from queuectl_tui.tail import LONGEST, MOST, Tail
from tests.samples import NOON

OUT, ERR = Stream.OUT, Stream.ERR


def fed(*pieces: tuple[Stream, bytes], limit: int = 10_000) -> list[tuple[Stream | None, str]]:
    tail = Tail(1, 1, limit=limit)
    for seq, (stream, data) in enumerate(pieces):
        tail.feed([Chunk(seq, NOON, (Piece(stream, data),))])
    return [(said.stream, said.text) for said in tail.lines()]


def test_a_line_may_come_in_parts_and_streams_do_not_break_each_other() -> None:
    assert fed((OUT, b"hel"), (ERR, b"oops\n"), (OUT, b"lo\nnext"), (OUT, b"\n\nend\n")) == [
        (OUT, "hello"),
        (ERR, "oops"),
        (OUT, "next"),
        (OUT, ""),
        (OUT, "end"),
    ]


def test_a_character_may_come_in_parts() -> None:
    assert fed((OUT, "grün".encode()[:3]), (OUT, "grün".encode()[3:])) == [(OUT, "grün")]


def test_a_progress_bar_shows_its_last_state() -> None:
    bar = [(OUT, f"\r{percent}%".encode()) for percent in range(101)]
    assert fed(*bar, (OUT, b"\r\ndone\r\n")) == [(OUT, "100%"), (OUT, "done")]


def test_sequences_of_a_job_are_dropped_even_when_they_come_in_parts() -> None:
    assert fed((OUT, b"a\x1b[3"), (OUT, b"1mred\x1b]52;c;AAAA\x07b\n")) == [(OUT, "aredb")]


def test_what_is_not_kept_is_said() -> None:
    tail = Tail(1, 1, limit=10_000)
    tail.feed([Chunk(7, NOON, (Piece(OUT, b"late\n"),))])
    tail.feed([Chunk(9, NOON, (Piece(OUT, b"later\n"),))])
    assert [said.text for said in tail.lines()] == [
        "… earlier output",
        "late",
        "… not kept",
        "later",
    ]
    assert tail.seq == 9


def test_it_holds_a_bounded_number_of_bytes_and_lines() -> None:
    long = fed(*[(OUT, b"x" * 99 + b"\n") for _ in range(100)], limit=1_000)
    assert len(long) == 11
    assert long[0] == (None, "… earlier output")
    assert len(fed((OUT, b"\n" * (2 * MOST)))) == MOST + 1
    [(_, text)] = fed((OUT, b"y" * (3 * LONGEST)))
    assert text == "y" * LONGEST + " …"
