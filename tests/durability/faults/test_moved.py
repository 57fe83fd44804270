"""The file is deleted, renamed, replaced or overwritten while a pool works on it.

Without the check of the file in `Connection.check` the pool goes on as if nothing had happened, and
what it is told it wrote is in a file that nobody will ever see.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl_engine import ExitCode, JobState, StorageDamaged, StorageMoved, open_engine
from queuectl_engine.pool.receipts import left_receipts
from queuectl_engine.repository import open_repository
from tests.cli.program import Program
from tests.durability.faults.conftest import StartPool, add, all_at_rest
from tests.pool import evidence
from tests.waiting import until


def delete(path: Path) -> None:
    path.unlink()


def rename(path: Path) -> None:
    path.rename(path.with_name("away.db"))


def replace(path: Path) -> None:
    os.replace(_another(path), path)


def overwrite(path: Path) -> None:
    subprocess.run(["cp", str(_another(path)), str(path)], check=True)


def _another(path: Path) -> Path:
    other = path.with_name("other.db")
    with open_engine(other, create=True) as engine:
        for _ in range(50):
            engine.add(f"touch {path.with_name('from-the-other')}")
    return other


@pytest.mark.parametrize("what", [delete, rename, replace, overwrite])
def test_a_pool_whose_file_is_gone_stops_and_loses_nothing(
    path: Path, tmp_path: Path, start_pool: StartPool, what: Callable[[Path], None]
) -> None:
    marks, go_on, kept = tmp_path / "marks", tmp_path / "go-on", tmp_path / "kept"
    pool = start_pool(path, workers=2)
    long = add(path, evidence.command(marks, f"until test -e {go_on}; do sleep 0.02; done"))
    until(lambda: evidence.read(marks))
    short = add(path, *[evidence.command(marks)] * 200)
    until(lambda: len(evidence.read(marks)) > 10)  # under load

    os.link(path, kept)
    if what is overwrite:
        shutil.copy(path, tmp_path / "before")  # this process has nothing open
    what(path)
    pool.until_said("cut off", "pool=")

    pool.until_said("failed", "worker=w")  # one worker had no job: it is gone already
    assert pool.process.poll() is None, "the pool waits for its running job"
    started = {mark.token for mark in evidence.read(marks) if mark.what == "start"}
    ghost = (kept.stat().st_mtime_ns, _size(path, "-wal"))
    go_on.touch()
    assert pool.exit_code() == ExitCode.DAMAGED
    assert {m.token for m in evidence.read(marks) if m.what == "start"} == started
    assert (kept.stat().st_mtime_ns, _size(path, "-wal")) == ghost, "a ghost was written to"
    assert not (tmp_path / "from-the-other").exists(), "it ran jobs of another database"
    assert pool.said("unsettled", f"job={long[0]} ")
    left = left_receipts(Path(f"{path}.d"))
    assert left
    marked = Path(f"{path}.d/damaged").exists()  # what was put there is not used unchecked
    assert marked == (what in (replace, overwrite))
    if what is overwrite:
        return  # its content is gone: see below

    os.replace(kept, path)  # the right file is back, with the log that waited for it
    again = start_pool(path, workers=2)
    again.until_said("receipt", f"job={long[0]} ", "verdict=settled")
    with open_engine(path) as engine:
        until(lambda: all_at_rest(engine, [*long, *short]), timeout=60)
        assert engine.get(long[0]).runs == 1
        evidence.check(engine, [*long, *short], marks)
        assert not {*left} & {*left_receipts(Path(f"{path}.d"))}, "what was settled was kept"


def test_what_was_put_over_a_queue_in_use_runs_only_once_it_is_found_sound(
    path: Path, tmp_path: Path, start_pool: StartPool, program: Program
) -> None:
    go_on = tmp_path / "go-on"
    pool = start_pool(path)
    add(path, f"until test -e {go_on}; do sleep 0.02; done")
    pool.until_said("started")
    overwrite(path)
    pool.until_said("cut off", "pool=")
    refused = program("add", "true", code=ExitCode.DAMAGED)
    assert "taken for damaged" in refused.err
    go_on.touch()
    assert pool.exit_code() == ExitCode.DAMAGED

    for beside in ("-wal", "-shm"):  # as the message says
        path.with_name(path.name + beside).unlink(missing_ok=True)
    shutil.copyfile(tmp_path / "other.db", path)
    again = start_pool(path)
    again.until_said("checked", "integrity_check found nothing")
    again.until_said("receipts", "of another database")
    until((tmp_path / "from-the-other").exists)
    assert len(left_receipts(Path(f"{path}.d"))) >= 1, "evidence of the old one was removed"
    program("add", "true")


def test_a_connection_writes_to_no_other_database_than_it_opened(path: Path) -> None:
    repository = open_repository(str(path))
    restored = open_repository(str(path))
    db = restored._db  # type: ignore[attr-defined]
    with db.writing():
        db.run("UPDATE meta SET generation = generation + 1")  # as a restore does

    for act in (lambda: repository.pause(None, paused=True), repository.version):
        with pytest.raises(StorageMoved, match="restored from a backup"):
            act()
    repository.close()
    restored.close()
    with open_engine(path) as engine:
        assert not any(queue.paused for queue in engine.queues())


def test_what_is_put_over_a_file_is_seen_by_who_has_its_pages_in_memory(path: Path) -> None:
    repository = open_repository(str(path))
    repository.version()
    overwrite(path)
    with pytest.raises((StorageMoved, StorageDamaged)):  # nobody committed: SQLite believes them
        repository.version()
    repository.close()


def test_a_wait_ends_when_its_database_is_gone(path: Path, program: Program) -> None:
    number = add(path, "true")[0]
    with program.running("wait", str(number)) as waiting:
        log = f"{path}-wal"  # when that is open it has read
        until(lambda: any(os.path.realpath(fd) == log for fd in _open_files(waiting.process.pid)))
        rename(path)
        result = waiting.end()
    assert (result.code, result.err.count("\n")) == (ExitCode.DAMAGED, 1)


def test_no_new_queue_begins_beside_the_log_of_a_lost_one(path: Path, program: Program) -> None:
    with open_engine(path) as engine:
        job = engine.add("true")
        away = path.with_name("away.db")
        path.rename(away)
        assert "put the file back" in program("initdb", code=ExitCode.DAMAGED).err
        assert not path.exists()
        away.rename(path)
        assert engine.get(job.id).state is JobState.PENDING


def _open_files(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/fd").iterdir())


def _size(path: Path, beside: str) -> int:
    try:
        return os.stat(f"{path}{beside}").st_size
    except FileNotFoundError:
        return 0
