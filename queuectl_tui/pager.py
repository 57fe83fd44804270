"""The output of an attempt in the pager that the user likes."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from typing import Any

from textual.app import App

from queuectl_engine import Engine
from queuectl_tui import terminal
from queuectl_tui.hands import Deed
from queuectl_tui.tail import Tail

_ALL = 1 << 30  # more than is ever kept of an output


def cleaned(job: int, attempt: int) -> Deed[str]:
    """All that is kept of an output, without what a terminal would act on."""

    def deed(engine: Engine) -> str:
        tail = Tail(job, attempt, limit=_ALL)
        tail.feed(engine.output(job, attempt))
        return "".join(f"{said.text}\n" for said in tail.lines())

    return deed


def show_in_pager(app: App[Any], text: str, env: Mapping[str, str]) -> str:
    """Give the terminal to the pager until it ends; what went wrong, or nothing.

    `text` is in a file that only this user can read, and only while the pager runs.
    """
    command = shlex.split(env.get("PAGER") or "less")
    # LESS may ask for raw control characters; there are none in what we show.
    quiet = {name: value for name, value in env.items() if name != "LESS"}
    with tempfile.NamedTemporaryFile("w", prefix="queuectl-", suffix=".txt") as file:
        os.fchmod(file.fileno(), 0o600)  # mkstemp(3) heeds the umask
        file.write(text)
        file.flush()
        return terminal.run_outside(app, [*command, file.name], quiet)
