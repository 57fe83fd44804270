"""The line where questions are asked and results told. Always there: no popup, no jump."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual.events import Key

from queuectl_engine import safe_text
from queuectl_tui import ink
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.typed import Typed
from queuectl_tui.widgets.line_view import LineView

TYPE_FROM = 100  # jobs above which their number is typed
_SHORTEST = 20  # cells below which a command line says nothing


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


@dataclass(frozen=True, slots=True)
class Prompt:
    """Something to type. `entered` hears what was typed, or None when it was given up.

    `changed` hears it while it is typed; `other` makes something of a key that edits nothing, as
    Tab or the arrows, or returns None. `help` is for the line of keys.
    """

    label: str
    help: str
    entered: Callable[[str | None], object]
    changed: Callable[[str], object] = lambda text: None
    other: Callable[[str, Typed], Typed | None] = lambda key, typed: None


class MessageLine(LineView):
    """Shows a question or a prompt, else what was said last, else a hint.

    While either is open it takes every key. `y`, or the number and Enter, answers a question with
    Yes, anything else with No. What came in the same burst as the key that asked is no answer.
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(id=id)
        self._question: Question | None = None
        self._asked_in = 0
        self._digits = ""
        self._prompt: Prompt | None = None
        self._typed = Typed()
        self._note = ""
        self._said: Line = ink.BLANK
        self._progress: Line = ink.BLANK
        self._hint: Line = ink.BLANK

    @property
    def busy(self) -> bool:
        """Whether a question or a prompt takes the keys."""
        return self._question is not None or self._prompt is not None

    @property
    def help(self) -> str:
        """What the line of keys says meanwhile."""
        if self._prompt is not None:
            return self._prompt.help
        if self._question is not None and self._question.typed:
            return f"{self._question.count} and Enter is Yes · anything else is No"
        return "y is Yes · anything else is No" if self._question else ""

    def ask(self, question: Question, burst: int) -> None:
        """Open a question; input up to this burst was typed before it could be read."""
        self._question, self._asked_in, self._digits = question, burst, ""
        self._draw()

    def prompt(self, prompt: Prompt, typed: Typed) -> None:
        """Open a prompt, with something typed already."""
        self._prompt, self._typed, self._note = prompt, typed, ""
        self._draw()

    def note(self, text: str) -> None:
        """Say something beside what is typed."""
        self._note = text
        self._draw()

    def tell(self, text: str, *, command: str = "") -> None:
        """Say what was done, with the command line that does the same."""
        right = (Span(safe_text(text) + " "),)
        room = self.size.width - ink.width_of(right) - 1
        if command and room > _SHORTEST:
            left = ink.line(ink.quiet(ink.cut(f" = {safe_text(command)}", room)))
            self._said = ink.spread(left, right, self.size.width)
        else:
            self._said = ink.line(" ", *right)
        self._draw()

    def fail(self, text: str) -> None:
        """Say what went wrong."""
        self._said = ink.line(Span(" ! ", Ink.BAD), safe_text(text))
        self._draw()

    def progress(self, text: str) -> None:
        """Say how far something long is; it stands until it is set to nothing."""
        self._progress = ink.line(" ", ink.strong(text)) if text else ink.BLANK
        self._draw()

    def hint(self, text: str) -> None:
        """What to say while there is nothing else."""
        self._hint = ink.line(" ", ink.quiet(text)) if text else ink.BLANK
        self._draw()

    def clear(self) -> None:
        """Forget what was said."""
        self._said = ink.BLANK
        self._draw()

    def paste(self, text: str) -> None:
        """Take the first line of what was pasted, where something is typed."""
        if self._prompt is not None and text.strip():
            self._change(self._typed.insert(text.strip().splitlines()[0]))

    def take(self, key: Key, burst: int) -> None:
        """Take a key of this burst while a question or a prompt is open."""
        if self._prompt is not None:
            self._type(self._prompt, key)
        elif self._question is not None and burst > self._asked_in:
            self._answer(self._question, key)
        self._draw()

    def _answer(self, question: Question, key: Key) -> None:
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

    def _is_yes(self, question: Question, key: Key) -> bool:
        if question.typed:
            return key.key == "enter" and self._digits == str(question.count)
        return key.character in ("y", "Y")

    def _type(self, prompt: Prompt, key: Key) -> None:
        if key.key in ("enter", "escape"):
            self._prompt = None
            prompt.entered(self._typed.text.strip() if key.key == "enter" else None)
        elif (edited := self._typed.edit(key.key)) or (
            edited := prompt.other(key.key, self._typed)
        ):
            self._change(edited)
        elif key.character is not None and key.is_printable:
            self._change(self._typed.insert(key.character))

    def _change(self, to: Typed) -> None:
        changed, self._typed = to.text != self._typed.text, to
        self._note = ""
        if changed and self._prompt is not None:
            self._prompt.changed(to.text)
        self._draw()

    def _draw(self) -> None:
        self.show([ink.cut_line(self._line(), self.size.width)])

    def _line(self) -> Line:
        if self._prompt is not None:
            return self._prompt_line(self._prompt)
        if self._question is None:
            return self._progress or self._said or self._hint
        how = " y/N "
        if self._question.typed:
            how = f" type {self._question.count}: {self._digits}_"
        text = ink.cut(safe_text(self._question.text), self.size.width - len(how) - 1)
        return ink.line(" ", ink.strong(text), how)

    def _prompt_line(self, prompt: Prompt) -> Line:
        """What is typed, its part around the cursor when it is long."""
        label = f" {prompt.label}"
        room = max(self.size.width - len(label) - 2, 1)
        first = max(self._typed.at - room + 1, 0)
        before = self._typed.text[first : self._typed.at]
        here = self._typed.text[self._typed.at : self._typed.at + 1] or " "
        after = self._typed.text[self._typed.at + 1 :]
        left = ink.line(ink.strong(label), before, Span(here, Ink.CURSOR), ink.cut(after, room))
        note = ink.cut(safe_text(self._note), max(self.size.width - ink.width_of(left) - 2, 0))
        return ink.spread(left, (ink.quiet(f"{note} "),) if note else (), self.size.width)
