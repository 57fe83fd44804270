"""The keys of the main screen, and where each of them applies.

Only keys that reach every terminal. The description of an action is for the key line, its tooltip
for the help; ids are for people who want other keys.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from textual.binding import Binding

from queuectl_engine import JobState
from queuectl_tui.acts import CANCELLABLE, DELETABLE, REQUEUEABLE

_ACTING: Final = [
    Binding("a", "add", "add", tooltip="add a job", id="add"),
    Binding("r", "requeue", "requeue", tooltip="requeue job or marked", id="requeue"),
    Binding("x", "cancel", "cancel", tooltip="cancel job or marked", id="cancel"),
    Binding("d", "delete", "delete", tooltip="delete job or marked", id="delete"),
    Binding(
        "plus",
        "more_workers",
        "workers",
        key_display="+/-",
        tooltip="one worker more",
        id="more-workers",
    ),
    Binding(
        "minus",
        "fewer_workers",
        "a worker less",
        show=False,
        tooltip="one worker less",
        id="fewer-workers",
    ),
]
_WATCHING: Final = [
    Binding("enter", "open", "open", tooltip="detail full size", id="open"),
    Binding("space", "mark", "mark", tooltip="mark and move on", id="mark"),
    Binding("question_mark", "help", "help", tooltip="this page", id="help"),
    Binding("q", "close", "back", tooltip="close what is open", id="close"),
    Binding("q", "leave", "quit", tooltip="quit, stopping nothing", id="leave"),
    Binding(
        "1", "go('tables', 'pending')", "pending", show=False, tooltip="pending jobs", id="pending"
    ),
    Binding(
        "2",
        "go('tables', 'processing')",
        "processing",
        show=False,
        tooltip="jobs that run",
        id="processing",
    ),
    Binding("3", "go('tables', 'dead')", "dead", show=False, tooltip="dead jobs", id="dead"),
    Binding("4", "go('finished')", "finished", show=False, tooltip="finished jobs", id="finished"),
    Binding("5", "go('pools')", "pools and workers", show=False, id="pools"),
    Binding("6", "go('queues')", "queues", show=False, id="queues"),
    Binding("tab", "next_pane(1)", "next pane", show=False, id="next-pane"),
    Binding("shift+tab", "next_pane(-1)", "previous pane", show=False, id="previous-pane"),
    Binding("escape", "back", "one step back", show=False, id="back"),
    Binding("j,down", "move(1)", "down", show=False, id="down"),
    Binding("k,up", "move(-1)", "up", show=False, id="up"),
    Binding("g,home", "first", "first", show=False, id="first"),
    Binding("G,end", "last", "last", show=False, id="last"),
    Binding("pagedown", "page(1)", "a page down", show=False, id="page-down"),
    Binding("pageup", "page(-1)", "a page up", show=False, id="page-up"),
    Binding("ctrl+d", "page(0.5)", "half a page down", show=False, id="half-down"),
    Binding("ctrl+u", "page(-0.5)", "half a page up", show=False, id="half-up"),
]

# With priority they act in the order of typing: what is typed after `a` reaches the form.
WATCHING: Final = [replace(binding, priority=True) for binding in _WATCHING]
BINDINGS: Final = [*(replace(binding, priority=True) for binding in _ACTING), *WATCHING]

# Which states an act on jobs is about; the key line shows it where such a job is meant.
ABOUT: Final[Mapping[str, Collection[JobState]]] = {
    "requeue": REQUEUEABLE,
    "cancel": CANCELLABLE,
    "delete": DELETABLE,
}
