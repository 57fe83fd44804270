"""The command line: each module parses one group of commands, calls the engine, prints."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command in `sys.argv` and exit with its code: `queuectl` and `queuectl-engine`."""
    from queuectl_engine.cli.root import run

    sys.exit(run(sys.argv[1:]))
