"""Telling the service manager how we are (sd_notify(3)), and asking whether it would end us."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

from queuectl_engine.new_job import user_name

_LINGER: Final = Path("/var/lib/systemd/linger")
_KILLS: Final = (
    "busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1",
    "org.freedesktop.login1.Manager", "KillUserProcesses",
)  # fmt: skip


class Notifier:
    """Speaks to the manager that started us; says nothing where there is none."""

    def __init__(self) -> None:
        """Take the socket's address, and keep it from workers and jobs."""
        self._address = os.environ.pop("NOTIFY_SOCKET", "")

    def __call__(self, state: str) -> None:
        """Send `READY=1`, `STOPPING=1` and the like. A manager that is gone is no error."""
        if not self._address:
            return
        address = self._address
        if address.startswith("@"):  # an abstract socket
            address = "\0" + address[1:]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as mouth:
            try:
                mouth.sendto(state.encode(), address)
            except OSError:
                pass


def logout_warning() -> str | None:
    """What to say when the login manager ends background processes at logout; None if it spares."""
    if shutil.which(_KILLS[0]) is None or (_LINGER / user_name()).exists():
        return None
    try:
        answer = subprocess.run(_KILLS, capture_output=True, text=True, timeout=2, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.stdout.split() != ["b", "true"]:
        return None
    return "the login manager will end this pool when you log out; run: loginctl enable-linger"


def user_manager_warning(pid: int, proc: str = "/proc", linger: Path = _LINGER) -> str | None:
    """What to say of a pool that the user's own service manager runs and will end; else None."""
    try:
        groups = Path(proc, str(pid), "cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if "/user@" not in groups or (linger / user_name()).exists():
        return None
    return "it ends with your last logout; run: loginctl enable-linger"
