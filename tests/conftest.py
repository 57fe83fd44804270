"""Guards around every test."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import remove_cluster
from tests.waiting import until

# Who starts the tests with "&" in a script has it ignored, and so would every program under test.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _server() -> Iterator[None]:
    """The PostgreSQL server that tests may have started ends with the session."""
    yield
    remove_cluster()


@pytest.fixture(autouse=True)
def no_process_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No process of a job outlives the test that started it.

    Only those whose database lies in this run's own directory count: other runs are not ours.
    """
    ours = os.fsencode(tmp_path_factory.getbasetemp())
    yield
    try:
        until(lambda: not job_processes(ours), timeout=5.0)
    except AssertionError:
        left = job_processes(ours)
        for pid in left:
            os.kill(pid, signal.SIGKILL)  # or every later test would fail for it
        pytest.fail(f"processes of jobs are left: {left}")


def job_processes(directory: bytes) -> list[int]:
    """The processes that carry a job's token and a database below `directory`."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdecimal() and _is_job(entry, directory)
    ]


def _is_job(process: Path, directory: bytes) -> bool:
    try:
        environment = (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it ended while we looked, or belongs to another user
        return False
    return any(entry.startswith(b"QUEUECTL_TOKEN=") for entry in environment) and any(
        entry.startswith(b"QUEUECTL_DB=" + directory) for entry in environment
    )


@pytest.fixture
def ram(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, for thousands of little databases."""
    if not os.path.isdir("/dev/shm"):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="queuectl-") as directory:
        yield Path(directory)
