"""The machine and the programs, without names of hosts or users."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import apsw


def description(root: Path) -> dict[str, str]:
    """What anyone needs to place the figures."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": f"{os.cpu_count()} × {_processor()}",
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}",
        "disk": _disk(root),
        "python": f"{platform.python_version()}, {_whose_python()}",
        "sqlite": f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})",
        "xargs": _version("xargs", "--version"),
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _whose_python() -> str:
    """One that was built without its optimisations takes a tenth more."""
    return "the system's" if sys.base_prefix == "/usr" else "built apart from the system"


def _memory() -> str:
    total = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()[0].split()[1]
    return f"{int(total) / 1024**2:.0f} GiB"


def _disk(root: Path) -> str:
    """The file system that the databases lie on."""
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, where, kind, *_ = line.split()
        if root.is_relative_to(where) and len(where) > len(best[0]):
            best = (where, kind)
    return best[1]


def _version(program: str, *option: str) -> str:
    if (found := shutil.which(program)) is None:
        return "not here"
    said = subprocess.run([found, *option], capture_output=True, text=True, check=False).stdout
    return said.splitlines()[0] if said else "here"
