"""`python -m benchmarks.other_screens WAY DB`: the same tables, drawn in ways that were not taken.

`cells`: three stock DataTables, of which each cell that differs is updated. `rows`: the same,
cleared and filled again. `whole`: queuectl-tui itself without its comparison of lines.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar, Final

from textual.app import App, ComposeResult
from textual.containers import Container, Vertical
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Static

from queuectl_engine import Database, Engine, JobState, View, open_engine
from queuectl_tui import columns, words
from queuectl_tui.app import queue_app
from queuectl_tui.feed import POLL
from queuectl_tui.ink import Line
from queuectl_tui.widgets.line_view import LineView

_VIEWS: Final = (View.PENDING, View.PROCESSING, View.DEAD)
_WIDE: Final = 140


class StockScreen(App[None]):
    """What most would write: a DataTable for each table, looked at as often as ours."""

    ENABLE_COMMAND_PALETTE = False
    CSS: ClassVar[str] = """
        Screen { overflow: hidden; }
        .line { height: 1; }
        #body { height: 1fr; }
        #tables { height: 2fr; }
        #detail { height: 1fr; }
        #pending { height: 2fr; }
        #processing, #dead { height: 1fr; }
        .wide #body { layout: horizontal; }
        .wide #tables { width: 4fr; height: 1fr; }
        .wide #detail { width: 3fr; height: 1fr; }
    """

    def __init__(self, engine: Engine, *, by_cell: bool) -> None:
        super().__init__()
        self._engine = engine
        self._by_cell = by_cell
        self._tables: dict[View, DataTable[str]] = {
            view: DataTable(id=str(view), cursor_type="row") for view in _VIEWS
        }
        self._header = Static(classes="line")
        self._detail = Static(id="detail", markup=False)

    def compose(self) -> ComposeResult:
        """The same places as ours."""
        yield self._header
        with Container(id="body"):
            with Vertical(id="tables"):
                yield from self._tables.values()
            yield self._detail
        yield Static(classes="line")
        yield Static("q quit", classes="line")

    def on_mount(self) -> None:
        """Look once, and then as often as our feed does."""
        self.set_class(self.size.width >= _WIDE, "wide")
        for view, table in self._tables.items():
            for column in columns.COLUMNS[view]:
                table.add_column(column.title, width=column.width)
            table.add_column("COMMAND", width=60)
        self._tables[View.PENDING].focus()
        self.call_after_refresh(self._draw)
        self.set_interval(POLL, self._look)

    def _look(self) -> None:
        if self._engine.changed():
            self._draw()

    def _draw(self) -> None:
        now = datetime.now(UTC)
        counts = self._engine.counts()
        self._header.update(
            " ".join(f"{state} {words.number(counts.of(state))}" for state in JobState)
        )
        for view, table in self._tables.items():
            jobs = self._engine.page(view, limit=max(table.size.height - 1, 1)).jobs
            texts = [
                [*(column.text(job, now) for column in columns.COLUMNS[view]), job.command]
                for job in jobs
            ]
            self._fill(table, texts)
            if view is View.PENDING and jobs:
                self._detail.update(f"{jobs[0].id}\n{jobs[0].command}\n{jobs[0].created_at}")

    def _fill(self, table: DataTable[str], texts: list[list[str]]) -> None:
        if not self._by_cell or table.row_count != len(texts):
            table.clear()
            table.add_rows(texts)
            return
        for row, cells in enumerate(texts):
            for column, text in enumerate(cells):
                place = Coordinate(row, column)
                if table.get_cell_at(place) != text:
                    table.update_cell_at(place, text)


def _draw_all(view: LineView, lines: Sequence[Line]) -> None:
    view._lines = tuple(lines)
    view.refresh()


def main() -> None:
    """Run one of them until it is killed."""
    way, path = sys.argv[1:]
    if way == "whole":
        LineView.show = _draw_all  # type: ignore[method-assign, assignment]
        with open_engine(path) as engine:
            database: Database = engine.database
        queue_app(database).run(mouse=False)
    else:
        with open_engine(path) as engine:
            StockScreen(engine, by_cell=way == "cells").run(mouse=False)


if __name__ == "__main__":
    main()
