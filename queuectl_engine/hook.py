"""Hooks as frozen values: commands that a pool runs to tell people what became of jobs.

A hook is no job: it has no retries, it is not listed, and what becomes of it starts no other hook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Final

from queuectl_engine.errors import BadInput
from queuectl_engine.intake import DEFAULT_HOOK_TIMEOUT, Context
from queuectl_engine.new_job import new_job
from queuectl_engine.safe_text import safe_text

DEFAULT_TIMEOUT: Final = DEFAULT_HOOK_TIMEOUT


class HookEvent(StrEnum):
    """What a hook tells of."""

    ON_DEAD = "on_dead"  # a job has failed and no retries are left
    ON_COMPLETED = "on_completed"
    ON_DRAINED = "on_drained"  # the last job of a queue has ended: nothing is left to do there


@dataclass(frozen=True, slots=True)
class Hook:
    """What a queue runs at an event: `context.shell -c command`, or exactly `argv`."""

    queue: str
    event: HookEvent
    command: str
    argv: tuple[str, ...] | None
    timeout: timedelta
    context: Context


@dataclass(frozen=True, slots=True)
class DueHook:
    """A hook that a pool has taken to run; `hook.queue` is where it happened.

    `job` is None for a drained queue. `fields` are the variables that tell of the event. `token`
    marks its processes, `left` those of a run before, whose pool has died: they go first.
    """

    id: int
    hook: Hook
    job: int | None
    fields: Mapping[str, str]
    token: str
    left: str | None = None


def new_hook(
    queue: str,
    event: HookEvent | str,
    command: str | Sequence[str],
    context: Context,
    timeout: timedelta | float = DEFAULT_TIMEOUT,
) -> Hook:
    """Check every field and put them together; as for a job. Raises BadInput."""
    checked = new_job(command, context, queue=queue, timeout=timeout)
    assert checked.timeout is not None
    return Hook(
        queue, event_of(event), checked.command, checked.argv, checked.timeout, checked.context
    )


def event_of(name: str) -> HookEvent:
    """The event of this name, also as `on-dead`. Raises BadInput."""
    try:
        return HookEvent(name.replace("-", "_"))
    except ValueError:
        known = ", ".join(HookEvent)
        raise BadInput(f"no event '{safe_text(name[:40])}'; there are {known}") from None
