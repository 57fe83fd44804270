"""The checkup: each ill is found and named with what to do, and no ill hides another one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import apsw
import pytest

from queuectl_engine import Engine, Finding, Job, JobState, Level, State, examine, open_engine
from queuectl_engine.lifecycle import Exited
from queuectl_engine.new_job import user_name
from queuectl_engine.pool import systemd
from queuectl_engine.pool.background import start_detached
from queuectl_engine.pool.options import PoolOptions
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.sqlite import checkup, connection, counting, place
from tests.durability.golden.files import golden
from tests.pools import stop_pools
from tests.repository.driver import Driver
from tests.waiting import until


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "db").mkdir(mode=0o700)
    return tmp_path / "db" / "queue.db"


@pytest.fixture
def engine(path: Path) -> Iterator[Engine]:
    with open_engine(path, create=True) as engine:
        yield engine
        stop_pools(engine)


def raw(path: Path, *statements: str) -> None:
    with closing(apsw.Connection(str(path))) as db:
        for statement in statements:
            db.execute(statement).fetchall()


def found(path: Path, *, quick: bool = False, recount: bool = False) -> dict[str, Finding]:
    """The worst of each check."""
    findings = list(examine(path, quick=quick, recount=recount))
    assert all(one.text.isprintable() for one in findings)
    return {one.check: one for one in sorted(findings, key=lambda one: one.level)}


def ills(path: Path) -> dict[str, Level]:
    """The checks that did not go well."""
    return {name: one.level for name, one in found(path).items() if one.level > Level.NOTE}


@pytest.mark.usefixtures("engine")
def test_a_healthy_database_has_nothing_wrong(path: Path) -> None:
    assert ills(path) == {}
    assert set(found(path)) == {*checkup.CHECKS, "pools"} - {"left over"}


def test_each_check_is_made_whatever_becomes_of_the_others(
    path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(patient: checkup.Patient) -> Iterator[Finding]:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(checkup, "CHECKS", dict.fromkeys(checkup.CHECKS, broken))

    assert ills(path) == dict.fromkeys(checkup.CHECKS, Level.BAD)


def test_an_old_library_is_named(
    path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apsw.sqlite_lib_version", lambda: "3.40.1")

    assert found(path)["library"].level is Level.BAD
    assert "3.40.1" in found(path)["library"].text


@pytest.mark.parametrize(
    ("kind", "level"),
    [("ext4", Level.OK), ("tmpfs", Level.WARN), ("overlay", Level.WARN), ("nfs4", Level.BAD)],
)
def test_the_file_system_counts(
    path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, kind: str, level: Level
) -> None:
    monkeypatch.setattr(place, "file_system", lambda directory: kind)

    assert found(path)["file system"].level is level


@pytest.mark.parametrize(
    ("mode", "level"), [(0o600, Level.OK), (0o644, Level.WARN), (0o666, Level.BAD)]
)
def test_permissions(path: Path, engine: Engine, mode: int, level: Level) -> None:
    path.chmod(mode)

    finding = found(path)["permissions"]

    assert finding.level is level
    assert ("chmod" in f"{finding.text} {finding.advice}") is (level is not Level.OK)
    path.chmod(0o600)


@pytest.mark.parametrize(("free", "level"), [(50, Level.OK), (3, Level.WARN), (0, Level.BAD)])
def test_space(
    path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch, free: int, level: Level
) -> None:
    numbers = [4096, 4096, 10**8, free * 10**6, free * 10**6, 10**6, 10**6, 10**6, 0, 255]
    monkeypatch.setattr("os.statvfs", lambda directory: os.statvfs_result(numbers))

    assert found(path)["space"].level is level


def test_a_missing_file(path: Path) -> None:
    seen = found(path)

    assert (seen["format"].level, seen["permissions"].level) == (Level.BAD, Level.BAD)
    assert "no database" in seen["format"].text
    assert {seen[name].level for name in ("trust", "lock", "log", "counts")} == {Level.NOTE}
    assert not path.exists()


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_text("notes of a person and no database\n" * 200)
    path.chmod(0o600)
    before = path.read_bytes()

    assert ills(path) == {"format": Level.BAD}
    assert path.read_bytes() == before


def test_an_older_and_a_newer_file(path: Path) -> None:
    golden(1, path)
    assert "upgrades it" in found(path)["format"].text
    with closing(apsw.Connection(str(path))) as db:
        assert db.pragma("user_version") == 1  # only looked at

    raw(path, "PRAGMA user_version = 99", "UPDATE meta SET min_writer = 99")
    assert found(path)["format"].level is Level.WARN
    raw(path, "UPDATE meta SET min_reader = 99")
    assert found(path)["format"].level is Level.BAD


def test_damage_in_a_page_is_found(path: Path, engine: Engine) -> None:
    for _ in range(50):
        engine.add("x" * 500)
    raw(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(apsw.Connection(str(path))) as db:
        sql = "SELECT rootpage FROM sqlite_schema WHERE name = 'job_waiting'"
        (root,) = db.execute(sql).fetchall()[0]
    with path.open("r+b") as file:
        file.seek((int(str(root)) - 1) * 4096)
        file.write(b"\x00" * 4096)

    seen = found(path)

    assert seen["integrity"].level is Level.BAD
    assert "queuectl restore" in str(seen["integrity"].advice)
    assert seen["format"].level is Level.OK  # and all that can be known is told
    assert found(path, quick=True)["integrity"].level is Level.NOTE
    assert found(path, quick=True)["damage"].level is Level.BAD  # for all others to see, too


def test_wrong_counts_are_found_and_mended_when_asked(path: Path, engine: Engine) -> None:
    with closing(open_repository(str(path))) as repo:
        drive = Driver(repo)
        for _ in range(3):
            drive.add(labels=["ci"])
            drive.run(Exited(0))
        dead = drive.job_in(State.DEAD)
    raw(
        path,
        "INSERT INTO cause (program, ended, line, dead) VALUES ('a', 'exit 1', '', 7)",
        f"UPDATE job SET cause = (SELECT id FROM cause WHERE dead = 7) WHERE id = {dead.id}",
        "UPDATE counter SET n = n + 5 WHERE state = 'completed'",
        "DELETE FROM counter WHERE state = 'dead'",
        "INSERT INTO counter SELECT 'ready', id, 2 FROM queue",
        "UPDATE label_counter SET n = 1",
    )

    seen = found(path)["counts"]
    assert (seen.level, seen.text) == (Level.WARN, "wrong numbers: 5, off by 16 in all")
    assert "--recount" in str(seen.advice)
    assert found(path, recount=True)["counts"].level is Level.NOTE

    assert found(path)["counts"].level is Level.OK
    counts = engine.counts()
    shown = (counts.of(JobState.COMPLETED), counts.of(JobState.DEAD), counts.of(JobState.PENDING))
    assert shown == (3, 1, 0)
    assert engine.labels()[0].counts == {State.COMPLETED: 3}
    assert engine.causes()[0].dead == 1


def test_a_recount_is_right_whatever_happens_meanwhile(
    path: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job is added and one cancelled between the recount and the mending."""
    first = engine.add("true")
    raw(path, "UPDATE counter SET n = n + 5")
    drifts = counting.drifts
    happened: list[Job] = []

    def recount(db: connection.Connection) -> list[counting.Drift]:
        result = drifts(db)
        if not happened:
            happened.append(engine.add("true"))
            engine.cancel(first.id)
        return result

    monkeypatch.setattr(counting, "drifts", recount)
    found(path, recount=True)

    assert happened
    assert found(path)["counts"].level is Level.OK
    assert engine.counts().of(JobState.PENDING) == 1


@contextmanager
def holding(path: Path, *statements: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has run these statements and keeps what it holds."""
    script = (
        "import sys, apsw\n"
        "db = apsw.Connection(sys.argv[1])\n"
        "for sql in sys.argv[2:]: print(db.execute(sql).fetchall())\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "held\n":
            assert process.poll() is None
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("stopped", [False, True])
def test_who_holds_the_lock_is_named(path: Path, engine: Engine, stopped: bool) -> None:
    with holding(path, "BEGIN IMMEDIATE") as holder:
        if stopped:
            holder.send_signal(signal.SIGSTOP)
            until(lambda: "T (stopped)" in Path(f"/proc/{holder.pid}/status").read_text())

        finding = found(path)["lock"]

        assert finding.level is Level.BAD
        assert f"process {holder.pid} (" in finding.text
        assert (f"kill -CONT {holder.pid}" in finding.text) is stopped
    assert found(path)["lock"].level is Level.OK


def test_who_keeps_the_log_from_becoming_shorter_is_named(path: Path, engine: Engine) -> None:
    engine.add("true")
    reading = ("BEGIN", "SELECT count(*) FROM job")
    with holding(path, *reading) as reader:
        engine.add("true")

        finding = found(path)["log"]

        assert finding.level is Level.NOTE
        assert f"process {reader.pid} (" in finding.text
    assert found(path)["log"].level is Level.OK


def test_a_clock_that_was_set_back_is_found(path: Path, engine: Engine) -> None:
    later = datetime.now(UTC) + timedelta(hours=3)
    with closing(open_repository(str(path))) as repo:
        drive = Driver(repo)
        drive.now = later
        drive.job_in(State.COMPLETED)

    finding = found(path)["clock"]

    assert finding.level is Level.WARN
    assert "in the future" in finding.text


def test_a_database_from_elsewhere_is_found(path: Path, engine: Engine) -> None:
    raw(path, "UPDATE meta SET owner = 12345")

    assert found(path)["trust"].level is Level.WARN
    assert "initdb --trust" in str(found(path)["trust"].advice)


def test_copies_and_leftovers_are_named(path: Path, engine: Engine) -> None:
    Path(f"{path}.before-format-2-20260101T000000Z").touch()
    Path(f"{path}.0a1b.tmp").touch()

    texts = [one.text for one in examine(path) if one.check == "left over"]

    assert len(texts) == 2
    assert "queue.db.0a1b.tmp" in texts[0]
    assert "older copies: 1," in texts[1]


# -- pools


def test_jobs_that_nobody_runs_and_pools_that_do(path: Path, engine: Engine) -> None:
    assert found(path)["pools"].level is Level.NOTE
    engine.add("true", queue="paused")
    engine.pause("paused")
    assert found(path)["pools"].level is Level.NOTE
    engine.add("true", queue="open")
    assert found(path)["pools"].level is Level.WARN

    start_detached(PoolOptions(str(path), workers=1, name="p", detached=True))
    until(lambda: engine.find_pool("p").running)
    assert found(path)["pools"] == Finding("pools", Level.OK, "p with 1 of 1 workers")

    with closing(open_repository(str(path))) as repo:
        repo.set_trouble(engine.find_pool("p").id, "degraded: workers died 3 times in a row")
    assert "degraded" in found(path)["pools"].text
    assert found(path)["pools"].level is Level.WARN

    pool = engine.find_pool("p")
    os.kill(pool.pid, signal.SIGKILL)
    until(lambda: not any(one.alive for one in engine.pools()))
    texts = [one.text for one in examine(path) if one.check == "pools"]
    assert texts[0].startswith(f"p (process {pool.pid}) died")


@pytest.mark.parametrize(
    ("group", "lingers", "warns"),
    [
        ("0::/user.slice/user-1.slice/user@1.service/app.slice/q.service", False, True),
        ("0::/user.slice/user-1.slice/user@1.service/app.slice/q.service", True, False),
        ("0::/system.slice/queuectl.service", False, False),
    ],
)
def test_a_pool_of_a_users_service_manager_wants_lingering(
    tmp_path: Path, group: str, lingers: bool, warns: bool
) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "cgroup").write_text(group + "\n")
    (tmp_path / "linger").mkdir()
    if lingers:
        (tmp_path / "linger" / user_name()).touch()

    said = systemd.user_manager_warning(7, str(tmp_path), tmp_path / "linger")

    assert ("enable-linger" in (said or "")) is warns
