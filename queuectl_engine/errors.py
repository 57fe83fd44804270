"""Everything that can go wrong and that a person can do something about.

One root, `QueuectlError`. A message says what, why and what to try, in lower case, on one line; the
command line prints it as it is and exits with the error's own code.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a `queuectl` command answers to its shell."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_SUCH_JOB = 3
    JOB_FAILED = 4
    WARNED = 5  # doctor: nothing is lost, but something wants to be looked at
    DAMAGED = 74  # EX_IOERR of sysexits.h: the database is damaged, or gone from its place
    BUSY = 75  # EX_TEMPFAIL: try again
    INTERRUPTED = 130  # 128 + SIGINT


class QueuectlError(Exception):
    """The root of all errors that this package raises on purpose."""

    exit_code: ClassVar[ExitCode] = ExitCode.FAILED


class BadInput(QueuectlError):
    """A value that can never be right: a negative retry count, a date that is none."""

    exit_code = ExitCode.USAGE


class NoSuchJob(QueuectlError):
    """An id or key that no stored job has."""

    exit_code = ExitCode.NO_SUCH_JOB


class NoSuchCause(QueuectlError):
    """No dead job has this cause."""

    exit_code = ExitCode.NO_SUCH_JOB


class NoSuchSchedule(QueuectlError):
    """A number or name that no schedule has."""

    exit_code = ExitCode.NO_SUCH_JOB


class NoSuchHook(QueuectlError):
    """A queue has no hook for this event."""

    exit_code = ExitCode.NO_SUCH_JOB


class NoSuchSecret(QueuectlError):
    """This user has no secret of that name."""

    exit_code = ExitCode.NO_SUCH_JOB


class ReadOnly(QueuectlError):
    """The engine was opened only to look."""


class WrongState(QueuectlError):
    """The job exists, but is not in a state from which it can be moved like this."""


class KeyTaken(QueuectlError):
    """Another job, with another command, holds this key."""


class JobFailed(QueuectlError):
    """A job that was waited for did not complete."""

    exit_code = ExitCode.JOB_FAILED


class NoSuchPool(QueuectlError):
    """No pool, or no single one, is meant by what was asked."""


class PoolRefused(QueuectlError):
    """A pool could not start: its name is taken, or the database is not trusted."""


class StorageError(QueuectlError):
    """The database cannot be used now, by a fault or because it is read-only; it may heal.

    A pool keeps the results of its jobs and tries again, unless it is StorageDamaged or
    StorageMoved.
    """


class StorageBusy(StorageError):
    """Another process holds the write lock for longer than we wait."""

    exit_code = ExitCode.BUSY


class StorageFull(StorageError):
    """No space is left, or a quota is used up; it heals when there is room again."""


class StorageDamaged(StorageError):
    """The file is damaged, or was marked as damaged by whoever met that.

    What can be read of it can still be read. Nothing is written until a start of a pool has
    checked the file and found it sound: pools stop by themselves, and keep what their jobs did.
    """

    exit_code = ExitCode.DAMAGED


class StorageMoved(StorageError):
    """The file was deleted, renamed, replaced or overwritten while it was open here.

    What was opened is no more what its path means: this connection writes nothing any more. Open
    the path again to use what is there now.
    """

    exit_code = ExitCode.DAMAGED


class StoredUnconfirmed(StorageError):
    """It was stored, but the disk failed to confirm it: do not do it again."""


class OutcomeUnknown(StorageError):
    """The disk or the server failed in a commit, and nobody can say whether it happened."""


class NotAQueue(StorageError):
    """The file is there, but it is no queuectl database that this program can use."""


class UnsafeStorage(StorageError):
    """The database could be read, but using it would risk its data or its owner."""


class UsedAfterFork(QueuectlError):
    """An engine that was opened before a fork is used in the child."""
