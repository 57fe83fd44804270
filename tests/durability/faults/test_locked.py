"""Another process keeps the write lock, and is stopped while it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl_engine import ExitCode, JobState, StorageBusy, open_engine
from queuectl_engine.repository.sqlite.holder import holder
from tests.cli.program import Program
from tests.durability.faults.conftest import StartPool, add, locked
from tests.pool import evidence
from tests.waiting import until


@pytest.fixture
def stopped(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is stopped in the middle of a write transaction."""
    with locked(path) as process:
        process.send_signal(signal.SIGSTOP)
        until(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2][1] == "T")
        yield process
        process.send_signal(signal.SIGCONT)


def test_who_holds_the_lock_is_named_with_what_lets_it_go_on(
    path: Path, stopped: subprocess.Popen[bytes], program: Program
) -> None:
    with open_engine(path, timeout=0.1) as engine, pytest.raises(StorageBusy) as busy:
        engine.add("true")
    said = str(busy.value)
    assert f"process {stopped.pid} ({os.path.basename(sys.executable)}" in said.replace(
        os.path.dirname(sys.executable) + "/", ""
    )
    assert f"which is stopped: 'kill -CONT {stopped.pid}' lets it go on" in said

    refused = program("add", "true", code=ExitCode.BUSY)
    assert f"is locked by process {stopped.pid}" in refused.err
    program("status")  # who reads waits for nobody

    stopped.send_signal(signal.SIGCONT)
    stopped.communicate()
    assert add(path, "true") == [1], "nothing was added by those who were refused"


def test_nobody_is_named_where_the_kernel_does_not_tell(path: Path, tmp_path: Path) -> None:
    with open_engine(path):
        inode = os.stat(f"{path}-shm").st_ino
        table = tmp_path / "locks"
        table.write_text(
            f"1: POSIX  ADVISORY  WRITE 0 00:01:{inode} 120 120\n"  # in another namespace
            f"1: -> POSIX  ADVISORY  WRITE 1 00:01:{inode} 120 120\n"  # waits for it
            f"2: POSIX  ADVISORY  READ {os.getppid()} 00:01:{inode} 120 120\n"
            f"3: POSIX  ADVISORY  WRITE {os.getppid()} 00:01:{inode} 124 124\n"
            f"4: FLOCK  ADVISORY  WRITE {os.getppid()} 00:01:{inode} 0 EOF\n"
            f"5: POSIX  ADVISORY  WRITE {os.getppid()} 00:01:{inode} 120 120\n"  # has it not open
        )
        assert holder(str(path), str(table)) is None
        assert holder(str(path), str(tmp_path / "no table")) is None


def test_workers_wait_for_the_lock_and_go_on(
    path: Path, tmp_path: Path, start_pool: StartPool
) -> None:
    marks, go_on = tmp_path / "marks", tmp_path / "go-on"
    pool = start_pool(path)
    jobs = add(path, evidence.command(marks, f"until test -e {go_on}; do sleep 0.02; done"), "true")
    pool.until_said("started")
    with locked(path) as holder:
        holder.send_signal(signal.SIGSTOP)
        go_on.touch()
        pool.until_said("waiting", "worker=w1", f"process {holder.pid}")
        pool.until_said("waiting", "which is stopped")
        holder.send_signal(signal.SIGCONT)
    with open_engine(path) as engine:
        ended = engine.wait(*jobs, timeout=60)
        assert [(job.state, job.runs) for job in ended] == [(JobState.COMPLETED, 1)] * 2
        evidence.check(engine, jobs[:1], marks)


def test_a_pool_that_must_stop_while_it_is_locked_leaves_receipts(
    path: Path, tmp_path: Path, start_pool: StartPool
) -> None:
    marks, go_on = tmp_path / "marks", tmp_path / "go-on"
    pool = start_pool(path)
    job = add(path, evidence.command(marks, f"until test -e {go_on}; do sleep 0.02; done"))[0]
    pool.until_said("started")
    with locked(path):
        go_on.touch()
        pool.ask_to_stop()
        pool.until_said("unsettled", f"job={job} ")
        assert pool.exit_code() == ExitCode.BUSY
    start_pool(path).until_said("receipt", f"job={job} ", "settled")
    with open_engine(path) as engine:
        assert engine.wait(job, timeout=60)[0].runs == 1
        evidence.check(engine, [job], marks)
