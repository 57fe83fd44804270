"""A COMMIT that failed is settled: not added, or stored and said so, and never stored twice.

After a failed sync the pages of a transaction are in the log, unseen: the next commit overwrites
them, or a crash brings them to light. Seen to fail: without `settle_doubt` (a job that was "not
added" is there after a crash, and once more when it is added again); without the check for a
settlement that is repeated (its worker is told that it lost the job); without the memory of
doubtful claims (a job stays in processing, and nobody runs it).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from queuectl_engine.cli.root import run
from queuectl_engine.engine import Engine, open_engine
from queuectl_engine.errors import (
    ExitCode,
    OutcomeUnknown,
    StorageError,
    StorageMoved,
    StoredUnconfirmed,
)
from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository.protocol import Claim, Verdict
from queuectl_engine.repository.sqlite import SqliteRepository, claiming, connection
from tests.durability.disk import FOR_EVER, Disk, Fault, Kind, in_use
from tests.durability.test_io_errors import Stage
from tests.durability.verbs import Scene
from tests.repository.driver import output_of
from tests.samples import new

SYNC = frozenset({Kind.SYNC})


@pytest.fixture
def disk(ram: Path) -> Iterator[Disk]:
    """One that fails when told to."""
    with in_use(Disk(str(ram / "queue.db"), recording=False)) as disk:
        yield disk


@pytest.fixture
def stage(disk: Disk) -> Stage:
    """A database on it."""
    return Stage(disk)


def no_sync(at: int = 0, times: int = FOR_EVER) -> Fault:
    """Every sync fails from one on, so many times."""
    return Fault(at, times=times, kinds=SYNC)


@contextmanager
def begun(stage: Stage, *, company: bool) -> Iterator[Scene]:
    """The scene, with something in its log: a log's head is synced before anything else."""
    with stage.set(company=company) as scene:
        scene.repo.limit(["q"], 7)
        yield scene


def named(repo: SqliteRepository, command: str) -> list[int]:
    """The ids of the jobs with this command."""
    return [job for (job,) in repo._db.run("SELECT id FROM job WHERE command = ?", (command,))]


@pytest.mark.parametrize("company", [True, False], ids=["others use it", "alone"])
def test_what_was_not_added_does_not_come_back(stage: Stage, company: bool) -> None:
    with begun(stage, company=company) as scene:
        before = stage.crashed()
        stage.disk.fault = no_sync(times=1)
        with pytest.raises(StorageError) as failed:
            scene.repo.add([new("once")], now=scene.drive.now)
        assert type(failed.value) is StorageError
        assert named(scene.repo, "once") == []
        assert stage.crashed() == before

        (added,) = scene.repo.add([new("once")], now=scene.drive.now)
        assert named(scene.repo, "once") == [added.id]


def test_what_the_disk_did_not_confirm_is_told_with_its_id(stage: Stage) -> None:
    with begun(stage, company=False) as scene:
        stage.disk.fault = no_sync()
        with pytest.raises(
            StoredUnconfirmed, match=r"^stored jobs 10 to 12, but the disk of .* \(disk I/O"
        ):
            scene.repo.add([new("once") for _ in range(3)], now=scene.drive.now)
        stage.disk.fault = None

        assert named(scene.repo, "once") == [10, 11, 12]
        assert len(stage.crashed()["job"]) == len(stage.before["job"]) + 3
        assert scene.repo.add([new()], now=scene.drive.now)[0].id == 13


def test_what_came_to_disk_after_all_is_simply_stored(stage: Stage) -> None:
    with begun(stage, company=False) as scene:
        stage.disk.fault = no_sync(times=2)  # at the commit, and when the connection is closed
        (added,) = scene.repo.add([new("once")], now=scene.drive.now)

        assert stage.disk.fault.failed == 2
        assert named(scene.repo, "once") == [added.id]


def test_a_disk_that_does_not_answer_leaves_it_unknown(stage: Stage) -> None:
    with begun(stage, company=True) as scene:
        before = stage.crashed()
        stage.disk.fault = no_sync()
        with pytest.raises(OutcomeUnknown, match="'queuectl list --all' before you do it again"):
            scene.repo.add([new("once")], now=scene.drive.now)
        assert stage.crashed() != before  # a ghost

        stage.disk.fault = None
        scene.repo.limit(["q"], 8)
        assert named(scene.repo, "once") == []
        assert stage.crashed()["job"] == before["job"]  # it is laid


@pytest.mark.parametrize("kind", [Kind.SYNC, Kind.WRITE])
def test_a_checkpoint_that_fails_spoils_no_commit(
    stage: Stage, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CHECKPOINT_PAGES", 1)
    with begun(stage, company=True) as scene:
        stage.disk.fault = Fault(0, times=FOR_EVER, kinds=frozenset({kind}), file="")
        for _ in range(3):
            assert scene.repo.add([new()], now=scene.drive.now)[0].created
        assert stage.disk.fault.failed == 3


@dataclass
class Swap(Fault):
    """Another file takes the place of the database in the moment in which a sync fails."""

    path: Path = Path()

    def check(self, kind: Kind, file: str) -> None:
        """Count a call, and swap the files before it fails."""
        try:
            super().check(kind, file)
        except apsw.Error:
            copy = self.path.with_name("copy")
            copy.write_bytes(self.path.read_bytes())
            copy.rename(self.path)
            raise


def test_a_file_that_was_replaced_meanwhile_is_not_taken_for_ours(stage: Stage) -> None:
    with begun(stage, company=False) as scene:
        stage.disk.fault = Swap(0, kinds=SYNC, path=stage.path)
        with pytest.raises(OutcomeUnknown):
            scene.repo.add([new("once")], now=scene.drive.now)
        with pytest.raises(StorageMoved):
            scene.repo.counts()


# -- workers


@pytest.mark.parametrize("company", [True, False], ids=["unknown", "stored"])
def test_a_turn_in_doubt_is_repeated_and_charged_once(stage: Stage, company: bool) -> None:
    with begun(stage, company=company) as scene:
        scene.repo._db.always_sync()
        ended = scene.drive.ended(scene.claim, Exited(0), output_of("all of it"))
        stage.disk.fault = no_sync()
        with pytest.raises(OutcomeUnknown if company else StoredUnconfirmed):
            scene.drive.turn(ended, room=2)
        held = {orphan.attempt.token for orphan in scene.repo.held_by(scene.drive.worker)}
        stage.disk.fault = None

        turn = scene.drive.turn(ended, room=2)

        assert turn.verdicts == (Verdict.SETTLED,)
        assert len(turn.claims) == 2
        assert company or {claim.attempt.token for claim in turn.claims} == held
        assert {claim.job.attempts for claim in turn.claims} == {1}
        done = scene.drive.get(scene.claim.job)
        (attempt,) = scene.drive.attempts(done)
        assert (done.stored, attempt.result, attempt.late) == (State.COMPLETED, "completed", None)
        assert len(scene.repo.output(done.id, 1)) == 1


def test_a_doubtful_claim_is_found_though_there_is_no_room_any_more(stage: Stage) -> None:
    with begun(stage, company=False) as scene:
        stage.disk.fault = no_sync()
        with pytest.raises(StoredUnconfirmed):
            scene.drive.turn(room=1)
        stage.disk.fault = None

        assert len(scene.drive.turn(room=0).claims) == 1
        assert scene.drive.turn(room=0).claims == ()


def test_a_claim_that_cannot_be_read_after_its_commit_is_not_forgotten(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: claiming.Held) -> Claim:
        raise StorageError("a time outside of the calendar")

    with begun(stage, company=False) as scene:
        monkeypatch.setattr(claiming, "claim_of", unreadable)
        with pytest.raises(StorageError, match="calendar"):
            scene.drive.turn(room=1)
        monkeypatch.undo()

        assert len(scene.drive.turn(room=0).claims) == 1
        assert scene.drive.turn(room=0).claims == ()


def test_a_worker_that_ends_gives_its_doubtful_claims_back(stage: Stage) -> None:
    with begun(stage, company=False) as scene:
        stage.disk.fault = no_sync()
        with pytest.raises(StoredUnconfirmed, match="claimed job"):
            scene.drive.turn(room=1)
        stage.disk.fault = None
        (_, taken) = sorted(o.job.id for o in scene.repo.held_by(scene.drive.worker))

        scene.repo.end_worker(scene.drive.worker)

        job = scene.drive.get(taken)
        assert (job.stored, job.attempts) == (State.READY, 0)


def test_output_that_was_told_twice_is_stored_once(stage: Stage) -> None:
    with begun(stage, company=False) as scene:
        stage.disk.fault = no_sync()
        with pytest.raises(StorageError):
            scene.drive.say(scene.claim, "one\n", "two\n")
        stage.disk.fault = None
        scene.drive.say(scene.claim, "one\n", "two\n", "three\n")

        assert len(scene.repo.output(scene.claim.job.id, 1)) == 3


def test_a_hook_that_was_taken_in_doubt_is_run(stage: Stage) -> None:
    with begun(stage, company=False) as scene:
        pool = scene.drive.pool.id
        stage.disk.fault = no_sync()
        with pytest.raises(StorageError):
            scene.repo.take_hooks(pool, room=2)
        stage.disk.fault = None

        assert scene.repo.hooks_wait()
        assert len(scene.repo.take_hooks(pool, room=2)) == 1
        assert not scene.repo.hooks_wait()


# -- people


@pytest.fixture
def engine(disk: Disk) -> Iterator[Engine]:
    """A new database, and nothing else that uses it."""
    with closing(open_engine(disk.path, create=True)) as engine:
        yield engine


def test_a_job_that_cannot_be_read_back_is_stored_all_the_same(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(ids: object) -> None:
        raise StorageError("the disk is gone")

    monkeypatch.setattr(engine._repository, "get", gone)
    with pytest.raises(StoredUnconfirmed, match=r"stored job 1, but .* the disk is gone"):
        engine.add("true")


ACTS: dict[str, Callable[[Engine], object]] = {
    "requeued job 1": lambda engine: engine.requeue(1),
    "deleted job 1": lambda engine: engine.delete(1),
}


@pytest.mark.parametrize("done", ACTS)
def test_an_act_in_doubt_says_whether_it_happened(disk: Disk, engine: Engine, done: str) -> None:
    job = engine.add("true")
    engine.cancel(job.id)
    disk.fault = no_sync()
    with pytest.raises(StoredUnconfirmed, match=f"^{done}, but the disk"):
        ACTS[done](engine)


@pytest.fixture
def busy_file(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A file with a job, and a log that its last users left when they were killed."""
    monkeypatch.setenv("QUEUECTL_DB", disk.path)
    files = [Path(disk.path), Path(disk.path + "-wal")]
    with closing(open_engine(disk.path, create=True)) as engine:
        engine.add("true")
        left = [file.read_bytes() for file in files]
    for file, data in zip(files, left, strict=True):
        file.write_bytes(data)
    return disk


def test_add_says_in_one_line_what_is_so(
    busy_file: Disk, capsys: pytest.CaptureFixture[str]
) -> None:
    busy_file.fault = no_sync()
    assert run(["add", "true"]) == ExitCode.FAILED
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: stored job 2, but the disk of ")
    assert told.err.count("\n") == 1

    busy_file.fault = no_sync(times=1)
    with closing(apsw.Connection(busy_file.path)) as other:
        other.execute("SELECT * FROM job").fetchall()
        assert run(["add", "-q", "true"]) == ExitCode.FAILED
        assert "cannot be used: disk I/O error" in capsys.readouterr().err
    busy_file.fault = None
    assert run(["add", "-q", "true"]) == ExitCode.OK
    assert capsys.readouterr().out == "3\n"


def test_a_file_in_doubt_names_its_lines(
    busy_file: Disk, ram: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs = ram / "jobs"
    jobs.write_text("true\n" * 3)

    busy_file.fault = no_sync()
    assert run(["add", "--file", str(jobs)]) == ExitCode.FAILED

    told = capsys.readouterr().err
    assert "stored jobs 2 to 4, but the disk" in told
    assert told.endswith("lines 1 to 3 are those, what follows was not added\n")
