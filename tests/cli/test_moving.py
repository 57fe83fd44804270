"""`export` and `import`: between our databases, and from what other programs printed."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from queuectl_engine import open_engine
from queuectl_engine.cli.crontab import crontab
from queuectl_engine.engine import Engine
from queuectl_engine.job import State
from queuectl_engine.lifecycle import Exited
from tests.cli.program import ROOT, Program
from tests.repository.driver import Driver
from tests.samples import HOUR
from tests.waiting import until

RIVALS = ROOT / "tests" / "rivals"


@pytest.fixture
def other(queuectl: Program) -> str:
    """The path of a second, empty database."""
    queuectl("--db", "other.db", "initdb")
    return "other.db"


def test_what_is_exported_runs_elsewhere_as_it_would_here(
    queuectl: Program, other: str, tmp_path: Path
) -> None:
    queuectl("add", "--env", "A=secret 1", "--key", "k", "--queue", "gpu", "--priority", "-4",
             "--max-retries", "7", "--timeout", "90s", "--run-at", "2099-01-01T00:00Z",
             "--allow-background", "--log-file", "log", "--cwd", str(tmp_path), "--shell",
             "/bin/bash", "echo 'it''s' | wc\tx")  # fmt: skip
    queuectl("add", "--", "printf", "%s\n", "two words", "$HOME", "")
    lines = queuectl("export").out

    assert queuectl("--db", other, "import", "-", stdin=lines).out == (
        "2 jobs imported with IDs: 1-2\n"
    )
    first, again = (
        [
            {
                name: value
                for name, value in json.loads(line).items()
                if name not in ("origin", "created_at", "updated_at")
            }
            for line in text.splitlines()
        ]
        for text in (lines, queuectl("--db", other, "export").out)
    )
    assert first[0] == again[0]
    assert first[0]["env"] == {"A": "secret 1"}
    assert {**first[1], "run_at": None} == {**again[1], "run_at": None}
    assert first[1]["argv"] == ["printf", "%s\n", "two words", "$HOME", ""]


def test_only_what_waits_is_taken_and_the_rest_is_told(
    queuectl: Program, other: str, drive: Driver
) -> None:
    for state in (State.COMPLETED, State.CANCELLED, State.DEAD, State.SCHEDULED, State.PROCESSING):
        drive.job_in(state)
    drive.add()
    lines = queuectl("export").out
    assert len(lines.splitlines()) == 6

    result = queuectl("--db", other, "import", "-", stdin=lines)
    assert sorted(result.lines) == [
        "1 job left out: cancelled there",
        "1 job left out: completed there",
        "1 job left out: dead there (--failed takes them)",
        "1 job left out: running there",
        "2 jobs imported with IDs: 1-2",
    ]
    told = queuectl("--db", other, "import", "-", "--failed", "--json", stdin=lines).json()
    assert (told["created"], told["existing"], told["ids"]) == (1, 2, [[3, 3]])
    assert told["left_out"] == {"completed there": 1, "cancelled there": 1, "running there": 1}
    states = [line.split("\t")[1] for line in queuectl("--db", other, "list", "--all").lines]
    assert states == ["pending"] * 3


def test_what_waits_for_other_jobs_is_left_out(
    queuectl: Program, drive: Driver, tmp_path: Path
) -> None:
    """Elsewhere its parents have other ids: it would not wait, and run too early."""
    parent = drive.add("parent")
    drive.add("child", after_ok=[parent.id])
    exported = queuectl("export").out
    other = str(tmp_path / "other.db")
    queuectl("initdb", "--db", other)
    told = queuectl("--db", other, "import", "-", stdin=exported).out
    assert "1 job left out: it waits for other jobs there" in told
    (job,) = queuectl("--db", other, "list", "--all", "--json").json()
    assert job["command"] == "parent"


def test_an_import_adds_nothing_twice_whatever_became_of_the_jobs(
    queuectl: Program, other: str
) -> None:
    for _ in range(3):
        queuectl("add", "true")
    lines = queuectl("export").out
    queuectl("--db", other, "import", "-", stdin=lines)
    with open_engine(queuectl.directory / other) as there:
        there.cancel(1)
        there.delete(2)
    assert queuectl("--db", other, "import", "-", stdin=lines).out == (
        "0 jobs imported\n3 jobs existed with IDs: 1-3\n"
    )
    # Into the database that they came from: what is there, and what was deleted there.
    queuectl("delete", "2")
    assert queuectl("import", "-", stdin=lines).lines == [
        "1 job imported with IDs: 4",
        "2 jobs left out: in this database already",
    ]
    assert "1 job existed" in queuectl("import", "-", stdin=lines).out


def test_an_import_that_was_killed_goes_on_where_it_was(
    queuectl: Program, other: str, engine: Engine
) -> None:
    size = 12_000
    context = engine.context()
    engine.add_many(engine.new_job(f"echo {n}", context) for n in range(size))
    (queuectl.directory / "all.jsonl").write_text(queuectl("export").out)
    with open_engine(queuectl.directory / other) as there:
        with queuectl.running("--db", other, "import", "all.jsonl") as running:
            until(lambda: next(there.jobs(limit=1), None))
            running.process.kill()
            running.process.wait()
        before = sum(1 for _ in there.jobs())
        assert 0 < before < size
        told = queuectl("--db", other, "import", "all.jsonl", "--json").json()
        assert (told["created"], told["existing"]) == (size - before, before)
        assert sorted(job.command for job in there.jobs()) == sorted(
            f"echo {n}" for n in range(size)
        )


def test_a_bad_line_stops_there_and_what_was_before_is_stored(
    queuectl: Program, other: str
) -> None:
    queuectl("add", "true")
    good = queuectl("export").out
    for bad, why in (
        ("{", "not JSON"),
        ('{"command": "true"}', "not a line of 'queuectl export'"),
        (good.replace('"queue": "default"', '"queue": "a b"'), "queue name"),
        (good.replace('"umask": "0022"', '"umask": 7'), "'umask' must be"),
        (good.replace('"captured": {', '"captured": {"X": 1, '), "'captured' must be"),
    ):
        said = queuectl("--db", other, "import", "-", stdin=f"{good}\n{bad}", code=2).err
        assert why in said
        assert "line 3: " in said
        assert "lines 1 to 1 were added" in said
    assert len(queuectl("--db", other, "list").lines) == 1
    assert "no such file" in queuectl("import", "missing", code=2).err.lower()


def test_a_key_that_another_job_has_there_is_an_error(queuectl: Program, other: str) -> None:
    queuectl("add", "--key", "k", "true")
    queuectl("--db", other, "add", "--key", "k", "false")
    lines = queuectl("export").out
    assert "key k belongs" in queuectl("--db", other, "import", "-", stdin=lines, code=1).err


def test_a_part_is_exported_by_state_or_filter(queuectl: Program, drive: Driver) -> None:
    drive.job_in(State.DEAD)
    drive.add(queue="mail")
    ids = [json.loads(line)["id"] for line in queuectl("export", "--state", "dead").lines]
    assert ids == [1]
    ids = [json.loads(line)["id"] for line in queuectl("export", "--filter", "queue:mail").lines]
    assert ids == [2]
    queuectl("export", "--filter", "x", "--state", "dead", code=2)


def test_a_retry_that_is_due_later_is_due_then(
    queuectl: Program, other: str, drive: Driver
) -> None:
    drive.now = drive.now.replace(year=2090)
    drive.add()
    drive.run(Exited(1))
    (line,) = queuectl("export").lines
    queuectl("--db", other, "import", "-", stdin=line)
    with open_engine(queuectl.directory / other) as there:
        job = there.get(1)
    assert (job.stored, job.attempts) == (State.SCHEDULED, 0)
    assert drive.now < job.run_at < drive.now + HOUR


@pytest.mark.parametrize(
    ("kind", "failed", "commands", "left_out"),
    [
        (
            "pueue.json",
            True,
            ["exit 3", "train --epochs 3 | tee 'my log'", "echo later", "echo held"],
            {"completed there": 1, "running there": 1, "waiting there for task 3": 1},
        ),
        (
            "pueue3.json",
            False,
            ["ls", "echo held"],
            {"completed there": 1, "failed there (--failed takes them)": 1},
        ),
        (
            "tsp.txt",
            True,
            [["echo", "a", "b", "$HOME", "it's"], ["true"], ["echo", "z"], ["ls", "/"], "exit 3"],
            {"completed there": 1, "running there": 1, "waiting there for job 3": 2},
        ),
        (
            "tsp.txt",
            False,
            [["echo", "a", "b", "$HOME", "it's"], ["true"], ["echo", "z"], ["ls", "/"]],
            {
                "completed there": 1,
                "running there": 1,
                "waiting there for job 3": 2,
                "failed there (--failed takes them)": 1,
            },
        ),
        ("parallel.joblog", True, ["exit 3", "kill -9 $$"], {"completed there": 2}),
        (
            "parallel.joblog",
            False,
            [],
            {"completed there": 2, "failed there (--failed takes them)": 2},
        ),
    ],
)
def test_lists_of_other_programs_become_jobs_once(
    queuectl: Program,
    engine: Engine,
    kind: str,
    failed: bool,
    commands: list[str | list[str]],
    left_out: dict[str, int],
) -> None:
    source = kind.partition(".")[0].rstrip("3")
    args = ["import", "--from", source, str(RIVALS / kind), *["--failed"] * failed]

    dry = queuectl(*args, "--dry-run").lines
    assert not list(engine.jobs())
    told = queuectl(*args, "--json").json()
    assert (told["created"], told["left_out"]) == (len(commands), left_out)
    jobs = list(engine.jobs())
    assert [list(job.argv) if job.argv else job.command for job in jobs] == commands
    assert all(job.max_retries == 0 for job in jobs)
    assert queuectl(*args, "--json").json()["created"] == 0

    # What --dry-run printed does the same.
    for line in dry[: len(commands)]:
        queuectl(*shlex.split(line)[1:])
    again = [job for job in engine.jobs() if job.id > len(commands)]
    assert [(job.command, job.argv, job.queue) for job in again] == [
        (job.command, job.argv, job.queue) for job in jobs
    ]


def test_a_task_of_pueue_keeps_its_place_and_no_secrets(queuectl: Program, engine: Engine) -> None:
    queuectl("import", "--from", "pueue", str(RIVALS / "pueue.json"))
    trained, later, held = engine.jobs()
    assert (trained.queue, trained.priority) == ("gpu-box", 7)
    assert engine.context_of(trained).cwd == "/usr"
    assert engine.context_of(trained).captured["PATH"] == "/opt/bin:/usr/bin"
    assert engine.context_of(trained).captured["LC_ALL"] == "C.UTF-8"
    assert "hunter2" not in repr(engine.context_of(trained))
    assert later.run_at.isoformat() == "2098-12-31T23:00:00+00:00"
    assert held.queue == "default.stashed"
    assert [queue.name for queue in engine.queues() if queue.paused] == ["default.stashed"]


def test_options_of_import_win(queuectl: Program, engine: Engine) -> None:
    queuectl("import", "--from", "tsp", str(RIVALS / "tsp.txt"), "--queue", "q", "--cwd", "/",
             "--max-retries", "2")  # fmt: skip
    assert {(job.queue, job.max_retries) for job in engine.jobs()} == {("q", 2)}
    assert {engine.context_of(job).cwd for job in engine.jobs()} == {"/"}


@pytest.mark.parametrize("kind", ["pueue", "tsp", "parallel", "crontab"])
@pytest.mark.parametrize("text", ["", "{}", "hello\n", '{"tasks": {"0": {}}}', "\xff", "[" * 10000])
def test_what_no_such_program_wrote_is_refused(queuectl: Program, kind: str, text: str) -> None:
    if kind == "crontab" and not text:
        return  # an empty crontab is one
    data = text.encode("latin-1")
    queuectl("import", "--from", kind, "-", "--dry-run", stdin=data, code=2)


def test_a_joblog_line_that_came_again_counts_last(queuectl: Program) -> None:
    log = (RIVALS / "parallel.joblog").read_text()
    log += "2\t:\t1795510099.1\t0.1\t0\t0\t0\t0\texit 3\n"
    told = queuectl("import", "--from", "parallel", "-", "--failed", "--json", stdin=log).json()
    assert (told["created"], told["left_out"]) == (1, {"completed there": 3})


def test_a_crontab_becomes_schedules() -> None:
    lines = list(enumerate((RIVALS / "crontab.txt").read_text().splitlines(), 1))
    daily, fives, find, reboot, percent, parts = crontab(lines)
    assert daily.schedule() == [
        *("queuectl", "schedule", "add", "--cwd", "~", "--tz", "Europe/Berlin"),
        *("--shell", "/bin/bash", "--env", "PATH=/usr/local/bin:/usr/bin:/bin"),
        *("0 3 * * *", "/usr/local/bin/backup --all >/dev/null 2>&1"),
    ]
    assert (fives.when, fives.command) == (
        "*/5 9-17 * * mon-fri",
        "echo 'it''s five past' 100% done",
    )
    assert find.when == "@daily"
    assert (reboot.left_out or "").startswith("@reboot")
    assert (percent.left_out or "").startswith("text for stdin")
    assert (parts.when, parts.command) == ("30 4 1,15 * 5", 'run-parts "$HOME/cron.d"')


def test_a_crontab_is_imported_once(queuectl: Program) -> None:
    path = str(RIVALS / "crontab.txt")
    first = queuectl("import", "--from", "crontab", path)
    assert first.lines == ["4 schedules added, 2 left out"]
    listed = queuectl("schedule", "list", "--json").json()
    assert [each["zone"] for each in listed] == ["Europe/Berlin"] * 4
    assert listed[0]["expression"] == "0 3 * * *"
    again = queuectl("import", "--from", "crontab", path)
    assert again.lines == ["0 schedules added, 4 known already, 2 left out"]
    assert len(queuectl("schedule", "list", "--json").json()) == 4


def test_what_is_no_time_names_its_line(queuectl: Program) -> None:
    bad = "0 3 * * * true\n0 99 * * * false\n"
    refused = queuectl("import", "--from", "crontab", "-", stdin=bad, code=2)
    assert "line 2:" in refused.err
    assert len(queuectl("schedule", "list", "--json").json()) == 1


def test_a_crontab_is_only_shown(queuectl: Program) -> None:
    path = str(RIVALS / "crontab.txt")
    shown = queuectl("import", "--from", "crontab", path, "--dry-run").lines
    assert len(shown) == 6
    assert shlex.split(shown[0])[-2:] == [
        "0 3 * * *",
        "/usr/local/bin/backup --all >/dev/null 2>&1",
    ]
    assert queuectl("schedule", "list", "--json").json() == []
