"""Results in a file: written whole, read back the same, settled with the usual fence."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from queuectl_engine.cause import Signature
from queuectl_engine.job import Chunk, Piece, State, Stream
from queuectl_engine.keeping import Level
from queuectl_engine.lifecycle import (
    Cancelled,
    CancelObeyed,
    Completed,
    Dead,
    Ending,
    Exited,
    ForcedStop,
    GivenBack,
    NotStarted,
    Outcome,
    RetryAt,
    RunAgain,
    Signalled,
    TimedOut,
    WorkerDied,
)
from queuectl_engine.pool import checkup
from queuectl_engine.pool.locks import HeldLock, worker_lock
from queuectl_engine.pool.receipts import (
    Receipts,
    left_receipts,
    receipts_file,
    settle_receipts,
)
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.protocol import Ended, JobRepository, Output, Usage, Verdict
from tests.repository.driver import Driver
from tests.samples import MINUTE, NOON

OUTPUT = Output(
    (Chunk(3, NOON, (Piece(Stream.OUT, b"\xff\0a\n"), Piece(Stream.ERR, b"b"))),),
    (range(1, 2),),
    total=99,
    dropped=90,
)
WORKER = 7


@pytest.fixture
def repository(tmp_path: Path) -> Any:
    repository = open_repository(str(tmp_path / "queue.db"), create=True)
    yield repository
    repository.close()


@pytest.fixture
def drive(repository: JobRepository) -> Driver:
    return Driver(repository)


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    directory = tmp_path / "queue.db.d" / "pool"
    directory.mkdir(parents=True)
    return directory


class Told:
    """A log that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []

    def __call__(self, event: str, **fields: object) -> None:
        self.lines.append((event, fields))


def running(drive: Driver) -> Ended:
    drive.add("true", max_retries=1)
    claim = drive.turn(room=1).claims[0]
    return drive.ended(claim, Exited(0))._replace(output=Output(), usage=None)


def left(pool: Path, of: str, *ended: Ended) -> None:
    receipts = Receipts(pool, WORKER)
    receipts.write(of, ended)
    receipts.close()


@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        (Exited(0), Completed()),
        (Exited(3), RetryAt(NOON + MINUTE, "exit 3")),
        (Signalled(9), Dead("killed by signal 9")),
        (TimedOut(timedelta(seconds=1.5)), Dead("timed out")),
        (CancelObeyed(), Cancelled("cancelled")),
        (ForcedStop(), GivenBack("its pool stopped")),
        (NotStarted("no memory"), GivenBack("not started")),
    ],
)
def test_whatever_came_of_a_job_is_settled_as_if_its_worker_had(
    drive: Driver, pool: Path, ending: Ending, outcome: Outcome
) -> None:
    twins = [
        running(drive)._replace(
            ending=ending,
            outcome=outcome,
            output=OUTPUT,
            signature=Signature("true", "exit 3", 'no "such"\nthing \udcff'),
            usage=Usage(timedelta(microseconds=1500), 1024),
            began_at=NOON - MINUTE,
        )
        for _ in range(2)
    ]
    line = "no such thing"
    twins = [t._replace(signature=t.signature and replace(t.signature, line=line)) for t in twins]
    left(pool, drive.repo.incarnation(), twins[0])

    told = Told()
    assert settle_receipts(drive.repo, pool, WORKER, told)
    assert drive.repo.lose([twins[1]], now=drive.now) == (Verdict.SETTLED,)

    first, second = (drive.get(twin.attempt.job) for twin in twins)
    assert (first.stored, first.reason, first.run_at, first.cause_id) == (
        second.stored,
        second.reason,
        second.run_at,
        second.cause_id,
    )
    assert first.started_at == second.started_at == NOON - MINUTE
    shown = [replace(drive.attempts(job)[0], job=0) for job in (first, second)]
    assert shown[0] == shown[1]
    assert drive.repo.output(first.id, 1) == drive.repo.output(second.id, 1)
    assert told.lines[0][1]["verdict"] == "settled"
    assert left_receipts(pool.parent) == []


def test_who_holds_the_job_no_more_changes_nothing(drive: Driver, pool: Path) -> None:
    ended = running(drive)
    left(pool, drive.repo.incarnation(), ended)
    rescued = ended._replace(ending=WorkerDied(supervised=False), outcome=RunAgain("lost"))
    drive.repo.lose([rescued], now=drive.now)  # by a pool that did not see this file
    before = drive.get(ended.attempt.job)

    told = Told()
    assert settle_receipts(drive.repo, pool, WORKER, told)
    assert drive.get(ended.attempt.job) == before
    assert told.lines[0][1]["verdict"] == "lost"


@pytest.mark.parametrize("of", ["another/1", "{uuid}/2"])
def test_receipts_of_another_database_or_before_a_restore_stay(
    drive: Driver, pool: Path, of: str
) -> None:
    ended = running(drive)
    left(pool, of.format(uuid=drive.repo.identity()), ended)

    assert not settle_receipts(drive.repo, pool, WORKER, Told())
    assert drive.get(ended.attempt.job).stored is State.PROCESSING
    assert left_receipts(pool.parent) == [(pool, WORKER)]


@pytest.mark.parametrize("text", [b"no JSON\n", b"[]\n", b'{"database": "x"}\n', b"\xff\n", b"9\n"])
def test_what_is_no_receipt_stays_and_is_told(drive: Driver, pool: Path, text: bytes) -> None:
    receipts_file(pool, WORKER).write_bytes(text)
    told = Told()
    assert not settle_receipts(drive.repo, pool, WORKER, told)
    assert "cannot be understood" in str(told.lines)
    assert receipts_file(pool, WORKER).read_bytes() == text
    (finding,) = checkup.receipts(drive.repo)
    assert finding.level is Level.WARN
    assert f"worker-{WORKER}.receipts cannot be understood" in finding.text


def test_the_file_is_ours_alone_reserves_its_room_and_goes_when_it_holds_nothing(
    pool: Path, drive: Driver
) -> None:
    receipts = Receipts(pool, WORKER)
    info = os.stat(receipts_file(pool, WORKER))
    assert (stat.S_IMODE(info.st_mode), info.st_blocks * 512 >= 64 * 1024) == (0o600, True)
    receipts.close()
    assert left_receipts(pool.parent) == []

    receipts_file(pool, WORKER).symlink_to(pool / "planted")
    planted = Receipts(pool, WORKER)
    with pytest.raises(OSError, match="File exists"):
        planted.write(drive.repo.incarnation(), [running(drive)])
    assert not (pool / "planted").exists()
    assert left_receipts(pool.parent) == []


def test_a_killed_worker_leaves_only_room_and_that_is_no_receipt(drive: Driver, pool: Path) -> None:
    Receipts(pool, WORKER)  # and no close
    assert settle_receipts(drive.repo, pool, WORKER, Told())
    assert left_receipts(pool.parent) == []


def test_a_directory_that_went_with_the_database_is_made_anew(drive: Driver, pool: Path) -> None:
    receipts = Receipts(pool, WORKER)
    receipts_file(pool, WORKER).unlink()
    pool.rmdir()
    ended = running(drive)
    receipts.write(drive.repo.incarnation(), [ended])
    receipts.close()
    assert settle_receipts(drive.repo, pool, WORKER, Told())
    assert drive.get(ended.attempt.job).stored is State.COMPLETED


def test_a_checkup_tells_nothing_of_a_living_worker_nor_of_reserved_room(
    drive: Driver, pool: Path
) -> None:
    Receipts(pool, WORKER + 1)  # and no close
    assert list(checkup.receipts(drive.repo)) == []

    lock = HeldLock.take(pool / worker_lock(WORKER))
    assert lock
    left(pool, drive.repo.incarnation(), running(drive), running(drive))
    assert list(checkup.receipts(drive.repo)) == []

    lock.release()
    (finding,) = checkup.receipts(drive.repo)
    assert "not settled yet: 2," in finding.text
