"""`python -m queuectl_engine` is `queuectl`."""

from __future__ import annotations

from queuectl_engine.cli import main

if __name__ == "__main__":
    main()
