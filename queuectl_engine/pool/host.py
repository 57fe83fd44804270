"""Where this process runs: what decides who may be killed from here, and what is left of whom."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from queuectl_engine.repository.protocol import PoolRow


@dataclass(frozen=True, slots=True)
class Host:
    """A kernel since its boot, and the PID namespace we see of it."""

    name: str
    boot: str
    pid_namespace: str


def is_here(pool: PoolRow, run_directory: Path) -> bool:
    """Whether the kernel tells us who of this pool lives; of others only their lease does.

    Where there are no leases everybody shares one host. Elsewhere the locks of the pool count only
    when they are those that we see: same kernel, same processes, same directory.
    """
    if pool.lease is None:
        return True
    host = this_host()
    ours = (pool.boot, pool.pid_namespace) == (host.boot, host.pid_namespace)
    return ours and (run_directory / pool.directory).is_dir()


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
