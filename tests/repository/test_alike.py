"""Many jobs added at once are the same as if each had been added alone, and are counted so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest

from queuectl_engine.errors import BadInput, StorageError
from queuectl_engine.job import Added, Job, JobState
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.protocol import JobRepository
from queuectl_engine.repository.sqlite import alike
from queuectl_engine.repository.sqlite.connection import Connection
from tests.repository.driver import Driver
from tests.samples import HOUR, NOON, new

MANY = 40  # far more than go row by row
POLICIES: dict[str, dict[str, Any]] = {
    "plain": {},
    "all fields": {
        "queue": "mail",
        "priority": -7,
        "max_retries": 9,
        "timeout": 1.5,
        "allow_background": True,
        "log_file": "/tmp/log",
        "retry_on": "64-78",
        "no_retry_on": (1,),
        "on_dead": "echo dead",
        "on_completed": "echo done",
    },
    "for later": {"run_at": NOON + HOUR},
    "with labels": {"labels": ("red", "blue")},
    "of one mutex": {"mutex": "db"},
}


def without_id(job: Job) -> Job:
    return job._replace(id=0)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("kind", ["lines", "jobs", "programs"])
def test_many_are_as_each_alone(
    open_repo: Callable[[], JobRepository], drive: Driver, policy: str, kind: str
) -> None:
    """The same rows, the same counters; what stands beside a job follows it."""
    lines = [f"echo '{n}' \"\\\t\x01é\N{GRINNING FACE}\"" for n in range(MANY)]
    commands: list[str | list[str]] = [
        ["printf", line] if kind == "programs" else line for line in lines
    ]
    jobs = [new(command, **POLICIES[policy]) for command in commands]
    alone = [drive.repo.add([job], now=NOON)[0].id for job in jobs]
    before = drive.repo.counts()

    if kind == "lines":
        together = list(drive.repo.add_lines(jobs[0], lines[1:], now=NOON))
    else:
        together = [added.id for added in drive.repo.add(jobs, now=NOON)]

    stored = drive.repo.get([*alone, *together])
    assert together == list(range(alone[-1] + 1, alone[-1] + 1 + MANY))
    assert [job.command for job in jobs] == [stored[number].command for number in together]
    for one, other in zip(alone[1:], together[1:], strict=True):
        assert without_id(stored[one]) == without_id(stored[other])
    after = drive.repo.counts()
    assert sum(after.stored.values()) == sum(before.stored.values()) + MANY == 2 * MANY
    labels = {label.name: sum(label.counts.values()) for label in drive.repo.labels(limit=9)}
    assert labels == dict.fromkeys(POLICIES[policy].get("labels", ()), 2 * MANY)


def test_lines_whose_ids_would_not_follow_each_other_are_not_stored(tmp_path: Path) -> None:
    """Of a damaged file, where ids were given out beyond the last one that it knows of."""
    path = tmp_path / "queue.db"
    with closing(open_repository(str(path), create=True)) as repo:
        repo.add_lines(new("echo 0"), ["echo 1", "echo 2", "echo 3"], now=NOON)
        with closing(apsw.Connection(str(path))) as db:
            db.execute("DELETE FROM job WHERE id = 2")
            db.execute("UPDATE sqlite_sequence SET seq = 1 WHERE name = 'job'")

        with pytest.raises(StorageError, match="queuectl doctor"):
            repo.add_lines(new("echo 4"), ["echo 5", "echo 6"], now=NOON)

        assert sorted(repo.get(range(1, 9))) == [1, 3, 4]


def test_what_no_database_can_hold_is_bad_input(tmp_path: Path) -> None:
    with closing(open_repository(str(tmp_path / "queue.db"), create=True)) as repo:
        with pytest.raises(BadInput, match="not valid UTF-8"):
            repo.add_lines(new("echo 0"), ["echo 1", "echo \ud800"], now=NOON)

        assert repo.counts().stored == {}


def test_each_is_claimed_and_told(drive: Driver) -> None:
    since = drive.repo.last_happening()
    ids = list(drive.repo.add_lines(new("echo 0"), [f"echo {n}" for n in range(1, MANY)], now=NOON))

    told, _ = drive.repo.happenings(since=since, limit=2 * MANY)
    claims = drive.turn(room=2 * MANY).claims

    assert [(one.kind, one.job) for one in told] == [("added", number) for number in ids]
    assert [claim.job.id for claim in claims] == ids
    assert drive.repo.counts().outward()[JobState.PENDING] == 0
    assert drive.repo.counts().outward()[JobState.PROCESSING] == MANY


def test_a_line_alone(drive: Driver) -> None:
    (number,) = drive.repo.add_lines(new("echo 0"), [], now=NOON)

    assert drive.get(number).command == "echo 0"


def test_those_that_differ_stand_between_those_that_do_not(drive: Driver) -> None:
    jobs = [new(f"echo {n}", queue="odd" if n % 13 == 0 else "even") for n in range(MANY)]
    jobs += [new(f"echo {n}", key=f"key-{n}") for n in range(MANY)]
    jobs += [new(["echo", str(n)]) for n in range(MANY)]

    added = drive.repo.add(jobs, now=NOON)

    stored = drive.repo.get([one.id for one in added])
    assert all(after.id == before.id + 1 for before, after in pairwise(added))
    assert [
        (job.command, job.queue, job.key, job.argv) for job in (stored[one.id] for one in added)
    ] == [(job.command, job.queue, job.key, job.argv) for job in jobs]
    assert drive.repo.add(jobs[MANY : 2 * MANY], now=NOON) == [
        Added(one.id, created=False, state=JobState.PENDING) for one in added[MANY : 2 * MANY]
    ]


def test_all_of_a_wait_or_none(drive: Driver) -> None:
    parent = drive.add()
    ids = drive.repo.add_lines(
        new("echo 0", after_ok=[parent.id]), [f"echo {n}" for n in range(1, MANY)], now=NOON
    )

    assert [drive.get(number).waiting for number in ids] == [f"after-ok {parent.id}"] * MANY


# -- SQLite: what is left out for the copies is made up for, and is back afterwards


@pytest.fixture
def raw(tmp_path: Path) -> apsw.Connection:
    path = str(tmp_path / "queue.db")
    open_repository(path, create=True).close()
    return apsw.Connection(path)


def test_copies_have_every_column_and_leave_out_known_triggers_only(raw: apsw.Connection) -> None:
    """Whoever gives `job` a column or a trigger for new rows must say here what copies do."""
    set_later = {
        "attempts", "runs", "deaths", "token", "worker", "started_ms", "finished_ms", "cancel_ms",
        "deleted_ms", "was", "reason", "parked", "cause",
    }  # fmt: skip
    columns = {row[1] for row in raw.execute("PRAGMA table_info(job)")}
    parents = {row[3] for row in raw.execute("PRAGMA foreign_key_list(job)")}
    triggers = raw.execute(
        "SELECT name FROM sqlite_master WHERE type = 'trigger' AND sql LIKE '%INSERT ON job %'"
    ).fetchall()

    assert columns - set_later == set(alike.COLUMNS)
    assert sorted(triggers) == [("job_counted",), ("job_labelled",)]
    assert parents - set_later <= set(alike._SHARED)  # with the first one, which was checked


def test_checks_and_triggers_are_back_after_copies(tmp_path: Path) -> None:
    path = str(tmp_path / "queue.db")
    open_repository(path, create=True).close()
    db = Connection(path, timeout=1.0)
    try:
        with pytest.raises(ZeroDivisionError), db.writing(), db.copying():
            raise ZeroDivisionError
        assert db.value("PRAGMA ignore_check_constraints") == 0
        assert db.value("PRAGMA foreign_keys") == 1
        with pytest.raises(StorageError, match="CHECK"), db.writing():
            db.run("INSERT INTO counter VALUES ('ready', 1, -1)")
        driver = Driver(open_repository(path))
        driver.repo.add_lines(new("echo 0"), [f"echo {n}" for n in range(MANY)], now=NOON)
        driver.add()
        assert driver.repo.counts().outward()[JobState.PENDING] == MANY + 2
        driver.repo.close()
    finally:
        db.close()
