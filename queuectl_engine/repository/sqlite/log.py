"""Letting the log begin anew: docs/decisions/0044-the-log.md."""

from __future__ import annotations

from typing import Final

import apsw

from queuectl_engine.repository.sqlite.patience import Patience

_FEW_PAGES: Final = 500
_RESTART_PATIENCE: Final = 0.02  # seconds; while it waits for readers it keeps writers waiting


def restart_log(db: apsw.Connection, mode: int, patience: Patience) -> None:
    """Copy the log into the file and let it begin anew, unless someone reads what was before.

    While others write, a log that is copied only beside them has grown each time. So its end is
    copied under the write lock, when little is left. Raises apsw.BusyError when it cannot be.
    """
    passive = apsw.SQLITE_CHECKPOINT_PASSIVE
    before, _ = db.wal_checkpoint(mode=passive)
    log, copied = db.wal_checkpoint(mode=passive)  # only what came in the meantime
    if copied < log or log - before > _FEW_PAGES:
        return
    usual, patience.seconds = patience.seconds, _RESTART_PATIENCE
    try:
        db.wal_checkpoint(mode=mode)
    finally:
        patience.seconds = usual
