"""Other queues from PyPI, in a virtual environment of their own; each script prints one figure."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.harness import Bench, Skip

HERE: Final = Path(__file__).parent
# pulse-queue wants Python 3.13; with an older one only, it is skipped and says so.
PYTHONS: Final = ("python3.14", "python3.13", "python3.12", "python3.11")


def peer(bench: Bench, script: str, package: str, *args: object) -> float:
    """The figure that a script prints when its package is installed. Raises Skip."""
    python = _environment(bench, package)
    command = [str(python), str(HERE / script), *map(str, args)]
    with bench.directory() as directory:
        done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skip(f"{package} failed: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}")
    return float(done.stdout)


def _environment(bench: Bench, package: str) -> Path:
    """The Python of an environment that has the package, made when it is first asked for."""
    why = "no Python for it here"
    for python in _pythons():
        home = bench.root / f"peer-{package}-{Path(python).name}"
        inner = home / "bin" / "python"
        marks = home / "installed"
        if marks.exists():
            return inner
        if not home.exists():
            made = subprocess.run(
                [python, "-m", "venv", str(home)], capture_output=True, check=False
            )
            if made.returncode:
                continue
            done = subprocess.run(
                [str(inner), "-m", "pip", "-q", "install", package],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode == 0:
                marks.touch()
                return inner
            why = (done.stderr.strip().splitlines() or ["?"])[-1]
    raise Skip(f"{package} cannot be installed: {why}")


def _pythons() -> list[str]:
    found = [python for name in PYTHONS if (python := shutil.which(name)) and _works(python)]
    kept = sorted(map(str, Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python3")), reverse=True)
    return list(dict.fromkeys([*found, *kept, sys.executable]))


def _works(python: str) -> bool:
    """A shim may stand for a Python that is not there."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
