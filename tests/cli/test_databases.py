"""Which database a command means, and which ones it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl_engine.engine import open_engine
from tests.cli.program import Program


def test_initdb_makes_queue_db_here_and_is_harmless_twice(bare: Program) -> None:
    path = bare.directory / "queue.db"
    assert bare("initdb").out == f"Initialized database {path}\n"
    bare("add", "echo 1")
    assert bare("initdb").out == f"Database {path} exists\n"
    assert bare("initdb", "--json").json() == {"db": str(path), "created": False}
    assert len(bare("list").lines) == 1
    said = bare("initdb", "--trust", "--durability", "full").out
    assert said == f"Database {path} exists; it is trusted now; its durability is full\n"


def test_initdb_makes_what_the_option_or_the_variable_names(bare: Program, tmp_path: Path) -> None:
    bare("initdb", "--db", "other.db", "--durability", "full")
    bare("initdb", env={"QUEUECTL_DB": str(tmp_path / "third.db")})
    assert sorted(path.name for path in bare.directory.glob("*.db")) == ["other.db"]
    assert (tmp_path / "third.db").stat().st_mode & 0o777 == 0o600


def test_option_beats_variable_beats_directory_beats_home(bare: Program, tmp_path: Path) -> None:
    named = {"QUEUECTL_DB": str(tmp_path / "named.db")}
    bare("add", "echo own")  # the user's own is made when it is first needed
    bare("initdb")
    bare("initdb", env=named)
    bare("initdb", "--db", "flag.db")
    bare("add", "echo here")
    bare("add", "echo named", env=named)
    bare("add", "echo flag", "--db", "flag.db", env=named)

    own = Path(bare.env["HOME"]) / ".local/share/queuectl/queue.db"
    for path, command in [
        (own, "echo own"),
        (bare.directory / "queue.db", "echo here"),
        (tmp_path / "named.db", "echo named"),
        (bare.directory / "flag.db", "echo flag"),
    ]:
        with open_engine(str(path)) as engine:
            assert [job.command for job in engine.jobs()] == [command]


def test_the_option_is_understood_before_and_after_the_command(bare: Program) -> None:
    bare("initdb", "--db", "a.db")
    bare("--db", "a.db", "add", "echo 1")
    bare("--db", "none.db", "add", "echo 2", "--db", "a.db")
    assert len(bare("list", "--db", "a.db").lines) == 2
    assert bare("--db", "a.db").lines[0] == f"Database  {bare.directory / 'a.db'} (--db)"


@pytest.mark.parametrize("make", ["nothing", "directory", "text", "link"])
def test_what_is_no_queue_is_refused_and_left_alone(bare: Program, make: str) -> None:
    path = bare.directory / "it.db"
    if make == "directory":
        path.mkdir()
    elif make == "text":
        path.write_text("what I wrote, " * 1000)
    elif make == "link":
        path.symlink_to("/dev/zero")
    before = path.read_bytes() if path.is_file() else None

    for args in (["add", "echo 1"], ["list"], ["status"], ["worker", "--drain"]):
        assert "it.db" in bare(*args, "--db", "it.db", code=1).err
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [entry.name for entry in bare.directory.iterdir()] in ([], ["it.db"])


def test_a_missing_database_is_told_how_to_make_it(bare: Program) -> None:
    assert "queuectl initdb --db" in bare("list", "--db", "it.db", code=1).err


def test_a_database_that_others_can_write_is_refused(queuectl: Program) -> None:
    (queuectl.directory / "queue.db").chmod(0o666)
    assert "chmod go-w" in queuectl("list", code=1).err


def test_a_directory_that_is_gone_is_one_line(bare: Program, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    script = f"mkdir {gone} && cd {gone} && rmdir {gone} && queuectl add 'echo 1'"
    done = bare.shell(script)
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: this directory was deleted; go to another one\n"
