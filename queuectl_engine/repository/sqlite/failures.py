"""What SQLite or the disk may say, in our own words."""

from __future__ import annotations

from typing import Final

import apsw

from queuectl_engine.errors import (
    BadInput,
    NotAQueue,
    QueuectlError,
    StorageBusy,
    StorageDamaged,
    StorageError,
    StorageFull,
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


def _is_full(error: apsw.Error) -> bool:
    """Whether a file could not grow; on a full disk not even the shared memory of a reader can."""
    return (
        isinstance(error, apsw.FullError)
        or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    )
