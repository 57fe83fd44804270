"""queuectl: a durable job queue for shell commands.

    from queuectl_engine import open_engine

    with open_engine("queue.db") as engine:
        job = engine.add("make all", max_retries=1)

This is the public API; the terminal UI and the command line use nothing else. Importing it imports
no pool code.
"""

from queuectl_engine.engine import Engine, Scan, examine, open_engine, restore
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
from queuectl_engine.estimate import Estimate, about
from queuectl_engine.exit_codes import exit_codes_text
from queuectl_engine.filter import Filter, parse_filter
from queuectl_engine.following import Printed
from queuectl_engine.hook import Hook, HookEvent
from queuectl_engine.job import (
    Added,
    After,
    Attempt,
    Cause,
    Chunk,
    Context,
    Counts,
    Event,
    Happening,
    Job,
    JobState,
    LabelInfo,
    Need,
    NewJob,
    Piece,
    PoolInfo,
    QueueInfo,
    State,
    Stream,
    View,
    WorkerInfo,
)
from queuectl_engine.keeping import Copied, Finding, Level, Pruned, Restored
from queuectl_engine.metrics import Histogram, QueueMetrics
from queuectl_engine.plan import Act, Done, Plan, Selection, Undo
from queuectl_engine.repository.protocol import Key, Page
from queuectl_engine.safe_text import safe_output, safe_text
from queuectl_engine.schedule import Missed, Schedule
from queuectl_engine.settings import Database, choose_database
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
