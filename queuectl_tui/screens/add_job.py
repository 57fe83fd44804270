"""Adding a job: the command is enough, everything else has a default."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.events import Key, Resize
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Label

from queuectl_engine import QueuectlError, safe_text
from queuectl_tui import acts, ink, words
from queuectl_tui.acts import Act, Done, Form, Tell
from queuectl_tui.ink import Ink, Line, Span
from queuectl_tui.widgets.line_view import LineView

_ROWS: Final = (
    ("queue", "priority", "retries", "timeout"),
    ("run_at", "directory", "key", "shell"),
)


class Field(Input):
    """One line to type into; the cursor stands still."""

    def __init__(self, name: str, default: str) -> None:
        super().__init__(
            placeholder=safe_text(default),
            select_on_focus=False,
            compact=True,
            id=name.replace("_", "-"),
        )
        self.cursor_blink = False

    def replace(self, text: str, start: int, end: int) -> None:
        """Every change comes by here: what a terminal would not draw as itself is left out."""
        harmless = (char for char in text.replace("\t", " ") if safe_text(char) == char)
        super().replace("".join(harmless), start, end)


class AddJobScreen(ModalScreen[Done | None]):
    """The form. It closes when the job is stored, and says what is wrong until then."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "close", priority=True, id="form-close"),
        Binding("tab", "app.focus_next", "next field", priority=True, id="form-next"),
        Binding("shift+tab", "app.focus_previous", "previous field", priority=True, id="form-prev"),
        Binding("up", "history(-1)", "earlier command", id="form-earlier"),
        Binding("down", "history(1)", "later command", show=False, id="form-later"),
    ]

    @dataclass
    class Added(Message):
        """The act ended."""

        result: Done | QueuectlError

    def __init__(
        self,
        do: Callable[[Act, Tell], None],
        history: list[str],
        now: Callable[[], datetime],
    ) -> None:
        """`history` is of this session, oldest first; what is added goes to its end."""
        super().__init__()
        self._do = do
        self._history = history
        self._at = len(history)
        self._now = now
        self._note: Line = ink.BLANK
        self._waiting = False

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
        }
        with Container(id="form"):
            yield LineView(id="form-title")
            with Horizontal(classes="row"):
                yield Label("command", markup=False)
                yield Field("command", "")
            for row in _ROWS:
                with Horizontal(classes="row"):
                    for name in row:
                        yield Label(name.replace("_", " "), classes=f"for-{name}", markup=False)
                        yield Field(name, defaults[name])
            yield LineView(id="form-note")

    def on_mount(self) -> None:
        """Typing goes to the command."""
        self.set_focus(self.query_one("#command"))

    def on_key(self, event: Key) -> None:
        """What was typed before the form was there is part of the command."""
        if self.focused is None:
            event.stop()
            self.set_focus(self.query_one("#command"))
            self._forward_event(event.copy())

    def on_resize(self, event: Resize) -> None:
        """Draw for the new size."""
        self.call_after_refresh(self._draw)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in any field adds the job."""
        if self._waiting:
            return
        form = Form(
            **{
                field.name: self.query_one(f"#{field.name.replace('_', '-')}", Input).value.strip()
                for field in fields(Form)
            }
        )
        try:
            act = acts.add(form, self._now().astimezone())
        except QueuectlError as error:
            self._complain(error)
            return
        self._waiting = True
        self._do(act, lambda result: self.post_message(self.Added(result)))

    def on_add_job_screen_added(self, message: Added) -> None:
        """Close, or say why not."""
        self._waiting = False
        if isinstance(message.result, Done):
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

    def _complain(self, error: QueuectlError) -> None:
        self._note = ink.line(Span(" ! ", Ink.BAD), safe_text(str(error)))
        self._draw()

    def _draw(self) -> None:
        title = self.query_one("#form-title", LineView)
        width = title.size.width
        title.show([ink.ruled((ink.quiet("── "), ink.strong("Add a job")), (), width)])
        hint = ink.line(ink.quiet(" Enter adds · Tab next field · ↑ history · Esc closes"))
        self.query_one("#form-note", LineView).show([ink.cut_line(self._note or hint, width)])
