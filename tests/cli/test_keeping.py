"""`backup`, `restore`, `prune`, `retention` and `doctor`, as people and scripts use them."""

from __future__ import annotations

import json
import os
import re
from contextlib import closing

import apsw
import pytest

from queuectl_engine.engine import Engine
from queuectl_engine.job import State
from tests.cli.program import Program
from tests.pools import stop_pools
from tests.repository.driver import Driver


def test_a_backup_is_told_and_is_a_database(queuectl: Program) -> None:
    queuectl("add", "true")

    assert re.fullmatch(
        r"Backed up 1 job to .*/copy.db \(\d+\.\d KiB\)", queuectl("backup", "copy.db").lines[0]
    )
    said = queuectl("backup", "other.db", "--json").json()

    assert (said["path"], said["counts"]["pending"]) == (str(queuectl.directory / "other.db"), 1)
    assert said["bytes"] == os.stat(queuectl.directory / "other.db").st_size
    assert queuectl("list", "--db", "copy.db").lines[0].endswith("true")
    assert "exists" in queuectl("backup", "copy.db", code=1).err
    queuectl("backup", "copy.db", "--force")
    assert "is the database itself" in queuectl("backup", "queue.db", "--force", code=1).err


def test_a_restore_asks_and_tells(queuectl: Program, drive: Driver) -> None:
    lost = drive.job_in(State.PROCESSING)
    queuectl("backup", "copy.db")
    queuectl("add", "later")

    assert "--yes" in queuectl("restore", "copy.db", code=2).err
    shown = queuectl.at_terminal("restore", "copy.db", typed="n\n")
    assert shown.code == 1
    assert "replace all jobs" in shown.out
    assert len(queuectl("list", "--all").lines) == 2

    told = queuectl("restore", "copy.db", "--yes").lines

    assert told[0] == f"Restored {queuectl.directory}/queue.db from copy.db: 1 job"
    assert told[1] == "Changed   processing 1 → 0"
    assert told[2] == f"Lost      1 job that ran then: job {lost.id} is pending"
    kept = told[3].removeprefix("Before    ")
    assert len(queuectl("list", "--all", "--db", kept).lines) == 2
    said = queuectl("restore", kept, "--yes", "--json").json()
    assert said["counts"]["pending"] == 2
    assert said["lost"] == [{"id": lost.id, "state": "pending"}]
    assert said["before"]["pending"] == 1
    assert os.path.exists(said["kept"])


def test_a_restore_refuses_while_a_pool_runs(queuectl: Program, engine: Engine) -> None:
    queuectl("backup", "copy.db")
    try:
        queuectl("worker", "--detach", "--name", "night")

        refusal = queuectl("restore", "copy.db", "--yes", code=75)
        assert "queuectl stop --pool night" in refusal.err

        queuectl("stop", "--pool", "night")
        queuectl("restore", "copy.db", "--yes")
    finally:
        stop_pools(engine)


def test_a_prune_tells_what_went(queuectl: Program, drive: Driver) -> None:
    for state in (State.COMPLETED, State.COMPLETED, State.DEAD, State.CANCELLED):
        drive.job_in(state)

    dry = queuectl("prune", "--older-than", "1h", "--dry-run").lines
    assert dry == ["2 jobs would be removed, with 0 bytes of output"]
    assert queuectl("prune", "--older-than", "1h").lines == ["Removed 2 jobs; 0 bytes given back"]
    assert "--yes" in queuectl("prune", "--older-than", "0", "--state", "dead", code=2).err
    said = queuectl(
        "prune", "--older-than", "0", "-s", "dead", "-s", "cancelled", "--yes", "--json"
    ).json()

    assert (said["removed"], said["counts"]) == (2, {"cancelled": 1, "dead": 1})
    assert queuectl("list", "--all").lines == []


def test_a_prune_asks_a_person(queuectl: Program, drive: Driver) -> None:
    drive.job_in(State.COMPLETED)

    refused = queuectl.at_terminal("prune", "--older-than", "0", typed="\n")
    assert refused.code == 1
    assert "remove 1 job for good?" in refused.out

    assert queuectl.at_terminal("prune", "--older-than", "0", typed="y\n").code == 0
    assert "Removed 0 jobs" in queuectl("prune", "--older-than", "0").out


def test_a_prune_says_who_stays_because_others_wait(queuectl: Program, drive: Driver) -> None:
    parent = drive.job_in(State.COMPLETED)
    drive.add(after_fail=[parent.id])

    said = queuectl("prune", "--older-than", "0", "--json").json()

    assert (said["removed"], said["waited_for"]) == (0, 1)
    shown = queuectl.at_terminal("prune", "--older-than", "0", "--yes")
    assert "1 job stays, because another one waits for it" in shown.out


def test_a_retention_is_set_shown_and_taken_away(queuectl: Program) -> None:
    assert "until you prune" in queuectl("retention").lines[0]
    assert queuectl("status", "--json").json()["keep_completed"] is None

    assert "for 30d" in queuectl("retention", "30d").lines[0]

    assert queuectl("retention", "--json").json() == {"keep_completed": 30 * 86_400.0}
    assert "Keeps     completed jobs for 30d" in queuectl("status").lines
    assert queuectl("status", "--json").json()["keep_completed"] == 30 * 86_400.0
    assert "until you prune" in queuectl("retention", "off").lines[0]
    assert "duration" in queuectl("retention", "never", code=2).err
    assert "century" in queuectl("retention", "0", code=2).err


def test_a_healthy_database_gets_a_line_a_check(queuectl: Program) -> None:
    said = queuectl("doctor")

    assert all(re.match(r"(ok   |note ) \w", line) for line in said.lines)
    assert [line.split()[1] for line in said.lines][:4] == [
        "library",
        "file",
        "permissions",
        "space",
    ]
    checks = queuectl("doctor", "--json", "--quick").json()
    assert set(checks[0]) == {"check", "level", "text", "advice"}
    assert {check["level"] for check in checks} <= {"ok", "note"}


def test_the_exit_code_is_that_of_the_worst(queuectl: Program, engine: Engine) -> None:
    queuectl("add", "true")
    warned = queuectl.shell("queuectl doctor")
    assert (warned.code, warned.err) == (5, "")
    assert "warn  pools        none runs; ready jobs: 1; try: queuectl worker" in warned.out

    (queuectl.directory / "queue.db").chmod(0o666)
    bad = queuectl.shell("queuectl doctor --json")
    assert bad.code == 1
    worst = [check for check in json.loads(bad.out) if check["level"] == "bad"]
    assert [check["check"] for check in worst] == ["permissions"]


def test_a_checkup_of_what_is_not_there_makes_nothing(bare: Program) -> None:
    said = bare.shell("queuectl doctor --db nothing.db")

    assert said.code == 1
    assert "bad   format       no database at" in said.out
    assert list(bare.directory.iterdir()) == []


def test_a_checkup_has_colours_at_a_terminal_only(queuectl: Program) -> None:
    assert "\x1b[32mok" in queuectl.at_terminal("doctor").out
    assert "\x1b[" not in queuectl.at_terminal("doctor", env={"NO_COLOR": "1"}).out


def test_a_recount_mends(queuectl: Program, drive: Driver) -> None:
    drive.job_in(State.COMPLETED)
    with closing(apsw.Connection(str(queuectl.directory / "queue.db"))) as db:
        db.execute("UPDATE counter SET n = 9").fetchall()

    assert queuectl.shell("queuectl doctor").code == 5
    assert "note  counts       mended" in queuectl.shell("queuectl doctor --recount").out
    assert queuectl("status", "--json").json()["counts"]["completed"] == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_root_keeps_the_database_of_another_user_when_told_so(queuectl: Program) -> None:
    queuectl("backup", "copy.db")
    os.chown(queuectl.directory / "queue.db", 12345, -1)

    assert "--allow-owner" in queuectl("restore", "copy.db", "--yes", code=1).err
    queuectl("--allow-owner", "restore", "copy.db", "--yes")
    assert queuectl.shell("queuectl --allow-owner doctor --quick").code == 0

    assert (queuectl.directory / "queue.db").stat().st_uid == 12345
