"""Acts on many jobs: who is meant, what will be done, what was done, and how to take it back."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from queuectl_engine.errors import BadInput
from queuectl_engine.filter import Filter
from queuectl_engine.job import JobState, State, View

UNDO_LIMIT: Final = 10_000  # jobs; larger acts cannot be taken back, and say so before


class Act(StrEnum):
    """What can be done to many jobs at once."""

    REQUEUE = "requeue"
    CANCEL = "cancel"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which jobs: these ids, or the dead of a cause, or what of a view matches a filter."""

    ids: tuple[int, ...] = ()
    cause: int | None = None
    view: View | None = None
    filter: Filter | None = None

    def __post_init__(self) -> None:
        """Raise BadInput unless exactly one way of choosing is used."""
        if (bool(self.ids), self.cause is not None, self.view is not None).count(True) != 1:
            raise BadInput("say which jobs: ids, or a cause, or a view")


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be done when a person says yes.

    Only jobs that have not moved since `asked_at` will be touched. `count` is how many are meant,
    a lower bound unless `counted`. `command` is the line that does the same.
    """

    act: Act
    selection: Selection
    asked_at: datetime
    count: int
    counted: bool
    command: str
    run_at: datetime | None = None

    @property
    def undoable(self) -> bool:
        """Whether it can be taken back afterwards."""
        return self.counted and self.count <= UNDO_LIMIT


@dataclass(frozen=True, slots=True)
class Was:
    """What a job was before an act, and the mark that the act left on it."""

    id: int
    was: State
    now: State
    mark: int  # when the act moved it, in ms: it has not moved since if that still stands
    attempts: int
    deaths: int
    run_at_ms: int
    finished_ms: int | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Undo:
    """How to take an act back, for as long as its jobs have not moved on."""

    act: Act
    jobs: tuple[Was, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a plan. `running` are jobs whose cancel was asked of their worker."""

    count: int
    undo: Undo | None
    running: tuple[int, ...] = field(default=())


def command_line(act: Act, selection: Selection, run_at: datetime | None) -> str:
    """The `queuectl` line that does the same."""
    words = ["queuectl", act.value]
    if selection.ids:
        words += map(str, selection.ids)
    elif selection.cause is not None:
        words += ["--cause", str(selection.cause), "--yes"]
    else:
        assert selection.view is not None
        words += ["--filter", _filter_words(selection), "--yes"]
    if run_at is not None:
        words += ["--at", run_at.isoformat(timespec="seconds")]
    return shlex.join(words)


def view_of(wanted: Filter, default: View) -> View:
    """The smallest view that holds all that a filter can let through; `default` if it says no."""
    if not wanted.states:
        return default
    for view, states in _STATES_OF.items():
        if wanted.states <= states:
            return view
    return View.ALL


_STATES_OF: Final[Mapping[View, frozenset[JobState]]] = {
    View.DEAD: frozenset({JobState.DEAD}),
    View.PENDING: frozenset({JobState.PENDING, JobState.FAILED}),
    View.PROCESSING: frozenset({JobState.PROCESSING}),
    View.FINISHED: frozenset({JobState.COMPLETED, JobState.CANCELLED}),
}


def _filter_words(selection: Selection) -> str:
    text = str(selection.filter or "")
    states = _STATES_OF.get(selection.view or View.ALL, frozenset())
    if not states or (selection.filter and selection.filter.states):
        return text
    return f"state:{','.join(sorted(states))} {text}".strip()
