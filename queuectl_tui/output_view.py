"""The output of a job as lines, in the way that a person wants to see it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, chop_cells

from queuectl_engine import Stream
from queuectl_tui import ink
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.picture import Said

_MARKS: Final = {
    Stream.OUT: ink.quiet("out │ "),
    Stream.ERR: Span("err │ ", Ink.WARN),
    None: ink.quiet("    · "),
}
_NEXT: Final[dict[Stream | None, Stream | None]] = {
    None: Stream.ERR,
    Stream.ERR: Stream.OUT,
    Stream.OUT: None,
}
_NAMES: Final = {None: "both", Stream.ERR: "err", Stream.OUT: "out"}


@dataclass(frozen=True, slots=True)
class Look:
    """How output is shown: which stream (None for both), wrapped or cut, with its times."""

    stream: Stream | None = None
    wrap: bool = False
    times: bool = False

    @property
    def next_stream(self) -> Stream | None:
        """What the key for the stream turns to."""
        return _NEXT[self.stream]

    @property
    def margin(self) -> int:
        """Cells before the text."""
        return 7 + (9 if self.times else 0)

    def __str__(self) -> str:
        parts = [_NAMES[self.stream]] if self.stream else []
        parts += ["wrapped"] if self.wrap else []
        parts += ["times"] if self.times else []
        return " ".join(parts)


def fold(output: Sequence[Said], width: int, look: Look) -> list[Said]:
    """The lines of the wanted stream; long ones go on in further lines, or are cut when drawn."""
    kept = [said for said in output if look.stream in (None, said.stream) or said.stream is None]
    if not look.wrap:
        return kept
    room = max(width - look.margin, 1)
    folded: list[Said] = []
    for said in kept:
        if cell_len(said.text) <= room:
            folded.append(said)
        else:
            folded += [Said(said.stream, part, said.at) for part in chop_cells(said.text, room)]
    return folded


def output_line(said: Said, width: int, look: Look, *, found: bool = False) -> Line:
    """A line of output with the mark of its stream; `found` makes it stand out."""
    time = ""
    if look.times:
        time = f"{said.at.astimezone():%H:%M:%S} " if said.at else " " * 9
    text = ink.cut(said.text, width - look.margin)
    drawn = (
        ink.quiet(text) if said.stream is None else Span(text, Ink.FOUND if found else Ink.PLAIN)
    )
    return ink.line(" ", ink.quiet(time), _MARKS[said.stream], drawn)


def lines_with(output: Sequence[Said], wanted: str) -> list[int]:
    """The numbers of the lines that hold this text, whatever the case."""
    sought = wanted.casefold()
    if not sought:
        return []
    return [number for number, said in enumerate(output) if sought in said.text.casefold()]
