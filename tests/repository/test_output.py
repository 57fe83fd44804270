"""What a command prints: in chunks, bounded at the start and the end, live while it runs."""

from __future__ import annotations

from queuectl_engine.job import Chunk, Piece, Stream
from queuectl_engine.lifecycle import Exited, WorkerDied
from queuectl_engine.repository.protocol import (
    Claim,
    JobRepository,
    Leader,
    Output,
    Progress,
    Verdict,
)
from tests.repository.driver import Driver, OpenRepo, output_of
from tests.samples import NOON, SECOND


def seqs(repo: JobRepository, claim: Claim, *, after: int = -1, limit: int = 0) -> list[int]:
    chunks = repo.output(claim.job.id, claim.attempt.number, after=after, limit=limit)
    return [chunk.seq for chunk in chunks]


def running(drive: Driver) -> Claim:
    drive.add()
    return drive.claim()


def test_both_streams_come_back_byte_for_byte_in_order_of_arrival(
    repo: JobRepository, drive: Driver
) -> None:
    claim = running(drive)
    first = Chunk(
        0,
        NOON,
        (
            Piece(Stream.OUT, b"a\n"),
            Piece(Stream.ERR, bytes(range(256))),
            Piece(Stream.OUT, b"o12e3"),
        ),
    )
    second = Chunk(1, NOON + SECOND, (Piece(Stream.ERR, b"\xff"),))
    output = Output((first, second), total=first.size + second.size)

    repo.progress(drive.worker, [Progress(claim.attempt, output=output)], now=NOON)

    assert repo.output(claim.job.id, 1) == [first, second]
    assert drive.attempts(claim.job)[0].output_bytes == 264


def test_output_can_be_read_while_the_job_runs_and_grows(
    repo: JobRepository, drive: Driver, open_repo: OpenRepo
) -> None:
    claim = running(drive)
    viewer = open_repo()
    drive.say(claim, "one")
    assert seqs(viewer, claim) == [0]

    item = Progress(claim.attempt, output=output_of("two", "three", first=1))
    repo.progress(drive.worker, [item], now=NOON)

    assert seqs(viewer, claim, after=0) == [1, 2]
    assert seqs(viewer, claim, after=2) == []


def test_the_last_output_is_settled_with_the_attempt(repo: JobRepository, drive: Driver) -> None:
    claim = running(drive)
    drive.say(claim, "start\n")

    drive.end(claim, Exited(0), output_of("end\n", first=1))

    assert seqs(repo, claim) == [0, 1]


def test_limit_gives_the_last_chunks_that_hold_so_many_bytes(
    repo: JobRepository, drive: Driver
) -> None:
    claim = running(drive)
    drive.say(claim, "aaaa", "bbbb", "cccc")

    assert seqs(repo, claim, limit=4) == [2]
    assert seqs(repo, claim, limit=5) == [1, 2]
    assert seqs(repo, claim, limit=1) == [2]
    assert seqs(repo, claim, limit=12) == seqs(repo, claim, limit=99) == [0, 1, 2]
    assert seqs(repo, claim, after=1, limit=99) == [2]
    assert seqs(repo, claim, after=0, limit=1) == [2]


def test_the_tail_is_bounded_and_what_was_dropped_is_counted(
    repo: JobRepository, drive: Driver
) -> None:
    claim = running(drive)
    drive.say(claim, "head", "tail-1", "tail-2", "tail-3")

    more = Output(output_of("tail-4", first=4).chunks, (range(1, 3),), total=28, dropped=12)
    repo.progress(drive.worker, [Progress(claim.attempt, output=more)], now=NOON)

    assert seqs(repo, claim) == [0, 3, 4]  # the hole shows where bytes are missing
    (attempt,) = drive.attempts(claim.job)
    assert (attempt.output_bytes, attempt.dropped_bytes) == (28, 12)


def test_each_attempt_has_its_own_output(repo: JobRepository, drive: Driver) -> None:
    first = running(drive)
    drive.end(first, Exited(1), output_of("first"))
    drive.later(9 * SECOND)
    second = drive.claim()
    drive.say(second, "second")

    assert [chunk.pieces[0].data for chunk in repo.output(first.job.id, 1)] == [b"first"]
    assert [chunk.pieces[0].data for chunk in repo.output(first.job.id, 2)] == [b"second"]
    assert repo.output(first.job.id, 3) == []
    assert repo.output(999, 1) == []


def test_an_attempt_that_lost_its_job_writes_nothing_more(
    repo: JobRepository, drive: Driver
) -> None:
    claim = running(drive)
    drive.say(claim, "before")
    drive.lose(claim, WorkerDied(supervised=True))
    before = drive.attempts(claim.job), repo.output(claim.job.id, 1)

    late = Progress(claim.attempt, Leader(77, 1), output_of("after", first=1))
    repo.progress(drive.worker, [late], now=NOON)
    assert drive.end(claim, Exited(0), output_of("after", first=1)) is Verdict.LOST

    assert repo.output(claim.job.id, 1) == before[1]
    assert drive.attempts(claim.job)[0].output_bytes == before[0][0].output_bytes
