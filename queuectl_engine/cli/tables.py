"""Tables: drawn by rich for a person, tab-separated lines without a header for a program."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from queuectl_engine.cli.terminal import on_terminal
from queuectl_engine.safe_text import safe_text

# A cell that would break its line in a pipe; everything else of it is passed on as it is.
_ONE_LINE: Final = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})
_STYLES: Final = {
    "processing": "cyan",
    "completed": "green",
    "failed": "yellow",
    "dead": "red",
    "paused": "yellow",
    "running": "green",
    "stopping": "yellow",
}

_GAP: Final = 2  # blanks between columns
_WIDEST: Final = 24  # of all columns but the last, which gets what is left
_NARROWEST: Final = 10


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: numbers stand `right`; the `last` one is cut to what is left."""

    title: str
    right: bool = False
    last: bool = False


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of foreign text: read at once for a terminal, one by one for a pipe.

    On a terminal, columns in which nothing stands are left out, except the last.
    """
    if on_terminal():
        _draw(columns, rows)
        return
    for row in rows:
        sys.stdout.write("\t".join(cell.translate(_ONE_LINE) for cell in row) + "\n")


def _draw(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    cells = [[Text(safe_text(cell), style=_STYLES.get(cell, "")) for cell in row] for row in rows]
    used = [n for n, column in enumerate(columns) if column.last or any(row[n] for row in cells)]
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    left = console.width
    for index in used:
        column = columns[index]
        widest = max([len(column.title), *(row[index].cell_len for row in cells)])
        # rich would take from every column when one is too long
        width = min(widest, max(left, _NARROWEST) if column.last else _WIDEST)
        left -= width + _GAP
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            max_width=width,
        )
    for row in cells:
        table.add_row(*(row[index] for index in used))
    console.print(table)
