"""The last line: the keys of the pane that has the focus, made from the live bindings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from textual.binding import Binding

from queuectl_tui import ink
from queuectl_tui.ink import Line, Span
from queuectl_tui.widgets.line_view import LineView

_NAMES: Final = {
    "enter": "Enter",
    "escape": "Esc",
    "space": "Space",
    "tab": "Tab",
    "shift+tab": "shift+Tab",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "slash": "/",
    "comma": ",",
    "full_stop": ".",
    "colon": ":",
    "asterisk": "*",
    "up": "↑",
    "down": "↓",
    "home": "Home",
    "end": "End",
    "pageup": "PgUp",
    "pagedown": "PgDn",
}
_ALWAYS: Final = ("?", "q")  # whatever else has no room


class KeyLine(LineView):
    """Draws the bindings that it is given."""

    def draw(self, bindings: Iterable[Binding]) -> None:
        """Show keys and what they do."""
        self.show([key_line(bindings, self.size.width)])

    def say(self, text: str) -> None:
        """Show what the keys mean while they mean something else."""
        self.show([ink.cut_line(ink.line(" ", ink.quiet(text)), self.size.width)])


def key_name(binding: Binding, *, alone: bool = False) -> str:
    """How a key is written for people; `alone` leaves out a neighbour that it is shown with."""
    shown = None if alone else binding.key_display
    return shown or _NAMES.get(binding.key, binding.key)


def key_line(bindings: Iterable[Binding], width: int) -> Line:
    """As many keys as fit; help and the way out always do."""
    shown = list(bindings)
    always = [binding for binding in shown if key_name(binding) in _ALWAYS]
    right = [part for binding in always for part in _parts(binding)]
    left: list[Span | str] = [" "]
    for binding in shown:
        if binding in always:
            continue
        more = [*left, *_parts(binding)]
        if ink.width_of(ink.line(*more, *right)) > width:
            break
        left = more
    return ink.line(*left, *right)


def _parts(binding: Binding) -> tuple[Span, Span]:
    return ink.strong(key_name(binding)), ink.quiet(f" {binding.description}  ")
