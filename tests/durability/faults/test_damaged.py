"""Flipped bits, zeroed and swapped pages, cut and foreign files: at rest and under a pool."""

from __future__ import annotations

import random
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from queuectl_engine import (
    ExitCode,
    NotAQueue,
    StorageDamaged,
    StorageError,
    open_engine,
)
from queuectl_engine.lifecycle import Exited
from queuectl_engine.pool.receipts import left_receipts
from queuectl_engine.repository import open_repository
from tests.cli.program import Program
from tests.durability.faults.conftest import StartPool, add
from tests.pool import evidence
from tests.repository.driver import Driver
from tests.samples import NOON, new
from tests.waiting import until

PAGE = 4096
TRIES = 12
Harm = Callable[[bytearray, random.Random], None]


def flip_a_bit(data: bytearray, chance: random.Random) -> None:
    data[chance.randrange(100, len(data))] ^= 1 << chance.randrange(8)


def zero_a_page(data: bytearray, chance: random.Random) -> None:
    at = PAGE * chance.choice(_in_use(data))
    data[at : at + PAGE] = bytes(PAGE)


def swap_a_page(data: bytearray, chance: random.Random) -> None:
    pages = chance.sample(_in_use(data), 2)
    first, second = (slice(page * PAGE, (page + 1) * PAGE) for page in pages)
    data[first], data[second] = data[second], data[first]


def _in_use(data: bytearray) -> list[int]:
    """Pages of trees that hold something, but for the first (https://sqlite.org/fileformat2.html)."""
    pages = range(1, len(data) // PAGE)
    return [n for n in pages if data[n * PAGE] in (2, 5, 10, 13) and any(data[n * PAGE + 3 :][:2])]


def cut_it(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(PAGE, len(data) - PAGE) :]


@pytest.fixture(scope="module")
def full_queue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A queue with a few hundred jobs, some of which ran."""
    path = tmp_path_factory.mktemp("sound") / "queue.db"
    with closing(open_repository(str(path), create=True)) as repository:
        drive = Driver(repository)
        repository.add([new(f"true {'x' * (n % 50)} {n}") for n in range(400)], now=NOON)
        drive.turn(*[drive.ended(claim, Exited(0)) for claim in drive.turn(room=100).claims])
        repository.shrink()  # a free page looks as one in use, and nobody minds what is in it
    return path


@pytest.mark.parametrize(
    ("harm", "found"),
    [(zero_a_page, True), (swap_a_page, True), (cut_it, True), (flip_a_bit, False)],
)
def test_damage_is_an_error_with_words_and_nothing_is_claimed_after_it(
    full_queue: Path, tmp_path: Path, harm: Harm, found: bool
) -> None:
    """Zeroed, swapped and missing pages are always found at a start; SQLite sees some flips."""
    for seed in range(TRIES):
        path = tmp_path / f"{seed}.db"
        data = bytearray(full_queue.read_bytes())
        harm(data, random.Random(seed))
        path.write_bytes(data)
        path.chmod(0o600)
        noticed = _use(path)
        noticed |= _looked_at(path)
        assert noticed or not found, f"seed {seed}"
        if noticed:
            assert path.read_bytes() == bytes(data) or Path(f"{path}-wal").exists()
            _claims_nothing(path)


def _use(path: Path) -> bool:
    """Do some of everything; whether that met the damage. Anything but our errors fails."""
    try:
        with open_engine(path) as engine:
            engine.counts()
            engine.add("true")
            list(engine.jobs(limit=1000))
    except StorageError:
        pass
    try:
        with closing(open_repository(str(path))) as repository:
            drive = Driver(repository)
            drive.turn(*[drive.ended(claim, Exited(0)) for claim in drive.turn(room=3).claims])
    except StorageDamaged as error:
        assert "taken for damaged" in str(error)
        return True
    except StorageError:  # what SQLite says is as strange as the file
        return False
    return False


def _looked_at(path: Path) -> bool:
    """Whether the check at the start of a pool finds it."""
    try:
        with closing(open_repository(str(path))) as repository:
            repository.verify(unclean=True, seconds=60)
    except StorageDamaged:
        return True
    return False


def _claims_nothing(path: Path) -> None:
    try:
        repository = open_repository(str(path))
    except (StorageDamaged, NotAQueue):
        return
    with closing(repository), pytest.raises(StorageDamaged):
        repository.settle_and_claim(1, [], room=1, queues=(), now=NOON)


def zero_all_but_the_first(path: Path) -> None:
    pages = str(path.stat().st_size // PAGE - 1)
    _dd("if=/dev/zero", f"of={path}", "bs=4096", "seek=1", f"count={pages}")


def write_over_the_header(path: Path) -> None:
    _dd("if=/dev/urandom", f"of={path}", "bs=4096", "count=1")


def cut_to_half(path: Path) -> None:
    subprocess.run(["truncate", f"--size={path.stat().st_size // 2 // PAGE * PAGE}", path])


def cut_to_nothing(path: Path) -> None:
    subprocess.run(["truncate", "--size=0", path])


def _dd(*args: str) -> None:
    # Another process: to close the file here would drop the locks of an engine in this one.
    subprocess.run(["dd", "conv=notrunc", *args], check=True, capture_output=True)


@pytest.mark.parametrize(
    "harm", [zero_all_but_the_first, write_over_the_header, cut_to_half, cut_to_nothing]
)
def test_a_pool_stops_by_itself_when_its_file_is_damaged(
    full_queue: Path,
    tmp_path: Path,
    start_pool: StartPool,
    program: Program,
    harm: Callable[[Path], None],
) -> None:
    path, marks, go_on = tmp_path / "queue.db", tmp_path / "marks", tmp_path / "go-on"
    open_engine(path, create=True).close()
    work = f"until test -e {go_on}; do sleep 0.02; done"
    job = add(path, evidence.command(marks, work))[0]
    pool = start_pool(path)
    until(lambda: evidence.read(marks))
    with open_engine(path) as engine:
        engine._repository.maintain(now=NOON)  # all of the log is in the file
    sound = tmp_path / "sound.db"
    subprocess.run(["cp", path, sound], check=True)

    harm(path)
    pool.until_said("cut off", "pool=", "damaged")
    assert pool.process.poll() is None, "its running job goes on"
    harmed = (path.stat().st_ino, path.stat().st_size)
    go_on.touch()
    assert pool.exit_code() == ExitCode.DAMAGED
    assert pool.said("unsettled", f"job={job} ")
    assert left_receipts(Path(f"{path}.d"))
    assert (path.stat().st_ino, path.stat().st_size) == harmed, "the evidence was touched"

    refused = program("add", "true", code=ExitCode.DAMAGED)
    assert f"copy it and {path}-wal away" in refused.err
    again = start_pool(path)
    assert again.exit_code() == ExitCode.DAMAGED, "no pool starts on it"
    assert len(again.log.read_text().splitlines()) == 1

    for beside in ("-wal", "-shm"):
        Path(f"{path}{beside}").unlink(missing_ok=True)
    shutil.copyfile(sound, path)  # a backup of a moment ago, in place
    healed = start_pool(path, drain=True)
    assert healed.exit_code() == 0
    assert healed.said("checked", "integrity_check found nothing")
    assert healed.said("receipt", f"job={job} ", "settled")
    with open_engine(path) as engine:
        assert engine.get(job).runs == 1
        evidence.check(engine, [job], marks)
    program("add", "true")


def test_whoever_meets_damage_stops_all_pools_at_once(
    path: Path, start_pool: StartPool, program: Program
) -> None:
    first, second = start_pool(path), start_pool(path)
    for pool in (first, second):
        pool.until_said("pool")
    with closing(open_repository(str(path))) as repository:
        db = repository._db  # type: ignore[attr-defined]
        db.condemn("as if a page were no page of a tree")
    assert [first.exit_code(), second.exit_code()] == [ExitCode.DAMAGED] * 2

    shown = program("status", "--json").json()
    assert "as if a page" in shown["trouble"]
    assert "Trouble" in program("status").out
    program("list")  # reading goes on as far as it can
    for act in (("add", "true"), ("pause",)):
        assert "taken for damaged" in program(*act, code=ExitCode.DAMAGED).err
    start_pool(path).until_said("checked", "integrity_check found nothing")
    program("add", "true")
    assert program("status", "--json").json()["trouble"] is None


def test_a_restore_takes_the_mark_away(path: Path, program: Program) -> None:
    add(path, "true")
    program("backup", "backup.db")
    with closing(open_repository(str(path))) as repository:
        repository._db.condemn("a page is no page")  # type: ignore[attr-defined]
    program("add", "true", code=ExitCode.DAMAGED)
    program("restore", "backup.db", "--yes")
    assert program("status", "--json").json()["trouble"] is None
    program("add", "true")


def test_a_pool_checks_the_file_first_where_the_machine_went_down(
    full_queue: Path, tmp_path: Path, start_pool: StartPool
) -> None:
    path = tmp_path / "queue.db"
    shutil.copyfile(full_queue, path)
    path.chmod(0o600)
    with closing(open_repository(str(path))) as repository:
        drive = Driver(repository)  # registers a pool of another boot
        assert drive.pool.boot != Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    data = bytearray(path.read_bytes())
    zero_a_page(data, random.Random(1))
    path.write_bytes(data)

    pool = start_pool(path)
    assert pool.exit_code() == ExitCode.DAMAGED
    assert "taken for damaged (Tree" in pool.log.read_text()  # by the check, not by a claim
    shutil.copyfile(full_queue, path)
    pool = start_pool(path)
    pool.until_said("checked", "integrity_check found nothing")


def test_the_check_after_a_crash_is_bounded(full_queue: Path) -> None:
    with closing(open_repository(str(full_queue))) as repository:
        said = repository.verify(unclean=True, seconds=-1)
        assert said
        assert "did not come to the end" in said
        assert repository.verify(unclean=False, seconds=-1) is None


def test_an_empty_file_becomes_no_queue_unasked(tmp_path: Path, program: Program) -> None:
    path = tmp_path / "queue.db"
    path.touch(0o600)
    assert "is empty" in program("add", "true", code=ExitCode.FAILED).err
    assert path.stat().st_size == 0
    program("initdb")
    program("add", "true")
