"""A disk that runs full under a pool, and one that is nearly full."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from queuectl_engine import ExitCode, JobState, StorageFull, open_engine
from queuectl_engine.pool.space import DEFAULT_FLOOR, MIB, low_space, no_space
from tests.cli.program import Program
from tests.durability.faults.conftest import MakeDisk, StartPool, add, fill
from tests.pool import evidence
from tests.pool.conftest import printed
from tests.waiting import until


def test_a_full_disk_delays_results_and_it_goes_on_by_itself_when_there_is_room(
    make_disk: MakeDisk, start_pool: StartPool, tmp_path: Path, program: Program
) -> None:
    disk, marks, go_on = make_disk(4 * MIB), tmp_path / "marks", tmp_path / "go-on"
    db = disk / "queue.db"
    open_engine(db, create=True).close()
    pool = start_pool(db, min_free=0)
    work = f"until test -e {go_on}; do sleep 0.02; done; head -c 300000 /dev/zero"
    jobs = add(db, evidence.command(marks, work), evidence.command(marks))
    pool.until_said("started")

    filler = fill(disk)
    go_on.touch()
    pool.until_said("waiting", "worker=", "no space left")
    assert until(lambda: refused(program, disk, "add", "true")).count("no space") == 1
    shown = program("--db", str(db), "status", "--json").json()
    assert shown["counts"]["processing"] == 1
    assert shown["pools"][0]["trouble"].startswith("low space")

    for taken in (filler, *disk.glob("more-*")):
        taken.unlink()
    with open_engine(db) as engine:
        ended = engine.wait(*jobs, timeout=60)
        assert [(j.state, j.runs) for j in ended] == [(JobState.COMPLETED, 1)] * 2
        assert len(printed(engine, jobs[0])) == 300_000
        evidence.check(engine, jobs, marks)
    assert pool.process.poll() is None


def refused(program: Program, disk: Path, *act: str) -> str:
    """What it says when it fails for lack of room, which is taken first; nothing if it did not.

    A pool that has just begun may empty its log, and so free some, after the disk was filled.
    """
    fill(disk, name=f"more-{len(list(disk.iterdir()))}")
    command = program.command("--db", str(disk / "queue.db"), *act)
    done = subprocess.run(command, capture_output=True, text=True, env=program.env, check=False)
    assert done.returncode in (ExitCode.OK, ExitCode.FAILED), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("size", "kept"), [(30_000, 30_000), (300_000, 0)], ids=["in the reserve", "the result alone"]
)
def test_a_pool_that_stops_while_the_disk_is_full_leaves_receipts(
    make_disk: MakeDisk, start_pool: StartPool, tmp_path: Path, size: int, kept: int
) -> None:
    disk, marks, go_on = make_disk(4 * MIB), tmp_path / "marks", tmp_path / "go-on"
    db = disk / "queue.db"
    open_engine(db, create=True).close()
    pool = start_pool(db, min_free=0)
    work = f"until test -e {go_on}; do sleep 0.02; done; head -c {size} /dev/zero"
    job = add(db, evidence.command(marks, work))[0]
    until(lambda: evidence.read(marks))

    filler = fill(disk)
    pool.ask_to_stop()
    go_on.touch()
    pool.until_said("unsettled", f"job={job} ")
    pool.exit_code()
    filler.unlink()
    start_pool(db, drain=True).exit_code()
    with open_engine(db) as engine:
        assert engine.get(job).runs == 1
        assert len(printed(engine, job)) == kept
        evidence.check(engine, [job], marks)
        assert engine.pools() == []


def test_on_a_completely_full_disk_every_command_is_one_clear_line(
    make_disk: MakeDisk, program: Program
) -> None:
    disk = make_disk(2 * MIB)
    db = disk / "queue.db"
    open_engine(db, create=True).close()
    fill(disk)  # not even the shared memory of a reader can be made

    for command in ("status", "list", "add true", "pools"):
        refused = program("--db", str(db), *command.split(), code=ExitCode.FAILED)
        assert f"no space left on the disk of {db}" in refused.err
    with pytest.raises(StorageFull):
        open_engine(db)


def test_low_space_stops_claiming_before_it_is_too_late(
    make_disk: MakeDisk, start_pool: StartPool, program: Program
) -> None:
    disk = make_disk(16 * MIB)
    db = disk / "queue.db"
    open_engine(db, create=True).close()
    pool = start_pool(db, min_free=8 * MIB)
    with open_engine(db) as engine:
        assert engine.wait(*add(db, "true"), timeout=60)[0].state is JobState.COMPLETED
        filler = fill(disk, leave=7 * MIB)
        until(lambda: engine.pools()[0].trouble)
        number = add(db, "true")[0]
        engine.scale(by=1)
        until(lambda: engine.pools()[0].running == 2)  # a worker that starts now knows it, too
        assert engine.get(number).state is JobState.PENDING
        assert pool.said("trouble", "low space")
        for command in ("pools", "status"):
            assert "low space: " in program("--db", str(db), command).out
        filler.unlink()
        assert engine.wait(number, timeout=60)[0].runs == 1
        until(lambda: engine.pools()[0].trouble is None)


@pytest.mark.parametrize(
    ("free", "size", "floor", "low"),
    [
        (DEFAULT_FLOOR - 1, 100 * 1024 * MIB, None, True),
        (DEFAULT_FLOOR, 100 * 1024 * MIB, None, False),
        (10 * MIB - 1, 1000 * MIB, None, True),  # of a small disk a hundredth
        (10 * MIB, 1000 * MIB, None, False),
        (0, 1000 * MIB, 0, False),
        (999, 1000 * MIB, 1000, True),
    ],
)
def test_the_floor_is_64_mib_or_a_hundredth_or_what_was_asked(
    free: int, size: int, floor: int | None, low: bool
) -> None:
    assert (low_space((free, size), floor) is not None) == low
    assert low_space(None, floor) is None


def test_who_does_not_know_the_floor_tells_only_of_nothing_left() -> None:
    assert no_space((DEFAULT_FLOOR // 2, 100 * DEFAULT_FLOOR)) is None
    assert no_space((0, DEFAULT_FLOOR)) == "low space: 0 KiB left on its disk"
    assert no_space(None) is None


def test_sizes_are_typed_as_people_do(tmp_path: Path, program: Program) -> None:
    refused = program("worker", "--min-free", "much", code=ExitCode.USAGE)
    assert "'much' is no size; try 500M or 2G" in refused.err
    assert not os.path.exists(tmp_path / "queue.db")
