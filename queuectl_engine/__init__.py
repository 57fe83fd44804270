"""queuectl: a durable job queue for shell commands.

    from queuectl_engine import open_engine

    with open_engine("queue.db") as engine:
        job = engine.add("make all", max_retries=1)

This is the public API; the terminal UI and the command line use nothing else. Importing it imports
next to nothing: each name is fetched from its module when it is first used.
"""

from typing import TYPE_CHECKING, Any, Final

from queuectl_engine.errors import (
    BadInput,
    ExitCode,
    JobFailed,
    KeyTaken,
    NoSuchCause,
    NoSuchHook,
    NoSuchJob,
    NoSuchPool,
    NoSuchSchedule,
    NoSuchSecret,
    NotAQueue,
    OutcomeUnknown,
    PoolRefused,
    QueuectlError,
    ReadOnly,
    StorageBusy,
    StorageDamaged,
    StorageError,
    StorageFull,
    StorageMoved,
    StoredUnconfirmed,
    UnsafeStorage,
    UsedAfterFork,
    WrongState,
)
from queuectl_engine.safe_text import safe_output, safe_text

if TYPE_CHECKING:
    from queuectl_engine.engine import Engine, examine, open_engine, restore
    from queuectl_engine.estimate import Estimate, about
    from queuectl_engine.exit_codes import exit_codes_text
    from queuectl_engine.filter import Filter, parse_filter
    from queuectl_engine.following import Printed
    from queuectl_engine.hook import Hook, HookEvent
    from queuectl_engine.intake import Added, Context, NewJob
    from queuectl_engine.job import (
        Attempt,
        Cause,
        Chunk,
        Counts,
        Event,
        Happening,
        Job,
        LabelInfo,
        Need,
        Piece,
        PoolInfo,
        QueueInfo,
        WorkerInfo,
    )
    from queuectl_engine.keeping import Copied, Finding, Level, Pruned, Restored
    from queuectl_engine.metrics import Histogram, QueueMetrics
    from queuectl_engine.plan import Act, Done, Plan, Selection, Undo
    from queuectl_engine.repository.protocol import Key, Page, Scan
    from queuectl_engine.schedule import Missed, Schedule
    from queuectl_engine.settings import Database, choose_database
    from queuectl_engine.states import After, JobState, State, Stream, View
    from queuectl_engine.times import parse_duration, parse_moment

__version__ = "3.0.0.dev0"

__all__ = [
    "Act",
    "Added",
    "After",
    "Attempt",
    "BadInput",
    "Cause",
    "Chunk",
    "Context",
    "Copied",
    "Counts",
    "Database",
    "Done",
    "Engine",
    "Estimate",
    "Event",
    "ExitCode",
    "Filter",
    "Finding",
    "Happening",
    "Histogram",
    "Hook",
    "HookEvent",
    "Job",
    "JobFailed",
    "JobState",
    "Key",
    "KeyTaken",
    "LabelInfo",
    "Level",
    "Missed",
    "Need",
    "NewJob",
    "NoSuchCause",
    "NoSuchHook",
    "NoSuchJob",
    "NoSuchPool",
    "NoSuchSchedule",
    "NoSuchSecret",
    "NotAQueue",
    "OutcomeUnknown",
    "Page",
    "Piece",
    "Plan",
    "PoolInfo",
    "PoolRefused",
    "Printed",
    "Pruned",
    "QueueInfo",
    "QueueMetrics",
    "QueuectlError",
    "ReadOnly",
    "Restored",
    "Scan",
    "Schedule",
    "Selection",
    "State",
    "StorageBusy",
    "StorageDamaged",
    "StorageError",
    "StorageFull",
    "StorageMoved",
    "StoredUnconfirmed",
    "Stream",
    "Undo",
    "UnsafeStorage",
    "UsedAfterFork",
    "View",
    "WorkerInfo",
    "WrongState",
    "__version__",
    "about",
    "choose_database",
    "examine",
    "exit_codes_text",
    "open_engine",
    "parse_duration",
    "parse_filter",
    "parse_moment",
    "restore",
    "safe_output",
    "safe_text",
]

# Where the others are, and what is in each: the same as above, which only type checkers read.
_PLACES: Final = {
    "engine": "Engine examine open_engine restore",
    "estimate": "Estimate about",
    "exit_codes": "exit_codes_text",
    "filter": "Filter parse_filter",
    "following": "Printed",
    "hook": "Hook HookEvent",
    "intake": "Added Context NewJob",
    "job": "Attempt Cause Chunk Counts Event Happening Job LabelInfo Need Piece PoolInfo "
    "QueueInfo WorkerInfo",
    "keeping": "Copied Finding Level Pruned Restored",
    "metrics": "Histogram QueueMetrics",
    "plan": "Act Done Plan Selection Undo",
    "repository.protocol": "Key Page Scan",
    "schedule": "Missed Schedule",
    "settings": "Database choose_database",
    "states": "After JobState State Stream View",
    "times": "parse_duration parse_moment",
}


def __getattr__(name: str) -> Any:
    """Import the module that has a public name (PEP 562), once."""
    from importlib import import_module

    for place, names in _PLACES.items():
        if name in names.split():
            found = getattr(import_module(f"{__name__}.{place}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
