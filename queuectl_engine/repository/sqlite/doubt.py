"""What became of a COMMIT that failed: docs/decisions/0024-doubtful-commits.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import apsw

from queuectl_engine.errors import OutcomeUnknown, StorageError, StoredUnconfirmed
from queuectl_engine.safe_text import safe_text


class Proof(NamedTuple):
    """How it can be seen whether a transaction was committed.

    The query finds a row of a random value that only it wrote. `done` says in a few words what it
    did: "stored job 42".
    """

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
