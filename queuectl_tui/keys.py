"""The keys of the main screen, and where each of them applies.

Only keys that reach every terminal. The description of an action is for the key line, its tooltip
for the help; ids are for people who want other keys.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Final

from textual.binding import Binding

from queuectl_engine import Act, JobState, safe_text
from queuectl_tui.acts import ABOUT as ACTS
from queuectl_tui.acts import EDITABLE


def _key(
    key: str,
    action: str,
    text: str,
    tooltip: str = "",
    *,
    id: str,  # noqa: A002 - Textual's own name for it
    show: bool = False,
    display: str | None = None,
) -> Binding:
    # With priority they act in the order of typing: what is typed after `a` reaches the form.
    return Binding(
        key,
        action,
        text,
        show=show,
        priority=True,
        tooltip=tooltip or text,
        id=id,
        key_display=display,
    )


ACTING: Final = [
    _key("a", "add", "add", "add a job", id="add", show=True),
    _key("r", "requeue", "requeue", "requeue job, marked, cause", id="requeue", show=True),
    _key("z", "later", "later", "requeue later: 10m, 9:00", id="requeue-later", show=True),
    _key("e", "edit", "edit", "edit a job, requeue if dead", id="edit", show=True),
    _key("x", "cancel", "cancel", "cancel job or marked", id="cancel", show=True),
    _key("d", "delete", "delete", "delete job, marked, cause", id="delete", show=True),
    _key("u", "undo", "undo", "undo the last act", id="undo", show=True),
]
TENDING: Final = [
    _key(
        "plus",
        "more_workers",
        "workers",
        "one worker more",
        id="more-workers",
        show=True,
        display="+/-",
    ),
    _key("minus", "fewer_workers", "a worker less", "one worker less", id="fewer-workers"),
    _key("P", "pause", "pause", "pause, resume this queue", id="pause"),
    _key("r", "run_schedule", "run now", "run this schedule now", id="run-schedule", show=True),
    _key(
        "P",
        "pause_schedule",
        "pause",
        "pause, resume this schedule",
        id="pause-schedule",
        show=True,
    ),
    _key("d", "delete_schedule", "delete", "delete this schedule", id="delete-schedule", show=True),
    _key("colon", "command", "command", "any queuectl line", id="command"),
]
STUDYING: Final = [
    _key("F", "causes", "causes", "causes of death", id="causes", show=True),
    _key("slash", "filter", "filter", "filter the table", id="filter", show=True),
    _key("slash", "find", "find", "find in the output", id="find", show=True),
    _key("n", "next(1)", "next", "next match", id="next"),
    _key("N", "next(-1)", "previous", "match before", id="previous"),
    _key(
        "comma",
        "attempt(-1)",
        "attempt",
        "attempt before",
        id="attempt-before",
        show=True,
        display=", .",
    ),
    _key("full_stop", "attempt(1)", "later attempt", "attempt after", id="attempt-after"),
    _key("o", "stream", "stream", "output: err, out, both", id="stream", show=True),
    _key("w", "wrap", "wrap", "output: wrap long lines", id="wrap", show=True),
    _key("t", "times", "times", "output: when printed", id="times", show=True),
    _key("f", "follow", "follow", "output: follow its end", id="follow", show=True),
    _key("O", "pager", "pager", "output in $PAGER", id="pager", show=True),
    _key("y", "copy('id')", "copy id", id="copy-id"),
    _key("c", "copy('command')", "copy command", id="copy-command"),
    _key("Y", "copy('report')", "copy report", "copy a failure report", id="copy-report"),
    _key("v", "range", "range", "mark a range: from, to", id="range"),
    _key("asterisk", "mark_all", "all", "mark all that match, none", id="mark-all"),
    _key("p", "hold", "hold", "hold the display", id="hold"),
    _key("m", "mouse", "mouse", "mouse on, off", id="mouse"),
]
WATCHING: Final = [
    _key("enter", "list", "list", "list a cause's jobs", id="list", show=True),
    _key("enter", "open", "open", "detail full size", id="open", show=True),
    _key("space", "mark", "mark", "mark and move on", id="mark", show=True),
    _key("question_mark", "help", "help", "this page", id="help", show=True),
    _key("q", "close", "back", "close what is open", id="close", show=True),
    _key("q", "leave", "quit", "quit, stopping nothing", id="leave", show=True),
    _key("1", "go('tables', 'pending')", "pending", "pending jobs", id="pending"),
    _key("2", "go('tables', 'processing')", "processing", "jobs that run", id="processing"),
    _key("3", "go('tables', 'dead')", "dead", "dead jobs", id="dead"),
    _key("4", "go('finished')", "finished", "finished jobs", id="finished"),
    _key("5", "go('pools')", "pools and workers", id="pools"),
    _key("6", "go('queues')", "queues", id="queues"),
    _key("tab", "next_pane(1)", "next pane", id="next-pane"),
    _key("shift+tab", "next_pane(-1)", "previous pane", id="previous-pane"),
    _key("escape", "back", "one step back", id="back"),
    _key("j,down", "move(1)", "down", id="down"),
    _key("k,up", "move(-1)", "up", id="up"),
    _key("g,home", "first", "first", id="first"),
    _key("G,end", "last", "last", id="last"),
    _key("pagedown", "page(1)", "a page down", id="page-down"),
    _key("pageup", "page(-1)", "a page up", id="page-up"),
    _key("ctrl+d", "page(0.5)", "half a page down", id="half-down"),
    _key("ctrl+u", "page(-0.5)", "half a page up", id="half-up"),
]

# Which states an act on jobs is about; the key line shows it where such a job is meant.
ABOUT: Final[Mapping[str, Collection[JobState]]] = {
    "requeue": ACTS[Act.REQUEUE],
    "later": ACTS[Act.REQUEUE],
    "cancel": ACTS[Act.CANCEL],
    "delete": ACTS[Act.DELETE],
    "edit": EDITABLE,
}
# What the key line shows, the most useful first, as far as there is room.
_TABLE: Final = (
    "add", "requeue", "more-workers", "causes", "filter", "open", "undo", "requeue-later", "edit",
    "cancel", "delete", "mark",
)  # fmt: skip
_CAUSES: Final = (
    "list", "requeue", "requeue-later", "delete", "filter", "undo", "add", "more-workers",
)  # fmt: skip
_SCHEDULES: Final = (
    "run-schedule", "pause-schedule", "delete-schedule", "add", "more-workers", "open", "undo",
)  # fmt: skip
_OUTPUT: Final = (
    "requeue", "edit", "attempt-before", "stream", "wrap", "find", "follow", "times", "pager",
    "cancel",
)  # fmt: skip
_ALWAYS: Final = ("help", "close", "leave")


def ranked(*, of_output: bool, of_causes: bool, of_schedules: bool) -> tuple[str, ...]:
    """The ids of the keys for the pane that has the focus, in the order of the key line."""
    if of_output:
        return _OUTPUT + _ALWAYS
    return (_CAUSES if of_causes else _SCHEDULES if of_schedules else _TABLE) + _ALWAYS


def changed(bindings: Iterable[Binding], wanted: Mapping[str, str]) -> list[Binding]:
    """The bindings with other keys for the ids that are named, as in `{"requeue": "R"}`."""
    return [
        replace(binding, key=key, key_display=None)
        if (key := wanted.get(binding.id or ""))
        else binding
        for binding in bindings
    ]


def complaints(bindings: Iterable[Binding], wanted: Mapping[str, str]) -> list[str]:
    """What is wrong with keys that a person wished for: ids that no binding has, keys taken."""
    known = {binding.id: binding for binding in bindings}
    wrong = [f"no key is called {safe_text(name)}" for name in wanted if name not in known]
    after = changed(known.values(), wanted)
    wrong += [
        f"{safe_text(wanted[name])} is both {name} and {other.id}"
        for name in wanted.keys() & known.keys()
        for other in after
        if other.id != name and _keys(wanted[name]) & _keys(other.key)
    ]
    return wrong


def _keys(key: str) -> set[str]:
    return {each.strip() for each in key.split(",")}
