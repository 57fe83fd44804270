"""What SQLite or the disk may say, in our own words; and what became of a COMMIT that failed.

Loaded before anything fails: with a bad disk or no descriptor left it could not be imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

import apsw

from queuectl_engine.errors import (
    BadInput,
    NotAQueue,
    OutcomeUnknown,
    QueuectlError,
    StorageBusy,
    StorageDamaged,
    StorageError,
    StorageFull,
    StoredUnconfirmed,
)
from queuectl_engine.repository.sqlite import watch
from queuectl_engine.safe_text import safe_text

FOREIGN: Final = (apsw.Error, UnicodeDecodeError)


def plain(error: apsw.Error | UnicodeDecodeError, path: str) -> QueuectlError:
    """The same as an error of ours. `path` is the file that was used."""
    where, what = safe_text(path), safe_text(str(error))
    match error:
        case UnicodeDecodeError():  # SQLite takes any bytes for text
            return StorageError(f"{where} is damaged: it holds text that is no UTF-8")
        # "Locking protocol" is what SQLite says after ten seconds without a lock for reading.
        case apsw.BusyError() | apsw.LockedError() | apsw.ProtocolError():
            from queuectl_engine.repository.sqlite.holder import holder

            return StorageBusy(
                f"{where} is locked by {holder(path) or 'another process'}; try again"
            )
        case apsw.NotADBError():
            return NotAQueue(f"{where} is no queuectl database; name another file with --db")
        case apsw.CorruptError():
            return StorageDamaged(watch.in_words(path, what))
        case _ if _is_full(error):
            return StorageFull(f"no space left on the disk of {where}; free some and try again")
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            return StorageError(f"{where} cannot be written; look at its permissions and its disk")
        case apsw.ConnectionClosedError():
            return StorageError(f"{where} is closed here already; open it again")
        case apsw.CantOpenError():
            return StorageError(f"cannot open {where}; look at its directory and permissions")
    return StorageError(f"{where} cannot be used: {what}")


def unbindable(error: OverflowError | UnicodeEncodeError) -> BadInput:
    """What is asked for is nothing that a database could hold."""
    if isinstance(error, OverflowError):
        return BadInput("a number does not fit into 64 bits")
    return BadInput("a text is not valid UTF-8")


class Proof(NamedTuple):
    """How it can be seen whether a transaction was committed; see `Connection.prove`."""

    sql: str
    args: Mapping[str, Any] | Sequence[Any]
    done: str


def settle_doubt(
    error: apsw.IOError,
    proof: Proof | None,
    path: str,
    open_again: Callable[[], apsw.Connection],
) -> None:
    """Find out what became of a COMMIT that failed. Returns when it was stored after all.

    When a sync failed its pages are in the log, unseen, until a later commit overwrites them or a
    crash brings them to light. So the log is read anew and emptied: what was in it is in the file
    then, or gone for good.
    """
    stored, certain = None, False
    with suppress(apsw.Error, StorageError):  # as long as that fails there is no better answer
        db = open_again()
        if proof is not None:
            stored = bool(db.execute(proof.sql, proof.args).fetchall())
        # All that can be seen is in the file then, synced, and nothing else is in the log.
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        certain = True
    where, what = safe_text(path), safe_text(str(error))
    if stored and proof is not None:
        if not certain:
            raise StoredUnconfirmed(
                f"{proof.done}, but the disk of {where} failed to confirm it ({what}); look at"
                " the disk, and do not do it again"
            ) from error
    elif stored is None or not certain:
        raise OutcomeUnknown(
            f"the disk of {where} failed ({what}), and it is not known what was stored; look"
            " at the disk and at 'queuectl list --all' before you do it again"
        ) from error
    else:
        raise error


def _is_full(error: apsw.Error) -> bool:
    """Whether a file could not grow; on a full disk not even the shared memory of a reader can."""
    return (
        isinstance(error, apsw.FullError)
        or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    )
