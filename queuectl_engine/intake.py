"""What `add` takes and what it answers, as frozen values. See `job.py` for all the others.

Named tuples, which are made ten times as fast as dataclasses, and annotations that are no text to
be compiled: every `add` pays for that.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final, NamedTuple

from queuectl_engine.states import After, JobState

DEFAULT_QUEUE: Final = "default"
DEFAULT_RETRIES: Final = 3
DEFAULT_SHELL: Final = "/bin/sh"
DEFAULT_HOOK_TIMEOUT: Final = timedelta(minutes=1)


class Context(NamedTuple):
    """What a job sees around it, captured at `add` and stored once for all jobs that share it.

    `captured` holds the few variables of the adding process that a job gets over the pool's own
    environment; None means "unset there". `env` is what `--env` asked for and wins over both.
    `secrets` are names alone: the worker reads their values when it starts the job.
    """

    cwd: str
    umask: int
    shell: str = DEFAULT_SHELL
    user: str = ""
    captured: Mapping[str, str | None] = MappingProxyType({})
    env: Mapping[str, str] = MappingProxyType({})
    secrets: tuple[str, ...] = ()
    shell_asked: bool = False

    @property
    def spares_shell(self) -> bool:
        """Whether a line that means the same without a shell may run without one."""
        return self.shell == DEFAULT_SHELL and not self.shell_asked


class NewJob(NamedTuple):
    """A job that is not stored yet. Make it with `Engine.new_job`, which checks every field.

    `argv` None means that `context.shell -c command` runs, or, where that means the same, the
    program that it names; else exactly that argv runs, without a shell, and `command` is its quoted
    form for people. `schedule` is the one that adds it, if one does. `on_dead` and `on_completed`
    are lines for that shell, run when the job has ended so. `origin` names the same job elsewhere:
    one that was imported from there before is not stored again, whatever became of it.
    """

    command: str
    context: Context
    argv: tuple[str, ...] | None = None
    queue: str = DEFAULT_QUEUE
    priority: int = 0
    max_retries: int = DEFAULT_RETRIES
    run_at: datetime | None = None
    timeout: timedelta | None = None
    key: str | None = None
    allow_background: bool = False
    log_file: str | None = None
    labels: tuple[str, ...] = ()
    retry_on: tuple[int, ...] = ()
    no_retry_on: tuple[int, ...] = ()
    schedule: int | None = None
    on_dead: str | None = None
    on_completed: str | None = None
    origin: str | None = None
    after: Mapping[After, tuple[int | str, ...]] = MappingProxyType({})  # ids or keys
    mutex: str | None = None


class Added(NamedTuple):
    """What `add` did with one new job.

    `created` is False when its key was there already, or its origin had been imported. `state` is
    None when that job is gone.
    """

    id: int
    created: bool
    state: JobState | None
