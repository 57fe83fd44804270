"""What attempts used and when queues may be empty, as commands say it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository.protocol import Usage
from tests.cli.program import Program
from tests.repository.driver import Driver
from tests.samples import SECOND


def test_show_tells_duration_cpu_and_memory(queuectl: Program, drive: Driver) -> None:
    drive.add(max_retries=1)
    claim = drive.claim()
    drive.later(3 * SECOND)
    used = Usage(timedelta(seconds=1.5), 210_000_000)
    drive.turn(drive.ended(claim, Exited(1))._replace(usage=used))
    drive.later(9 * SECOND)
    drive.claim()

    first, second = queuectl("show", "1", "--json").json()["attempt_history"]
    assert (first["duration"], first["cpu"]) == (3.0, 1.5)
    assert first["peak_memory"] == 210_000_000 // 1024 * 1024
    assert (second["duration"], second["cpu"], second["peak_memory"]) == (None, None, None)
    assert "failed after 3.0 s, cpu 1.50 s, memory 210 MB, exit 1" in queuectl("show", "1").out


def test_without_a_pool_nothing_is_estimated(queuectl: Program, drive: Driver) -> None:
    drive.now = datetime.now(UTC)
    for _ in range(9):
        drive.add()
        drive.run(Exited(0))
        drive.later()
    drive.add()
    status = queuectl("status", "--json").json()
    assert status["empty_in"] is None
    assert [queue["empty_in"] for queue in status["queues"]] == [None]
    assert "Empty in" not in queuectl("status").out
    assert queuectl("queues", "--json").json()[0]["empty_in"] is None
