"""Values that many tests share: a moment, a context, jobs and pools made of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Unpack

from queuectl_engine.job import Context, Job, NewJob, State
from queuectl_engine.new_job import Policy, new_job
from queuectl_engine.repository.protocol import Lease, PoolRow

NOON: Final = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
CONTEXT: Final = Context(
    cwd="/",
    umask=0o022,
    user="ada",
    captured={"PATH": "/usr/bin:/bin", "VIRTUAL_ENV": None},
    env={"MODE": "test"},
)


def new(command: str | list[str] = "true", **policy: Unpack[Policy]) -> NewJob:
    """A checked job that is not stored yet."""
    return new_job(command, CONTEXT, **policy)


def stored(**changes: Any) -> Job:
    """A job as a repository could give it, for tests of pure code: processing, first attempt."""
    fields: dict[str, Any] = {
        "id": 42,
        "key": None,
        "command": "true",
        "argv": None,
        "stored": State.PROCESSING,
        "queue": "default",
        "priority": 0,
        "attempts": 1,
        "runs": 1,
        "deaths": 0,
        "max_retries": 3,
        "timeout": None,
        "allow_background": False,
        "log_file": None,
        "run_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
        "started_at": NOON,
        "finished_at": None,
        "reason": None,
        "worker": "w1",
        "cancel_asked": False,
        "parked": None,
        "context_id": 1,
        "cause_id": None,
        "schedule_id": None,
        "on_dead": None,
        "on_completed": None,
    }
    return Job(**{**fields, **changes})


def pool_row(run_directory: Path, name: str = "default", **changes: Any) -> PoolRow:
    """A pool as its supervisor would register it; its directory exists."""
    (run_directory / name).mkdir(parents=True, exist_ok=True)
    fields: dict[str, Any] = {
        "name": name,
        "host": "here",
        "boot": "boot-1",
        "pid_namespace": "pid:[1]",
        "pid": 4242,
        "is_init": False,
        "detached": False,
        "wanted": 2,
        "queues": (),
        "directory": name,
        "log": str(run_directory / name / "log"),
        "lease": Lease(86_400.0),
    }
    return PoolRow(**{**fields, **changes})
