"""`python -m queuectl_tui`."""

from queuectl_tui.app import main

main()
