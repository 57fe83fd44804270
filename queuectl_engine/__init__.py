"""queuectl: a durable job queue for shell commands.

    from queuectl_engine import open_engine

    with open_engine("queue.db") as engine:
        job = engine.add("make all", max_retries=1)

This is the public API; the terminal UI and the command line use nothing else. Importing it imports
no pool code.
"""

from queuectl_engine.engine import Engine, Scan, open_engine
from queuectl_engine.errors import (
    BadInput,
    ExitCode,
    JobFailed,
    KeyTaken,
    NoSuchCause,
    NoSuchJob,
    NoSuchPool,
    NotAQueue,
    PoolRefused,
    QueuectlError,
    ReadOnly,
    StorageBusy,
    StorageError,
    UnsafeStorage,
    UsedAfterFork,
    WrongState,
)
from queuectl_engine.filter import Filter, parse_filter
from queuectl_engine.job import (
    Added,
    After,
    Attempt,
    Cause,
    Chunk,
    Context,
    Counts,
    Event,
    Job,
    JobState,
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
from queuectl_engine.plan import Act, Done, Plan, Selection, Undo
from queuectl_engine.repository.protocol import Key, Page
from queuectl_engine.safe_text import safe_output, safe_text
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
    "Counts",
    "Database",
    "Done",
    "Engine",
    "Event",
    "ExitCode",
    "Filter",
    "Job",
    "JobFailed",
    "JobState",
    "Key",
    "KeyTaken",
    "Need",
    "NewJob",
    "NoSuchCause",
    "NoSuchJob",
    "NoSuchPool",
    "NotAQueue",
    "Page",
    "Piece",
    "Plan",
    "PoolInfo",
    "PoolRefused",
    "QueueInfo",
    "QueuectlError",
    "ReadOnly",
    "Scan",
    "Selection",
    "State",
    "StorageBusy",
    "StorageError",
    "Stream",
    "Undo",
    "UnsafeStorage",
    "UsedAfterFork",
    "View",
    "WorkerInfo",
    "WrongState",
    "__version__",
    "choose_database",
    "open_engine",
    "parse_duration",
    "parse_filter",
    "parse_moment",
    "safe_output",
    "safe_text",
]
