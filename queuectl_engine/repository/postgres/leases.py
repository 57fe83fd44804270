"""Leases of pools, by the server's clock. Not on SQLite, where locks say who lives.

One row a pool: renewing it holds everything that all its workers run. Who takes over from a pool
locks that row first, so a renewal either comes before and is seen, or finds the pool gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.repository.postgres import turns
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.protocol import Ended, PoolRow
from queuectl_engine.repository.rows import ms

# Not the time at which the transaction began: it may have waited for a lock since.
_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
IS_OVER: Final = f"lease_until_ms <= {_NOW}"
_RENEW: Final = f"""
    UPDATE pool SET lease_until_ms = {_NOW} + lease_ms WHERE id = %s RETURNING id
"""
# The worker's row stays while we claim for it: who takes over waits, and sees what was claimed.
_ROOM: Final = f"""
    SELECT stop, {IS_OVER} FROM worker JOIN pool ON pool.id = worker.pool
     WHERE worker.id = %s FOR KEY SHARE OF worker
"""
_LOCK_POOL: Final = f"""
    SELECT lease_until_ms = %s AND {IS_OVER} FROM pool WHERE id = %s FOR UPDATE
"""
_LOCK_WORKERS: Final = "SELECT id FROM worker WHERE pool = %s ORDER BY id FOR UPDATE"
_HELD: Final = """
    SELECT token FROM job
     WHERE state = 'processing' AND worker IN (SELECT id FROM worker WHERE pool = %s)
"""


def begin(db: Connection, pool: int) -> bool:
    """Begin the lease, anew or not; whether the pool is registered."""
    return bool(db.run(_RENEW, (pool,)))


def renew(db: Connection, pool: int) -> bool:
    """The same as a transaction of its own, which nobody has to hear of."""
    renewed = begin(db, pool)
    db.keep_quiet()
    return renewed


def room(db: Connection, worker: int, wanted: int) -> tuple[str | None, int]:
    """What was asked of the worker's pool, and for how many jobs it may ask."""
    rows = db.run(_ROOM, (worker,))
    if not rows:  # forgotten: nobody would look for what it runs
        return None, 0
    stop, over = rows[0]
    return stop, 0 if stop or over else wanted


def take_over(db: Connection, pool: PoolRow, ended: Sequence[Ended], now: datetime) -> bool:
    """Settle what a lost pool held, all of it, and forget the pool; whether that was so."""
    if pool.lease is None or pool.lease.until is None:
        return False
    if not db.value(_LOCK_POOL, (ms(pool.lease.until), pool.id)):
        return False
    db.run(_LOCK_WORKERS, (pool.id,))
    if {token for (token,) in db.run(_HELD, (pool.id,))} - {one.attempt.token for one in ended}:
        return False  # claimed since
    for one in ended:
        turns.settle(db, one, now)
    db.run("DELETE FROM pool WHERE id = %s", (pool.id,))
    return True
