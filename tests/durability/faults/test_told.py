"""Receipts that a pool left: `doctor` tells of them until a pool of their database settles them."""

from __future__ import annotations

from pathlib import Path

from queuectl_engine import ExitCode, JobState, Level, examine, open_engine
from tests.cli.program import Program
from tests.durability.faults.conftest import StartPool, add, locked
from tests.waiting import until


def leave_receipt(path: Path, start_pool: StartPool, go_on: Path) -> int:
    """Run a job that ends while the file is locked, in a pool that has to stop meanwhile."""
    pool = start_pool(path)
    (job,) = add(path, f"until test -e {go_on}; do sleep 0.02; done")
    pool.until_said("started", f"job={job} ")
    with locked(path):
        go_on.touch()
        pool.ask_to_stop()
        assert pool.exit_code() == ExitCode.BUSY
    return job


def told(path: Path) -> tuple[Level, str]:
    """What the checkup says about receipts."""
    (finding,) = (one for one in examine(path, quick=True) if one.check == "receipts")
    return finding.level, f"{finding.text}; try: {finding.advice}"


def test_what_waits_for_the_next_pool_is_counted_until_it_has_started(
    path: Path, tmp_path: Path, start_pool: StartPool, program: Program
) -> None:
    job = leave_receipt(path, start_pool, tmp_path / "go-on")

    level, text = told(path)
    assert level is Level.WARN
    assert f"not settled yet: 1, in {path}.d/" in text
    assert "the next pool that starts settles them" in text
    assert "\nwarn  receipts  " in program.shell("queuectl doctor --db queue.db").out

    start_pool(path).until_said("receipt", f"job={job} ", "settled")
    until(lambda: not any(one.check == "receipts" for one in examine(path, quick=True)))
    with open_engine(path) as engine:
        assert engine.get(job).state is JobState.COMPLETED


def test_what_no_pool_will_settle_is_counted_as_what_it_is(
    path: Path, tmp_path: Path, start_pool: StartPool, program: Program
) -> None:
    program("--db", str(path), "backup", "copy.db")
    leave_receipt(path, start_pool, tmp_path / "go-on")
    program("--db", str(path), "restore", "copy.db", "--yes")

    level, text = told(path)
    assert level is Level.NOTE
    assert f"before the last restore, which no pool settles here: 1, in {path}.d/" in text

    for beside in path.parent.glob("queue.db*"):
        if beside.is_file():
            beside.unlink()
    open_engine(path, create=True).close()
    level, text = told(path)
    assert level is Level.NOTE
    assert "another database, which no pool settles here: 1," in text
