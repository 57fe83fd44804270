"""A widget that holds lines and writes only those that changed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import ClassVar, Final

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from queuectl_engine import safe_text
from queuectl_tui.ink import BLANK, Ink, Line

ASCII: Final = "-ascii"  # class of an app whose terminal shows ASCII only
_SIGNS: Final = str.maketrans("─│▸›·…↑↓", "-|>}-.^v")


class LineView(Widget):
    """Draws the lines that it is given, one strip each.

    Textual repaints whole widgets and compares nothing; this one compares, so that an update
    without a difference writes no byte. It is also the last gate for foreign text: nothing that
    could move the terminal's cursor passes it.
    """

    class Resized(Message):
        """It has another size, for which it was not drawn yet."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {str(ink.value) for ink in Ink}

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id)
        self._lines: tuple[Line, ...] = ()
        self._inks: dict[Ink, Style] = {}

    @property
    def lines(self) -> tuple[Line, ...]:
        """What it shows."""
        return self._lines

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines from the top; write only those that differ from what is there."""
        before, self._lines = self._lines, tuple(lines)
        width = self.size.width
        dirty = [
            Region(0, y, width, 1)
            for y, (old, new) in enumerate(zip_longest(before, self._lines, fillvalue=BLANK))
            if old != new and y < self.size.height
        ]
        if dirty:
            self.refresh(*dirty)

    def render_line(self, y: int) -> Strip:
        """One line as the compositor wants it."""
        drawn = self._lines[y] if y < len(self._lines) else BLANK
        signs = _SIGNS if self.app.has_class(ASCII) else {}
        segments = [
            Segment(safe_text(span.text).translate(signs), self._style(span.ink)) for span in drawn
        ]
        return Strip(segments).adjust_cell_length(self.size.width, self._style(Ink.PLAIN))

    def _style(self, ink: Ink) -> Style:
        # Textual forgets them at each refresh, and a tenth of a picture was to find them anew.
        if ink not in self._inks:
            self._inks[ink] = _without_defaults(self.get_component_rich_style(ink))
        return self._inks[ink]

    def notify_style_update(self) -> None:
        """Textual's word that the rules for this widget may be others."""
        self._inks.clear()
        super().notify_style_update()

    def on_resize(self, event: Resize) -> None:
        """Whoever owns it draws it anew for the new size."""
        self.refresh()
        self.post_message(self.Resized())


@lru_cache
def _without_defaults(style: Style) -> Style:
    """The same where nothing else was set before: naming a default colour costs bytes each time."""
    ink, paper = style.color, style.bgcolor
    return style.without_color + Style(
        color=None if ink and ink.is_default else ink,
        bgcolor=None if paper and paper.is_default else paper,
    )
