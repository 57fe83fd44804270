"""A pool's lease as its own host sees it, and the fence that does not wait for the worker."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from pathlib import Path

import pytest

from queuectl_engine.errors import StorageError
from queuectl_engine.pool import rescue
from queuectl_engine.pool.lease import CLAIM, END, KILL, Fence, Lease, boot_time
from queuectl_engine.pool.processes import TOKEN_VARIABLE
from queuectl_engine.repository import protocol
from queuectl_engine.repository.protocol import PoolRow
from tests.samples import pool_row

LONG = 3600.0
WAY_OUT = 10.0  # of a hang, in seconds
TOKEN = "f0" * 16


def pool(directory: Path, seconds: float | None) -> PoolRow:
    """A registered pool."""
    lease = None if seconds is None else protocol.Lease(seconds)
    return pool_row(directory, lease=lease, id=7)


def nobody_asks(_: int) -> bool:
    """In the place of the repository's `renew`."""
    pytest.fail("it was not to be renewed")


def test_a_store_without_leases_has_one_without_end(tmp_path: Path) -> None:
    lease = Lease(pool(tmp_path, None), tmp_path)
    assert not lease.ends
    assert not lease.is_past(CLAIM)
    assert lease.until(END) == inf
    lease.renew(nobody_asks, after=0.0)


def test_what_was_never_published_is_past(tmp_path: Path) -> None:
    assert Lease(pool(tmp_path, LONG), tmp_path).is_past(KILL)


def test_all_processes_of_a_pool_see_the_newest_renewal(tmp_path: Path) -> None:
    one, other = (Lease(pool(tmp_path, LONG), tmp_path) for _ in range(2))
    now = boot_time()
    one.publish(now - LONG * 0.6)
    assert other.is_past(CLAIM)
    assert not other.is_past(END)
    other.publish(now)
    one.publish(now - LONG)  # it had waited for an answer for long
    assert not one.is_past(CLAIM)


def test_it_is_renewed_only_when_due_and_counts_from_when_it_was_sent(tmp_path: Path) -> None:
    lease = Lease(pool(tmp_path, LONG), tmp_path)
    lease.publish(boot_time() - LONG / 2)
    asked: list[int] = []

    def renew(number: int) -> bool:
        asked.append(number)
        return True

    lease.renew(renew, after=0.9)
    assert asked == []
    lease.renew(renew, after=0.4)
    lease.renew(renew, after=0.4)
    assert asked == [7]


def test_a_failure_is_told_and_not_repeated_at_once(tmp_path: Path) -> None:
    lease = Lease(pool(tmp_path, LONG), tmp_path)

    def fail(_: int) -> bool:
        raise StorageError("cannot reach it")

    with pytest.raises(StorageError):
        lease.renew(fail, after=0.4)
    lease.renew(nobody_asks, after=0.4)
    assert lease.is_past(KILL)


def test_a_forgotten_pool_renews_no_more(tmp_path: Path) -> None:
    lease = Lease(pool(tmp_path, LONG), tmp_path)
    lease.renew(lambda _: False, after=0.4)
    assert lease.forgotten
    lease.renew(nobody_asks, after=0.4)


def heard(ears: int) -> bytes:
    """The next byte of a pipe, none at its end."""
    assert select.select([ears], [], [], WAY_OUT)[0], "nothing is written, and somebody lives"
    return os.read(ears, 1)


@pytest.fixture
def forking_job() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A job of two processes, and a pipe that ends when both are dead.

    One has left the environment with the token, the other the session. They live for as long as the
    test does, whatever it finds.
    """
    ears, mouth = os.pipe()
    script = f"""if True:
        import os, sys
        ears, mouth = os.pipe()  # ends with the exec
        if os.fork():
            os.execve("/bin/cat", ["cat"], {{}})
        os.close(mouth)
        os.read(ears, 1)
        os.setsid()
        os.write({mouth}, b"!")
        sys.stdin.read()
    """
    job = subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, TOKEN_VARIABLE: TOKEN},
        stdin=subprocess.PIPE,
        pass_fds=[mouth],
        start_new_session=True,
    )
    os.close(mouth)
    with job:  # closes their input, which they wait for
        assert heard(ears) == b"!", "both are there"
        yield job, ears
    os.close(ears)


def test_the_fence_kills_all_of_a_job_while_the_worker_does_nothing(
    tmp_path: Path, forking_job: tuple[subprocess.Popen[bytes], int]
) -> None:
    job, ears = forking_job
    lease = Lease(pool(tmp_path, LONG), tmp_path)
    lease.publish(boot_time() - LONG * 0.99)
    fence = Fence(lease)
    fence.guard(TOKEN, job.pid)
    fence.start()
    try:
        assert heard(ears) == b"", "the end of the pipe: whoever had it is dead"
        assert job.wait(WAY_OUT) == -signal.SIGKILL
    finally:
        fence.release(TOKEN)
        fence.stop()


def test_what_is_released_is_killed_no_more(tmp_path: Path) -> None:
    lease = Lease(pool(tmp_path, LONG), tmp_path)
    fence = Fence(lease)
    job = subprocess.Popen(["sleep", "600"], start_new_session=True)
    fence.guard("over", job.pid)
    fence.release("over")
    fence._kill()
    assert job.poll() is None
    job.kill()
    job.wait()


def test_a_host_is_lost_by_the_servers_clock_and_by_what_we_saw_ourselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(rescue, "boot_time", lambda: now)
    watch = rescue.Watch()
    until = datetime(2026, 1, 1, tzinfo=UTC)
    row = replace(pool(tmp_path, 10.0), lease=protocol.Lease(10.0, until, over=True))

    assert not watch.is_lost(row), "the server's clock may have been set"
    now += 9.9
    assert not watch.is_lost(row)
    now += 0.2
    assert watch.is_lost(row)
    renewed = replace(row, lease=protocol.Lease(10.0, until.replace(day=2), over=True))
    assert not watch.is_lost(renewed)
    now += 10.0
    assert not watch.is_lost(replace(renewed, lease=replace(renewed.lease, over=False)))  # type: ignore[type-var]
    assert watch.is_lost(renewed)
