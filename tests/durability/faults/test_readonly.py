"""A disk that turns read-only, and rights that are lost."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl_engine import ExitCode, JobState, StorageError, open_engine
from tests.cli.program import ROOT, Program
from tests.durability.faults.conftest import MIB, MakeDisk, StartPool, add, mount
from tests.pool import evidence
from tests.waiting import until

# In a pool's process every write to its database is refused while the file `trigger` exists, with
# what SQLite makes of EROFS. A mount cannot be made read-only while a file on it is open to write,
# as the kernel itself does after an error of the disk.
SHIM = """
import os, apsw
class File(apsw.VFSFile):
    def xWrite(self, data, offset):
        if os.path.exists(os.environ["READ_ONLY"]):
            raise apsw.ReadOnlyError("the disk is read-only")
        super().xWrite(data, offset)
class Disk(apsw.VFS):
    def __init__(self):
        super().__init__("failing", "unix", makedefault=True)
    def xOpen(self, name, flags):
        return File("unix", name, flags)
disk = Disk()
"""


def test_on_a_read_only_disk_everything_can_be_read_and_nothing_written(
    make_disk: MakeDisk, program: Program
) -> None:
    disk = make_disk(4 * MIB)
    db = disk / "queue.db"
    open_engine(db, create=True).close()
    job = add(db, "true")[0]
    mount("-o", "remount,ro", str(disk))

    _reads(program, db, job)
    refused = program("--db", str(db), "add", "true", code=ExitCode.FAILED)
    assert f"{db} cannot be written" in refused.err
    pool = [sys.executable, "-m", "queuectl_engine", "--db", str(db), "worker"]
    started = subprocess.run(pool, capture_output=True, text=True, timeout=60)
    assert (started.returncode, started.stderr.count("\n")) == (1, 1)
    with open_engine(db) as engine:
        assert engine.get(job).state is JobState.PENDING
        mount("-o", "remount,rw", str(disk))
        with pytest.raises(StorageError, match="can be written again"):
            engine.changed()
    assert add(db, "true") == [job + 1]


def test_a_queue_in_use_can_be_read_where_it_is_mounted_read_only(
    make_disk: MakeDisk, start_pool: StartPool, tmp_path: Path, program: Program
) -> None:
    disk, go_on = make_disk(4 * MIB), tmp_path / "go-on"
    db = disk / "queue.db"
    open_engine(db, create=True).close()
    pool = start_pool(db, drain=True)
    job = add(db, f"until test -e {go_on}; do sleep 0.02; done")[0]
    pool.until_said("started")

    there = f"mount -o remount,bind,ro {shlex.quote(str(disk))}"
    for command in ("status", f"show {job}", "list --all", "pools", "add true"):
        call = f"{there} && exec {shlex.join(program.command('--db', str(db)))} {command}"
        done = subprocess.run(
            ["unshare", "--mount", "/bin/sh", "-c", call],
            capture_output=True,
            text=True,
            env=program.env,
            timeout=60,
        )
        wanted = (1, 1) if command == "add true" else (0, 0)
        assert (done.returncode, done.stderr.count("\n")) == wanted, done.stderr
        assert "Traceback" not in done.stderr
    go_on.touch()
    assert pool.exit_code() == 0


def test_rights_that_are_lost_leave_what_can_be_read(path: Path, program: Program) -> None:
    job = add(path, "true")[0]
    path.chmod(0o400)
    path.parent.chmod(0o500)
    # Root may write everything, so it is run as root without that right.
    program.prefix = ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
    try:
        _reads(program, path, job)
        refused = program("add", "true", code=ExitCode.FAILED)
        assert "cannot be written; look at its permissions" in refused.err
    finally:
        path.parent.chmod(0o700)
        path.chmod(0o600)
    assert add(path, "true") == [job + 1]


def test_a_pool_holds_results_until_it_can_write_again(
    path: Path, tmp_path: Path, start_pool: StartPool
) -> None:
    marks, go_on, trigger = tmp_path / "marks", tmp_path / "go-on", tmp_path / "read-only"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(SHIM)
    env = {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}", "READ_ONLY": str(trigger)}
    pool = start_pool(path, env=env)
    work = f"until test -e {go_on}; do sleep 0.02; done"
    jobs = add(path, evidence.command(marks, work), evidence.command(marks))
    until(lambda: evidence.read(marks))

    trigger.touch()
    go_on.touch()
    pool.until_said("waiting", "worker=w1", "cannot be written")
    trigger.unlink()
    with open_engine(path) as engine:
        ended = engine.wait(*jobs, timeout=60)
        assert [(job.state, job.runs) for job in ended] == [(JobState.COMPLETED, 1)] * 2
        evidence.check(engine, jobs, marks)
    assert pool.process.poll() is None


def _reads(program: Program, db: Path, job: int) -> None:
    shown = program("--db", str(db), "status", "--json").json()
    assert shown["counts"]["pending"] == 1
    assert "pending" in program("--db", str(db), "list").out
    assert "pending" in program("--db", str(db), "show", str(job)).out
    program("--db", str(db), "pools")
