"""What the server or the way to it may say, in our own words.

No text of ours holds a password or how we connect; what the server says is shown in its first line.
"""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from queuectl_engine.errors import (
    NotAQueue,
    QueuectlError,
    StorageBusy,
    StorageError,
    UnsafeStorage,
)
from queuectl_engine.safe_text import safe_text

# The server rolled the transaction back and asks for it once more (PostgreSQL 13.5), or two of us
# made the same row at once: the second one finds it at the next try.
CONFLICTS: Final = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.UniqueViolation,
)
# The session is gone, or the server is not there now: nothing that was not committed has happened.
LOST: Final = (
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.IdleInTransactionSessionTimeout,
    errors.TooManyConnections,
)

_REFUSALS: Final = ("password", "authentication failed", "does not exist", "pg_hba", "certificate")


def is_lost(error: psycopg.Error) -> bool:
    """Whether the session has ended or could not begin, which the next try may do better."""
    if isinstance(error, LOST):
        return True
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


def is_refusal(error: psycopg.Error) -> bool:
    """Whether the server did answer a connection, and wants none like this."""
    text = str(error).lower()
    return any(word in text for word in _REFUSALS)


def plain(error: psycopg.Error, where: str) -> QueuectlError:
    """The same as an error of ours. `where` is the database without its password."""
    if is_lost(error) and not isinstance(error, errors.TooManyConnections):
        return _unreachable(error, where)
    return (
        _busy(error, where)
        or _refused(error, where)
        or StorageError(f"{where} cannot be used: {_said(error)}")
    )


def _busy(error: psycopg.Error, where: str) -> QueuectlError | None:
    match error:
        case errors.LockNotAvailable() | errors.DeadlockDetected() | errors.SerializationFailure():
            return StorageBusy(f"{where} is locked by another session; try again")
        case errors.QueryCanceled():
            return StorageBusy(f"{where} took too long to answer; try again")
        case errors.TooManyConnections():
            return StorageBusy(f"{where} has no connection left; try again, or raise its limit")
    return None


def _refused(error: psycopg.Error, where: str) -> QueuectlError | None:
    match error:
        case errors.UndefinedTable() | errors.UndefinedFunction() | errors.InvalidSchemaName():
            return NotAQueue(f"no queue at {where}; 'queuectl initdb --db {where}' makes one")
        case errors.InvalidCatalogName():
            return NotAQueue(f"{where}: the server has no such database; make it with createdb")
        case errors.InsufficientPrivilege():
            return StorageError(
                f"{where}: this role may not do that ({_said(error)}); see the grants in"
                " docs/postgresql.md"
            )
        case errors.ReadOnlySqlTransaction():
            return StorageError(f"{where} only reads, as a standby does; name the primary")
        case errors.DiskFull():
            return StorageError(f"no space left on the server of {where}; free some and try again")
        case errors.InvalidPassword() | errors.InvalidAuthorizationSpecification():
            return StorageError(
                f"{where} refuses this user; give the password in a file that PGPASSFILE names, or"
                " by PGSERVICE"
            )
    return None


def _unreachable(error: psycopg.Error, where: str) -> QueuectlError:
    text = str(error).lower()
    if "password" in text or "authentication failed" in text:
        return StorageError(
            f"{where} wants another password; give it in a file that PGPASSFILE names, or by"
            " PGSERVICE"
        )
    if "certificate" in text or "root.crt" in text or " ssl" in text:
        return UnsafeStorage(
            f"{where}: the server's certificate could not be verified; name its authority with"
            " ?sslrootcert=FILE, see docs/postgresql.md"
        )
    if "does not exist" in text and "database" in text:
        return NotAQueue(f"{where}: the server has no such database; make it with createdb")
    return StorageError(f"cannot reach {where}; look at the server and the network, then try again")


def _said(error: psycopg.Error) -> str:
    said = error.diag.message_primary or type(error).__name__
    return safe_text(said.splitlines()[0])
