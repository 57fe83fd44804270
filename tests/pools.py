"""The one way in which a test cleans up after the pools it started."""

from __future__ import annotations

from contextlib import suppress

from queuectl_engine import Engine, NoSuchPool


def stop_pools(engine: Engine) -> None:
    """Stop whatever still runs here; a pool may end by itself between the look and the deed."""
    for pool in engine.pools():
        with suppress(NoSuchPool):
            engine.stop_pool(pool.name, now=True, timeout=20)
