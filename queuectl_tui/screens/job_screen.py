"""Adding or editing a job: the command is enough, everything else has a value already."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.events import Key, Paste, Resize
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from queuectl_engine import QueuectlError, safe_text
from queuectl_tui import ink, words
from queuectl_tui.acts import Told
from queuectl_tui.hands import Deed, Tell
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.job_form import Form
from queuectl_tui.terminal import burst_of, last_burst
from queuectl_tui.widgets.line_view import LineView

ADDING: Final = (
    ("queue", "priority", "retries", "timeout"),
    ("run_at", "directory", "key", "shell"),
    ("labels", "secrets"),
    ("retry_on", "never_on"),
    ("after_ok", "after_any", "after_fail", "mutex"),
)
EDITING: Final = (
    ("queue", "priority", "retries", "timeout"),
    ("run_at", "key"),
    ("labels", "retry_on", "never_on"),
    ("after_ok", "after_any", "after_fail", "mutex"),
)
Submit = Callable[[Form, Sequence[str]], Deed[Told]]


class Field(Input):
    """One line to type into; the cursor stands still."""

    def __init__(self, name: str, default: str, value: str) -> None:
        super().__init__(
            safe_text(value),
            placeholder=safe_text(default),
            select_on_focus=False,
            compact=True,
            id=name.replace("_", "-"),
        )
        self.cursor_blink = False

    def replace(self, text: str, start: int, end: int) -> None:
        """Every change comes by here: what a terminal would not draw as itself is left out."""
        super().replace(harmless(text), start, end)

    def on_paste(self, event: Paste) -> None:
        """Several lines are several jobs."""
        lines = tuple(filter(None, (harmless(line).strip() for line in event.text.splitlines())))
        if self.id == "command" and len(lines) > 1 and isinstance(self.screen, JobScreen):
            event.prevent_default()
            event.stop()
            self.screen.ask_about(lines)

    def on_key(self, event: Key) -> None:
        """A key that was read before the question took the focus is for the question, too."""
        if isinstance(self.screen, JobScreen) and self.screen.takes(event):
            event.prevent_default()
            event.stop()


def harmless(text: str) -> str:
    """Text without what a terminal would not draw as itself."""
    return "".join(char for char in text.replace("\t", " ") if safe_text(char) == char)


class JobScreen(ModalScreen[Told | None]):
    """The form. It closes when the job is stored, and says what is wrong until then."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "close", priority=True, id="form-close"),
        Binding("tab", "app.focus_next", "next field", priority=True, id="form-next"),
        Binding("shift+tab", "app.focus_previous", "previous field", priority=True, id="form-prev"),
        Binding("up", "history(-1)", "earlier command", id="form-earlier"),
        Binding("down", "history(1)", "later command", show=False, id="form-later"),
    ]

    @dataclass
    class Ended(Message):
        """The deed ended."""

        result: Told | QueuectlError

    def __init__(
        self,
        title: str,
        verb: str,
        rows: Sequence[Sequence[str]],
        filled: Form,
        submit: Submit,
        do: Callable[[Deed[Told], Tell[Told]], None],
        history: list[str],
    ) -> None:
        """`history` is of this session, oldest first; what is stored goes to its end."""
        super().__init__()
        self._title, self._verb, self._rows, self._filled = title, verb, rows, filled
        self._submit, self._do = submit, do
        self._history = history
        self._at = len(history)
        self._note: Line = ink.BLANK
        self._waiting = False
        self._lines: tuple[str, ...] = ()  # pasted, and asked about
        self._asked_in = 0

    def compose(self) -> ComposeResult:
        """The command first; the rest a Tab away."""
        defaults = {
            "queue": "default",
            "priority": "0",
            "retries": "3",
            "timeout": "none",
            "run_at": "now",
            "directory": words.tilde(os.getcwd()),
            "key": "none",
            "shell": "/bin/sh",
            "labels": "none",
            "secrets": "none",
            "retry_on": "any exit",
            "never_on": "none",
            "after_ok": "none",
            "after_any": "none",
            "after_fail": "none",
            "mutex": "none",
        }
        filled = asdict(self._filled)
        with Container(id="form"):
            yield LineView(id="form-title")
            with Horizontal(classes="row"):
                yield Label("command", markup=False)
                yield Field("command", "", filled["command"])
            for row in self._rows:
                with Horizontal(classes="row"):
                    for name in row:
                        yield Label(name.replace("_", " "), classes=f"for-{name}", markup=False)
                        yield Field(name, defaults[name], filled[name])
            yield LineView(id="form-note")

    def on_mount(self) -> None:
        """Typing goes to the command."""
        self.set_focus(self.query_one("#command"))

    def on_key(self, event: Key) -> None:
        """A question takes every key; what was typed before the form was there is a command."""
        if self.focused is not None:
            return
        event.stop()
        if not self.takes(event):
            self.set_focus(self.query_one("#command"))
            self._forward_event(event.copy())

    def takes(self, event: Key) -> bool:
        """Whether a question is open; what came with the paste is no answer to it."""
        if not self._lines:
            return False
        if burst_of(event) > self._asked_in or not burst_of(event):
            self._answer(yes=event.character in ("y", "Y"))
        return True

    def ask_about(self, lines: Sequence[str]) -> None:
        """Ask before several jobs come of one paste."""
        self._lines, self._asked_in = tuple(lines), last_burst(self.app)
        self.set_focus(None)
        count = words.jobs(len(lines))
        self._note = ink.line(" ", ink.strong(f"add {count}, one for each line?"), " y/N")
        self._draw()

    def on_resize(self, event: Resize) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self._draw)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in any field stores the job."""
        form = self._form()
        self._store(form, [form.command])

    def on_job_screen_ended(self, message: Ended) -> None:
        """Close, or say why not."""
        self._waiting = False
        if isinstance(message.result, Told):
            self._history.append(self.query_one("#command", Input).value)
            self.dismiss(message.result)
        else:
            self._complain(message.result)

    def on_input_changed(self, event: Input.Changed) -> None:
        """What was wrong may be right now."""
        if self._note:
            self._note = ink.BLANK
            self._draw()

    def action_history(self, by: int) -> None:
        """Take a command that was added before."""
        command = self.query_one("#command", Input)
        self._at = max(min(self._at + by, len(self._history)), 0)
        command.value = self._history[self._at] if self._at < len(self._history) else ""
        command.cursor_position = len(command.value)
        command.focus()

    def _form(self) -> Form:
        shown = {"command", *(name for row in self._rows for name in row)}
        values = {
            field.name: self.query_one(f"#{field.name.replace('_', '-')}", Input).value.strip()
            for field in fields(Form)
            if field.name in shown
        }
        return Form(**values)

    def _store(self, form: Form, commands: Sequence[str]) -> None:
        if self._waiting:
            return
        try:
            deed = self._submit(form, commands)
        except QueuectlError as error:
            self._complain(error)
            return
        self._waiting = True
        self._do(deed, lambda result: self.post_message(self.Ended(result)))

    def _answer(self, *, yes: bool) -> None:
        lines, self._lines = self._lines, ()
        self._note = ink.BLANK
        self.set_focus(self.query_one("#command"))
        if yes:
            self._store(self._form(), lines)
        self._draw()

    def _complain(self, error: QueuectlError) -> None:
        self._note = ink.line(Span(" ! ", Ink.BAD), safe_text(str(error)))
        self._draw()

    def _draw(self) -> None:
        title = self.query_one("#form-title", LineView)
        width = title.size.width
        title.show([ink.ruled((ink.quiet("── "), ink.strong(self._title)), (), width)])
        keys = f" Enter {self._verb} · Tab next field · ↑ history · Esc closes"
        hint = ink.line(ink.quiet(keys))
        self.query_one("#form-note", LineView).show([ink.cut_line(self._note or hint, width)])
