"""This program as a later version will be, with one more step: `python -m … OLDEST_WRITER ARG…`."""

from __future__ import annotations

import sys
from typing import Any

from queuectl_engine.cli.root import run
from queuectl_engine.repository.sqlite import schema


def become_newer(oldest_writer: int) -> None:
    """Know one schema more than the program does."""
    newer: Any = schema
    newer.STEPS = (*schema.STEPS, "ALTER TABLE job ADD COLUMN later TEXT;\n")
    newer.VERSION = schema.VERSION + 1
    newer.MIN_WRITER = oldest_writer


if __name__ == "__main__":
    become_newer(int(sys.argv[1]))
    sys.exit(run(sys.argv[2:]))
