"""Where this process runs: what decides who may be killed from here, and what is left of whom."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Host:
    """A kernel since its boot, and the PID namespace we see of it."""

    name: str
    boot: str
    pid_namespace: str


@cache
def this_host() -> Host:
    """The host of this process. The boot id differs for every boot of every kernel."""
    return Host(
        name=os.uname().nodename,
        boot=_text("/proc/sys/kernel/random/boot_id"),
        pid_namespace=os.readlink("/proc/self/ns/pid"),
    )


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()
