"""What is made is ours alone whatever the umask, and what others could replace is not used."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from queuectl_engine import private
from queuectl_engine.engine import Engine, open_engine
from queuectl_engine.errors import UnsafeStorage
from queuectl_engine.repository import create_database, open_repository
from queuectl_tui.app import _crash_note
from tests.cli.program import Program
from tests.pools import stop_pools

OTHER = 12345  # a user that is neither us nor root
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def wrong_modes(root: Path) -> dict[str, str]:
    """What below a directory is not ours alone."""
    return {
        str(path): oct(mode(path))
        for path in root.rglob("*")
        if mode(path) != (private.DIRECTORY if path.is_dir() else private.FILE)
    }


@pytest.mark.parametrize("mask", ["000", "777"])
def test_all_that_a_pool_makes_is_ours_alone(bare: Program, mask: str) -> None:
    """Database and logs of SQLite, run directory, locks, FIFO and log of a pool that runs."""
    done = bare.shell(
        f"umask {mask}; queuectl --db new/queue.db initdb &&"
        " queuectl --db new/queue.db worker --detach &&"
        " queuectl --db new/queue.db add --wait 'echo hello' &&"
        " queuectl --db new/queue.db backup new/copy.db"
    )
    assert done.code == 0, done

    made = bare.directory / "new"
    with open_engine(made / "queue.db") as engine:
        try:
            run = sorted(path.name for path in (made / "queue.db.d").rglob("*"))
            assert wrong_modes(made) == {}
            assert mode(made) == private.DIRECTORY
            assert {"default.lock", "default.log", "supervisor.lock", "wake"} <= set(run)
        finally:
            stop_pools(engine)


@pytest.mark.parametrize("mask", ["000", "777"])
def test_the_note_of_a_crash_is_ours_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mask: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = os.umask(int(mask, 8))
    try:
        told = _crash_note("trace\nValueError: it broke")
    finally:
        os.umask(before)

    assert "tui-crash.log" in told
    assert wrong_modes(tmp_path) == {}
    assert len(list(tmp_path.rglob("*"))) == 3


@pytest.mark.parametrize("flags", [os.O_RDWR, os.O_WRONLY | os.O_APPEND])
def test_a_file_is_never_opened_through_a_link(tmp_path: Path, flags: int) -> None:
    """Locks and logs."""
    (tmp_path / "theirs").write_text("precious")
    (tmp_path / "log").symlink_to(tmp_path / "theirs")

    with pytest.raises(OSError, match="symbolic links"):
        private.open_file(tmp_path / "log", flags)

    assert (tmp_path / "theirs").read_text() == "precious"


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal", ".d"])
def test_a_link_beside_the_database_is_refused(tmp_path: Path, suffix: str) -> None:
    create_database(str(tmp_path / "queue.db"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"queue.db{suffix}").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(UnsafeStorage, match="symbolic link"):
        open_repository(str(tmp_path / "queue.db"))


@pytest.mark.parametrize("whose", ["others", pytest.param("theirs", marks=as_root)])
def test_a_config_file_that_others_can_write_is_refused(queuectl: Program, whose: str) -> None:
    """It says which shell runs the jobs."""
    config = Path(queuectl.env["HOME"]) / ".config" / "queuectl" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("shell = '/bin/dash'\n")
    queuectl("add", "true")
    if whose == "others":
        config.chmod(0o666)
    else:
        os.chown(config, OTHER, -1)

    refused = queuectl("add", "true", code=1)

    assert str(config) in refused.err


# -- directories above


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A database three directories down."""
    path = tmp_path / "a" / "b" / "c" / "queue.db"
    create_database(str(path))
    return path


@pytest.mark.parametrize("above", [1, 2, 3])
def test_a_directory_above_that_others_can_write_is_refused(deep: Path, above: int) -> None:
    directory = deep.parents[above - 1]
    directory.chmod(0o777)

    with pytest.raises(UnsafeStorage, match=f"chmod go-w {directory}$"):
        open_repository(str(deep))

    directory.chmod(0o1777)  # sticky, as /tmp: what is in it is ours, and nobody can replace it
    open_repository(str(deep)).close()


@as_root
@pytest.mark.parametrize("above", [0, 1, 2, 3])
def test_root_is_asked_before_it_uses_what_another_user_owns(deep: Path, above: int) -> None:
    """That user could replace the file, and so run commands as root."""
    theirs = [deep, *deep.parents][above]
    os.chown(theirs, OTHER, -1)

    with pytest.raises(UnsafeStorage, match=r"user 12345.*--allow-owner"):
        open_repository(str(deep))

    open_repository(str(deep), allow_owner=True).close()
    theirs.chmod(0o777 if above else 0o666)
    with pytest.raises(UnsafeStorage, match="others can write"):
        open_repository(str(deep), allow_owner=True)


@as_root
def test_the_directory_in_a_sticky_one_must_be_ours(deep: Path) -> None:
    sticky = deep.parents[2]
    sticky.chmod(0o1777)
    os.chown(deep.parents[1], OTHER, -1)

    with pytest.raises(UnsafeStorage, match="belongs to"):
        open_repository(str(deep))


@as_root
def test_every_program_takes_allow_owner(queuectl: Program, engine: Engine) -> None:
    """Before and after the command's name; the pool that it starts and its workers heed it too."""
    database = queuectl.directory / "queue.db"
    os.chown(database, OTHER, -1)
    refused = queuectl("add", "true", code=1)
    assert "--allow-owner" in refused.err
    assert "root" in refused.err

    queuectl("--allow-owner", "add", "true")
    queuectl("initdb", "--trust", "--allow-owner")
    queuectl("worker", "--drain", "--detach", "--allow-owner")
    queuectl("wait", "1", "--allow-owner")


def test_nothing_is_made_where_others_could_replace_it(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)

    with pytest.raises(UnsafeStorage):
        create_database(str(tmp_path / "open" / "new" / "queue.db"))

    assert list((tmp_path / "open").iterdir()) == []


def test_the_users_own_group_is_accepted(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on systems with a group for each user and umask 002; a shared group is not."""
    import grp
    import pwd

    me, group = os.getuid(), os.getgid()
    deep.parent.chmod(0o770)
    monkeypatch.setattr(
        pwd,
        "getpwuid",
        lambda uid: pwd.struct_passwd(("ada", "x", me, group, "", "/", "/bin/sh")),
    )

    def members(name: str, *others: str) -> Callable[[int], grp.struct_group]:
        return lambda gid: grp.struct_group((name, "x", group, list(others)))

    monkeypatch.setattr(grp, "getgrgid", members("ada"))
    open_repository(str(deep)).close()
    for shared in (members("staff"), members("ada", "bob")):
        monkeypatch.setattr(grp, "getgrgid", shared)
        with pytest.raises(UnsafeStorage, match="its group can write"):
            open_repository(str(deep))


def test_looking_above_costs_a_stat_a_directory(
    deep: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    lstat = os.lstat

    def counted(path: str) -> os.stat_result:
        looked.append(path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", counted)

    private.check_above(str(deep.parent))

    assert looked == [str(deep.parent), *map(str, deep.parent.parents)]


@as_root
def test_a_directory_of_the_system_around_a_namespace_is_accepted(deep: Path) -> None:
    """In a user namespace, / and /home belong to a user who has no number there."""
    script = (
        "import sys; from queuectl_engine.repository import open_repository;"
        "open_repository(sys.argv[1]).close()"
    )
    sandbox = ["unshare", "--user", "--map-root-user"]
    if subprocess.run([*sandbox, "true"], capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    deep.parents[2].chmod(0o755)
    os.chown(deep.parents[2], OTHER, -1)
    done = subprocess.run([*sandbox, sys.executable, "-c", script, str(deep)], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_a_pool_never_leaves_the_run_directory(deep: Path) -> None:
    """Whoever can write the database names directories, which a rescue removes."""
    from queuectl_engine.repository.sqlite import SqliteRepository

    with closing(SqliteRepository.open(str(deep))) as repo:
        repo._write(
            "INSERT INTO pool (name, host, boot, pid_namespace, pid, is_init, detached, wanted,"
            " queues, directory, log, started_ms) VALUES ('p', 'h', 'b', 'n', 1, 0, 1, 1, '[]',"
            " ?, '', 0)",
            "../../precious",
        )
        assert [pool.directory for pool in repo.pools()] == ["precious"]
