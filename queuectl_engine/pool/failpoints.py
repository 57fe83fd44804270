"""Named points at which a test may kill a worker: production code passes them and goes on.

Armed by `QUEUECTL_FAIL_POINT=NAME=FILE` in the pool's environment: the first worker that reaches
NAME while FILE exists removes it and dies by SIGKILL, as from outside.
"""

from __future__ import annotations

import os
import signal
from typing import Final

CLAIMED: Final = "claimed"  # the claim is committed, nothing was started
SPAWNED: Final = "spawned"  # the command runs, nothing else is known of it
EXITED: Final = "exited"  # the command has ended and is reaped, nothing is settled
SETTLED: Final = "settled"  # the outcome is committed, nobody was told
FIRING: Final = "firing"  # a schedule is due, nothing is written
FIRED: Final = "fired"  # its job is committed, nobody was told

_ARMED, _, _FILE = os.environ.get("QUEUECTL_FAIL_POINT", "").partition("=")


def reach(point: str) -> None:
    """Die here if a test wants it."""
    if point != _ARMED:
        return
    try:
        os.unlink(_FILE)
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
