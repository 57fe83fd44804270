"""Every key, made from the bindings that are live where it was asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import Screen

from queuectl_tui import ink
from queuectl_tui.ink import Line
from queuectl_tui.widgets.key_line import KeyLine, key_name
from queuectl_tui.widgets.line_view import LineView

_KEYS = 13  # width of the column of keys
_COLUMN = 40


class HelpScreen(Screen[None], inherit_bindings=False):
    """A page of keys; any of the usual ways out closes it."""

    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll(1)", "down", key_display="j k", id="help-down"),
        Binding("k,up", "scroll(-1)", "up", show=False, id="help-up"),
        Binding("pagedown", "page(1)", "a page down", show=False),
        Binding("pageup", "page(-1)", "a page up", show=False),
        Binding("ctrl+d", "page(0.5)", "half a page down", show=False),
        Binding("ctrl+u", "page(-0.5)", "half a page up", show=False),
        Binding("g,home", "page(-99)", "first", show=False),
        Binding("G,end", "page(99)", "last", show=False),
        Binding("q,escape,question_mark,enter", "dismiss", "back", key_display="q"),
    ]

    def __init__(self, bindings: Iterable[Binding]) -> None:
        super().__init__()
        self._bindings_shown = list(bindings)
        self._top = 0

    def compose(self) -> ComposeResult:
        """The keys, and how to leave."""
        yield LineView(id="help")
        yield KeyLine(id="keys")

    def on_resize(self, event: Resize) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self._draw)

    def action_scroll(self, by: int) -> None:
        """Show keys further down, where not all fit."""
        self._top = max(self._top + by, 0)
        self._draw()

    def action_page(self, pages: float) -> None:
        """The same by pages, as in the tables."""
        self.action_scroll(int(self.query_one("#help", LineView).size.height * pages))

    def _draw(self) -> None:
        page = self.query_one("#help", LineView)
        width, height = page.size
        lines = help_lines(self._bindings_shown, width)
        self._top = max(min(self._top, len(lines) - height), 0)
        page.show(lines[self._top : self._top + height])
        shown = {
            active.binding.id or active.binding.action: active.binding
            for active in self.active_bindings.values()
            if active.binding.show
        }
        self.query_one(KeyLine).draw(shown.values())


def help_lines(bindings: Iterable[Binding], width: int) -> list[Line]:
    """Each action once with all its keys, in as many columns as fit."""
    actions: dict[str, tuple[list[str], str]] = {}
    for binding in bindings:
        names, _ = actions.setdefault(binding.action, ([], binding.tooltip or binding.description))
        names.append(key_name(binding, alone=True))
    cells = [
        (ink.strong(ink.cell(f"   {' '.join(names)}", _KEYS)), ink.fit(text, _COLUMN - _KEYS))
        for names, text in actions.values()
    ]
    across = max(width // _COLUMN, 1)
    down = -(-len(cells) // across)
    rows = [
        ink.cut_line(ink.line(*[part for cell in cells[y::down] for part in cell]), width)
        for y in range(down)
    ]
    title = ink.ruled((ink.quiet("── "), ink.strong("Keys")), (), width)
    return [title, ink.BLANK, *rows, ink.BLANK, *_notes()]


def _notes() -> list[Line]:
    notes = (
        "▸ cursor   * marked   › the job whose detail is shown",
        "The detail keeps a job that you added or acted on until you move the cursor.",
        "Leaving stops nothing: workers and jobs go on.",
    )
    return [ink.line("   ", ink.quiet(note)) for note in notes]
