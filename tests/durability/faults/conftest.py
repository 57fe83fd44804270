"""Small disks, and pools whose exit code can be seen; nothing of either outlives a test.

The faults are real: a mounted tmpfs that is filled or made read-only, files that are moved, written
over and cut while pools use them, a lock holder that is stopped. So this needs root, or a user
namespace in which `mount` is allowed; where it is not, these tests fail and say so.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from queuectl_engine import Engine, JobState, open_engine
from queuectl_engine.pool.options import PoolOptions
from tests.cli.program import Program
from tests.pool.conftest import pool_processes
from tests.waiting import until

MIB = 1024 * 1024
MakeDisk = Callable[..., Path]


_HOLD = """
import sys
from queuectl_engine.repository import open_repository
db = open_repository(sys.argv[1])._db
with db.writing():
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def locked(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is in the middle of a write transaction, until the end of the block."""
    holding = [sys.executable, "-c", _HOLD, str(path)]
    with subprocess.Popen(holding, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"locked\n"
        yield holder
        holder.communicate()


@dataclass(frozen=True)
class Pool:
    """A supervisor in the foreground, and the log that it writes."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self, *words: str) -> bool:
        """Whether one line of its log holds all of these words."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        return any(all(word in line for word in words) for line in lines)

    def until_said(self, *words: str) -> None:
        """Wait for such a line."""
        until(lambda: self.said(*words), timeout=60)

    def ask_to_stop(self) -> None:
        """What systemd or Ctrl+C would do."""
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        """Its answer, once it has ended by itself."""
        return self.process.wait(timeout=60)


StartPool = Callable[..., Pool]


@pytest.fixture
def make_disk(tmp_path: Path) -> Iterator[MakeDisk]:
    """Mount disks of some size, in bytes."""
    mounted: list[Path] = []

    def make(size: int) -> Path:
        disk = tmp_path / f"disk{len(mounted)}"
        disk.mkdir(mode=0o700)
        mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(disk))
        mounted.append(disk)
        return disk

    yield make
    for disk in mounted:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def mount(*args: str) -> None:
    """Call mount(8), which must be allowed."""
    done = subprocess.run(["mount", *args], capture_output=True, text=True)
    assert done.returncode == 0, f"these tests need to mount a tmpfs, as root: {done.stderr}"


@pytest.fixture
def start_pool(tmp_path: Path) -> Iterator[StartPool]:
    """Start pools in the foreground, with any option; all are gone after the test."""
    pools: list[tuple[Pool, str]] = []

    def start(db: Path, workers: int = 1, env: Mapping[str, str] = {}, **options: Any) -> Pool:
        told = json.dumps(PoolOptions(str(db), workers=workers, **options).to_json())
        log = tmp_path / f"pool{len(pools)}.log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "queuectl_engine.pool", told],
                stderr=stderr,
                env={**os.environ, **env},
            )
        pool = Pool(process, log)
        pools.append((pool, str(db)))
        return pool

    yield start
    for pool, db in pools:
        for pid in pool_processes(db):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        pool.process.kill()
        pool.process.wait(timeout=30)
        until(lambda db=db: not pool_processes(db))  # type: ignore[misc]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """`queuectl` as people call it."""
    return Program(tmp_path, tmp_path / "home")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty queue, which nobody has open."""
    path = tmp_path / "queue.db"
    open_engine(path, create=True).close()
    return path


def add(db: Path, *commands: str) -> list[int]:
    """Add jobs as a process that has ended since would."""
    with open_engine(db) as engine:
        return [engine.add(command, max_retries=1).id for command in commands]


def all_at_rest(engine: Engine, jobs: list[int]) -> bool:
    """Whether each of them has come to its end."""
    rest = {JobState.COMPLETED, JobState.DEAD, JobState.CANCELLED}
    return all(job.state in rest for job in engine.get_all(jobs))


def fill(disk: Path, *, leave: int = 0, name: str = "filler") -> Path:
    """Take what is left of a disk, but for so many bytes; remove the file to give it back."""
    filler = disk / name
    size = 0
    with filler.open("wb") as file:
        while (left := _left(disk) - leave) > 0:
            try:
                os.posix_fallocate(file.fileno(), size, left)
                size += left
            except OSError as error:
                if error.errno != errno.ENOSPC:  # a pool has taken some of it meanwhile
                    raise
    return filler


def _left(disk: Path) -> int:
    space = os.statvfs(disk)
    return space.f_bavail * space.f_frsize
