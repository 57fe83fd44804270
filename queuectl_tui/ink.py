"""Lines of text with a role instead of a colour: what every widget here draws.

Pure: a line is a value that can be compared, so that only lines that changed are written to the
terminal. Which colour a role has is said in `app.tcss`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NamedTuple

from rich.cells import cell_len, set_cell_size


class Ink(StrEnum):
    """The role of a piece of text; the value is its class in `app.tcss`."""

    PLAIN = "line--plain"
    QUIET = "line--quiet"
    STRONG = "line--strong"
    TITLE = "line--title"
    GOOD = "line--good"
    WARN = "line--warn"
    BAD = "line--bad"
    CURSOR = "line--cursor"
    FOUND = "line--found"


class Span(NamedTuple):
    """A piece of a line in one ink."""

    text: str
    ink: Ink = Ink.PLAIN


Line = tuple[Span, ...]

BLANK: Final[Line] = ()
CUT: Final = "~"


def line(*parts: Span | str) -> Line:
    """A line of these parts; neighbours in the same ink become one span, so it costs less."""
    spans: list[Span] = []
    for part in parts:
        span = Span(part) if isinstance(part, str) else part
        if not span.text:
            continue
        if spans and spans[-1].ink is span.ink:
            span = Span(spans.pop().text + span.text, span.ink)
        spans.append(span)
    return tuple(spans)


def quiet(text: str) -> Span:
    """Text that explains and does not matter by itself."""
    return Span(text, Ink.QUIET)


def strong(text: str) -> Span:
    """Text to find at a glance."""
    return Span(text, Ink.STRONG)


def text_of(drawn: Line) -> str:
    """What a line says, without its inks."""
    return "".join(span.text for span in drawn)


def width_of(drawn: Line) -> int:
    """How many cells a line takes."""
    return sum(cell_len(span.text) for span in drawn)


def cut(text: str, width: int) -> str:
    """`text` in at most `width` cells; a `~` at the end says that something is missing."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1) + CUT if width > 0 else ""


def fit(text: str, width: int) -> str:
    """`text` in exactly `width` cells."""
    return set_cell_size(cut(text, width), max(width, 0))


def cell(text: str, width: int) -> str:
    """`text` for a column of `width` cells, the last one of which stays empty."""
    return fit(cut(text, width - 1), width)


def cut_line(drawn: Line, width: int) -> Line:
    """A line in at most `width` cells."""
    if width_of(drawn) <= width:
        return drawn
    kept: list[Span] = []
    left = width - 1
    for span in drawn:
        text = set_cell_size(span.text, min(cell_len(span.text), left))
        kept.append(Span(text, span.ink))
        left -= cell_len(text)
        if left <= 0:
            break
    return line(*kept, Span(CUT, kept[-1].ink if kept else Ink.PLAIN))


def spread(left: Line, right: Line, width: int) -> Line:
    """`left` and `right` at the two ends of a line; `right` goes when there is no room for both."""
    gap = width - width_of(left) - width_of(right)
    if gap < 1:
        return cut_line(left, width)
    return line(*left, " " * gap, *right)


def ruled(left: Line, right: Line, width: int) -> Line:
    """A title: `left`, a quiet rule, `right`, and the end of the rule."""
    tail = (*right, quiet(" ──")) if right else ()
    room = width - width_of(left) - width_of(tail) - 2
    if room < 1:
        return ruled(left, (), width) if right else cut_line(left, width)
    after = " " if tail else "─"
    return line(*left, quiet(" " + "─" * room + after), *tail)
