"""The command line: each module parses one group of commands, calls the engine, prints."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command in `sys.argv` and exit with its code: `queuectl` and `queuectl-engine`."""
    import gc

    # Importing makes many objects and no garbage, and at the end all of them go: to look for
    # garbage among them would be a fifth of the time that `add` takes.
    gc.set_threshold(50_000)
    from queuectl_engine.deferred import defer

    defer("inspect")  # which click imports, and most commands never use
    from queuectl_engine.cli.root import run

    code = run(sys.argv[1:])
    gc.freeze()
    sys.exit(code)
