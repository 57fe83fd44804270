"""Which files are opened, which are refused unharmed, and who can read what was made."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from queuectl_engine.errors import (
    NotAQueue,
    QueuectlError,
    ReadOnly,
    StorageError,
    UnsafeStorage,
)
from queuectl_engine.repository import create_database, open_repository
from queuectl_engine.repository.sqlite import place, schema
from queuectl_engine.repository.sqlite.connection import check_library
from tests.samples import NOON, new


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be."""
    return tmp_path / "queue.db"


@pytest.fixture
def made(path: Path) -> Path:
    """A database with one job, closed."""
    with closing(open_repository(str(path), create=True)) as repo:
        repo.add([new()], now=NOON)
    return path


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Sets the umask; the old one comes back after the test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


def refused(path: Path | str, *, create: bool = False) -> QueuectlError:
    with pytest.raises(StorageError) as refusal:
        open_repository(str(path), create=create)
    assert str(refusal.value).isprintable()
    return refusal.value


def raw(path: Path, *statements: str) -> None:
    """Run SQL as some other program would."""
    with closing(apsw.Connection(str(path))) as db:
        for statement in statements:
            db.execute(statement).fetchall()


# -- what is no queue


def test_a_file_that_is_not_there_is_made_only_when_asked(path: Path) -> None:
    assert isinstance(refused(path), NotAQueue)
    assert not path.exists()

    open_repository(str(path), create=True).close()
    open_repository(str(path)).close()


def test_opening_an_existing_one_with_create_changes_nothing(made: Path) -> None:
    with closing(open_repository(str(made), create=True)) as repo:
        assert len(repo.get([1])) == 1


def directory(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("these are the shopping notes of a person, and no database at all\n" * 99)


def other_program(path: Path) -> None:
    raw(path, "CREATE TABLE song (title TEXT)", "INSERT INTO song VALUES ('la')")


def other_program_with_an_id(path: Path) -> None:
    other_program(path)
    raw(path, "PRAGMA application_id = 252006673", "PRAGMA user_version = 1")


def pipe(path: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("make", [directory, text, other_program, other_program_with_an_id, pipe])
def test_what_is_no_queue_is_refused_and_stays_as_it_was(
    path: Path, make: Callable[[Path], None], create: bool
) -> None:
    make(path)
    os.chmod(path, 0o600)
    before = path.read_bytes() if path.is_file() else sorted(path.parent.iterdir())

    assert isinstance(refused(path, create=create), NotAQueue)

    assert before == (path.read_bytes() if path.is_file() else sorted(path.parent.iterdir()))
    assert [entry.name for entry in path.parent.iterdir()] == ["queue.db"]


@pytest.mark.parametrize("create", [False, True])
def test_a_database_that_only_a_newer_version_may_read_is_refused(made: Path, create: bool) -> None:
    raw(made, "PRAGMA user_version = 99", "UPDATE meta SET min_reader = 99, min_writer = 99")
    before = made.read_bytes()

    refusal = refused(made, create=create)

    assert isinstance(refusal, NotAQueue)
    assert "newer" in str(refusal)
    assert made.read_bytes() == before


def test_a_newer_database_that_lets_us_only_read_is_opened_to_look(made: Path) -> None:
    raw(made, "PRAGMA user_version = 99", "UPDATE meta SET min_writer = 99")

    with closing(open_repository(str(made))) as repo:
        assert list(repo.get([1])) == [1]
        with pytest.raises(ReadOnly, match=r"newer queuectl .format 99.* pip install --upgrade"):
            repo.add([new()], now=NOON)

    with closing(open_repository(str(made), read_only=True)) as repo:
        assert list(repo.get([2])) == []


@pytest.mark.parametrize("allowed", [True, False])
def test_a_file_that_is_upgraded_while_it_is_open_is_written_only_if_that_is_allowed(
    made: Path, allowed: bool
) -> None:
    with closing(open_repository(str(made))) as repo:
        oldest = schema.VERSION if allowed else 99
        raw(made, f"PRAGMA user_version = 99; UPDATE meta SET min_writer = {oldest}")

        if allowed:
            assert [added.id for added in repo.add([new()], now=NOON)] == [2]
            return
        for _ in range(2):
            with pytest.raises(StorageError, match="newer queuectl"):
                repo.add([new()], now=NOON)
        assert list(repo.get([1, 2])) == [1]


def test_a_newer_database_that_still_lets_us_write_is_used(made: Path) -> None:
    raw(made, "PRAGMA user_version = 99")

    with closing(open_repository(str(made))) as repo:
        assert [added.id for added in repo.add([new()], now=NOON)] == [2]


def test_a_damaged_file_is_named(made: Path) -> None:
    size = made.stat().st_size
    with made.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))

    refusal = refused(made)

    assert "queue.db" in str(refusal)


@pytest.mark.parametrize("name", ["caf\udce9.db", "nul\0.db"])
def test_a_name_that_sqlite_cannot_take_is_refused(tmp_path: Path, name: str) -> None:
    refused(f"{tmp_path}/{name}", create=True)


def test_a_symbolic_link_is_refused(made: Path) -> None:
    link = made.parent / "link.db"
    link.symlink_to(made)

    assert isinstance(refused(link), UnsafeStorage)


# -- who else could write it


@pytest.mark.parametrize("mode", [0o602, 0o666, 0o777])
def test_a_database_that_others_can_write_is_refused(made: Path, mode: int) -> None:
    made.chmod(mode)

    refusal = refused(made)

    assert isinstance(refusal, UnsafeStorage)
    assert "chmod go-w" in str(refusal)


def test_a_database_of_a_shared_group_is_refused_and_of_a_private_one_used(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.chmod(0o660)
    own = os.getuid(), os.getgid()
    private = grp.struct_group(("ada", "x", own[1], []))
    monkeypatch.setattr("pwd.getpwuid", lambda uid: struct_passwd("ada", *own))

    monkeypatch.setattr("grp.getgrgid", lambda gid: private)
    open_repository(str(made)).close()

    for shared in (("staff", "x", own[1], []), ("ada", "x", own[1], ["bob"])):
        monkeypatch.setattr("grp.getgrgid", lambda gid, g=shared: grp.struct_group(g))
        assert isinstance(refused(made), UnsafeStorage)


def struct_passwd(name: str, uid: int, gid: int) -> object:
    import pwd

    return pwd.struct_passwd((name, "x", uid, gid, "", "/", "/bin/sh"))


def test_a_directory_in_which_others_could_replace_it_is_refused(made: Path) -> None:
    made.parent.chmod(0o777)
    assert isinstance(refused(made), UnsafeStorage)

    made.parent.chmod(0o1777)  # sticky, as /tmp: only the owner can replace a file
    open_repository(str(made)).close()


def give_away(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file belong to another user, or us be another one where we cannot give it away."""
    if os.getuid() == 0:
        os.chown(path, 12345, -1)
    else:
        monkeypatch.setattr("os.getuid", lambda: 12345)


def test_a_database_of_another_user_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_away(made, monkeypatch)

    assert isinstance(refused(made), UnsafeStorage)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_log_that_another_user_planted_beside_it_is_refused(
    made: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """In a sticky directory anyone can make it, and SQLite would take committed pages from it."""
    planted = made.parent / f"queue.db{suffix}"
    planted.touch(0o600)
    give_away(planted, monkeypatch)

    assert isinstance(refused(made), UnsafeStorage)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
def test_files_are_ours_alone_whatever_the_umask(
    tmp_path: Path, umask: Callable[[int], int], mask: int
) -> None:
    path = tmp_path / "new" / "and" / "deep" / "queue.db"
    umask(mask)
    with closing(open_repository(str(path), create=True)) as repo:
        repo.add([new()], now=NOON)
        files = {entry.name: mode(entry) for entry in path.parent.iterdir()}

    assert files == dict.fromkeys(["queue.db", "queue.db-wal", "queue.db-shm"], 0o600)
    above = [path.parent, path.parent.parent, path.parent.parent.parent]
    assert [mode(directory) for directory in above] == [0o700] * 3


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- where it lies


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "fuse.sshfs", "orangefs", "fuse.juicefs"])
def test_a_network_file_system_is_refused_with_a_local_path(
    path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    table = tmp_path_factory.mktemp("proc") / "mountinfo"
    device = path.parent.stat().st_dev
    at = f"{os.major(device)}:{os.minor(device)}"
    table.write_text(f"36 21 {at} / /mnt rw - {kind} host:/x rw,a=b\n")
    as_mounted = place.file_system
    monkeypatch.setattr(place, "file_system", lambda where: as_mounted(where, str(table)))

    refusal = refused(path, create=True)

    assert isinstance(refusal, UnsafeStorage)
    assert kind in str(refusal)
    assert ".local/share/queuectl" in str(refusal)
    assert not path.exists()


@pytest.mark.parametrize("kind", ["nfs", "cifs", "fuse.sshfs", "9p", "ext4"])
def test_the_file_system_is_read_from_the_mount_table(tmp_path: Path, kind: str) -> None:
    device = tmp_path.stat().st_dev
    table = tmp_path / "mountinfo"
    table.write_text(
        "21 1 259:99 / / rw,relatime shared:1 - xfs /dev/x rw\n"
        f"36 21 {os.major(device)}:{os.minor(device)} / /mnt\\040a rw - {kind} host:/x rw,a=b\n"
    )

    assert place.file_system(str(tmp_path), str(table)) == kind
    assert place.file_system(str(tmp_path), str(tmp_path / "no table")) == ""


# -- which SQLite


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("3.7.0", False),
        ("3.40.1", False),
        ("3.44.5", False),
        ("3.44.6", True),
        ("3.45.9", False),
        ("3.50.6", False),
        ("3.50.7", True),
        ("3.51.2", False),
        ("3.51.3", True),
        ("3.52.0", False),
        ("3.53.0", True),
        ("3.54.1", True),
        ("4.0.0", True),
    ],
)
def test_a_library_with_the_wal_reset_bug_is_refused(
    made: Path, monkeypatch: pytest.MonkeyPatch, version: str, safe: bool
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: version)

    if safe:
        open_repository(str(made)).close()
    else:
        refusal = refused(made)
        assert isinstance(refusal, UnsafeStorage)
        assert version in str(refusal)
        assert "pip install" in str(refusal)


def test_the_library_of_this_python_is_safe() -> None:
    check_library(apsw.sqlite_lib_version())


# -- making one


def test_initdb_says_whether_it_made_one(path: Path) -> None:
    assert create_database(str(path))
    with closing(open_repository(str(path))) as repo:
        repo.add([new()], now=NOON)

    assert not create_database(str(path))
    with closing(open_repository(str(path))) as repo:
        assert len(repo.get([1])) == 1


def test_a_database_of_another_user_or_machine_runs_nothing_until_it_is_trusted(
    made: Path,
) -> None:
    with closing(open_repository(str(made))) as repo:
        assert repo.distrusted() is None
    raw(made, "UPDATE meta SET owner = owner + 1")
    with closing(open_repository(str(made))) as repo:
        assert "another user" in (repo.distrusted() or "")

    create_database(str(made), trust=True)

    with closing(open_repository(str(made))) as repo:
        assert repo.distrusted() is None


def test_many_who_make_it_at_once_all_get_the_same_one(path: Path) -> None:
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []

    def make(number: int) -> None:
        barrier.wait()
        try:
            with closing(open_repository(str(path), create=True, timeout=20)) as repo:
                repo.add([new(key=f"k{number}")], now=NOON)
        except BaseException as failure:
            failures.append(failure)
            raise

    threads = [threading.Thread(target=make, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    with closing(open_repository(str(path))) as repo:
        assert len(repo.get(range(1, 99))) == 8


def test_many_processes_that_make_it_at_once_all_get_the_same_one(path: Path) -> None:
    script = (
        "import sys; from queuectl_engine.repository import open_repository;"
        "sys.stdin.read(); open_repository(sys.argv[1], create=True, timeout=20).close()"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(4)
    ]
    results = [process.communicate() for process in processes]

    assert [errors for _, errors in results] == [b""] * 4
    assert [process.returncode for process in processes] == [0] * 4


def test_the_file_is_marked_as_ours_and_can_shrink(made: Path) -> None:
    with closing(apsw.Connection(str(made))) as db:
        assert db.pragma("application_id") == 0x51435431
        assert db.pragma("user_version") == schema.VERSION
        assert db.pragma("journal_mode") == "wal"
        assert db.pragma("auto_vacuum") == 2  # incremental
        assert db.pragma("integrity_check") == "ok"
