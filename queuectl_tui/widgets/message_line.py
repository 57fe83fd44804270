"""The line where questions are asked and results told. Always there: no popup, no jump."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.events import Key

from queuectl_engine import safe_text
from queuectl_tui import ink
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.widgets.line_view import LineView

TYPE_FROM = 100  # jobs above which their number is typed


@dataclass(frozen=True, slots=True)
class Question:
    """Something to confirm. `count` is how many jobs it is about; No is the default."""

    text: str
    confirmed: Callable[[], object]
    count: int = 1

    @property
    def typed(self) -> bool:
        """Whether the number has to be typed."""
        return self.count > TYPE_FROM


class MessageLine(LineView):
    """Shows a question, else what was said last, else a hint.

    While a question is open it takes every key: `y`, or the number and Enter, is Yes, anything
    else is No. What came in the same burst as the key that asked is no answer.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id)
        self._question: Question | None = None
        self._asked_in = 0
        self._digits = ""
        self._said: Line = ink.BLANK
        self._hint: Line = ink.BLANK

    @property
    def asking(self) -> bool:
        """Whether a question is open."""
        return self._question is not None

    def ask(self, question: Question, burst: int) -> None:
        """Open a question; input up to this burst was typed before it could be read."""
        self._question, self._asked_in, self._digits = question, burst, ""
        self._draw()

    def tell(self, text: str, *, command: str = "") -> None:
        """Say what was done, with the command line that does the same."""
        left = (ink.quiet(f" = {safe_text(command)}"),) if command else ()
        right = (Span(safe_text(text) + " "),)
        self._said = ink.spread(left, right, self.size.width) if left else ink.line(" ", *right)
        if left and ink.width_of(left) + ink.width_of(right) >= self.size.width:
            self._said = ink.line(" ", *right)
        self._draw()

    def fail(self, text: str) -> None:
        """Say what went wrong."""
        self._said = ink.line(Span(" ! ", Ink.BAD), safe_text(text))
        self._draw()

    def hint(self, text: str) -> None:
        """What to say while there is nothing else."""
        self._hint = ink.line(" ", ink.quiet(text)) if text else ink.BLANK
        self._draw()

    def clear(self) -> None:
        """Forget what was said."""
        self._said = ink.BLANK
        self._draw()

    def answer(self, key: Key, burst: int) -> None:
        """Take a key of this burst while a question is open."""
        question = self._question
        if question is None or burst <= self._asked_in:
            return
        if question.typed and key.character is not None and key.character.isdigit():
            self._digits += key.character
        elif question.typed and key.key == "backspace":
            self._digits = self._digits[:-1]
        elif self._is_yes(question, key):
            self._question = None
            question.confirmed()
        else:
            self._question = None
            self.tell("nothing was done")
        self._draw()

    def _is_yes(self, question: Question, key: Key) -> bool:
        if question.typed:
            return key.key == "enter" and self._digits == str(question.count)
        return key.character in ("y", "Y")

    def _draw(self) -> None:
        self.show([ink.cut_line(self._line(), self.size.width)])

    def _line(self) -> Line:
        if self._question is None:
            return self._said or self._hint
        if self._question.typed:
            how = f" type {self._question.count} and Enter, anything else is No: {self._digits}_"
        else:
            how = " y/N "
        text = ink.cut(safe_text(self._question.text), self.size.width - len(how) - 1)
        return ink.line(" ", ink.strong(text), how)
