"""What stands in the database reaches a terminal harmless, whichever command prints it.

Every text of every table is made hostile by SQL, past all checks: a field that is added later is
covered as well, and one that cannot be is named here.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import apsw
import pytest

from queuectl_engine import JobState, open_engine
from queuectl_engine.cause import Signature
from queuectl_engine.lifecycle import Exited
from queuectl_engine.repository import open_repository
from tests.cli.program import ROOT, Program
from tests.repository.driver import Driver, output_of
from tests.tui.pty_program import Terminal

EVIL: Final = (
    "\x1b]52;c;cm0gLXJmIH4=\x07", "\x1b]0;owned\x1b\\", "\x1b[2J", "\x1b[35;7m", "\x9b31m",
    "\x9d52;c;eA==\x9c", "\u202egnp", "\u2066x\u2069", "\x00", "\x08", "\r", "\x7f", "\x85",
)  # fmt: skip
HOSTILE: Final = "".join(EVIL)

# The words of the state machine and the marks of programs, which no person sees as they are.
OURS: Final = {
    "meta": {"uuid", "machine", "durability"},
    "counter": {"state"},
    "job": {"state", "token", "was", "waits", "retry_on", "no_retry_on"},
    "need": {"after"},
    "ended": {"after"},
    "attempt": {"token"},
    "output": {"marks", "data"},  # made hostile as it is said
    "pool": {"boot", "pid_namespace", "directory", "stop"},
    "schedule": {"missed", "zone", "expression"},  # must be ones that exist
    "hook": {"event"},
    "hook_due": {"event", "token"},
    "tally": {"kind"},
    "label_counter": {"state"},
}
COMMANDS: Final = (
    "status", "queues", "labels", "pools", "failures", "schedule", "hook", "events", "metrics",
    "list", "list --all", "list --dlq", "list --all --json", "show 1", "show 2", "show 1 --json",
    "logs 1", "logs 1 2", "explain 1", "explain 2", "export", "export --json", "requeue 1",
    "cancel 2", "delete 3", "pause", "resume", "limit", "wait 1 --timeout 0", "edit 2 --priority 1",
    "schedule list --json", "hook list --json", "pools --json", "queues --json", "status --json",
    "schedule run-now 1", "schedule pause 1", "hook delete nowhere on_dead", "show nothing",
    "stop", "scale +1", "worker --drain",
)  # fmt: skip


@pytest.fixture
def hostile(queuectl: Program) -> Path:
    """A database that holds everything, each text of it hostile."""
    path = queuectl.directory / "queue.db"
    with open_engine(path) as engine, closing(open_repository(str(path))) as repo:
        around = engine.context(cwd="/", env={"A": "b"}, secrets=["TOKEN"])
        shell = {"labels": ["one"], "key": "k", "mutex": "m", "log_file": "/log", "on_dead": "x"}
        engine.set_hook("default", "on_dead", ["printf", "x"])
        engine.add("false", context=around, max_retries=0, **shell)  # type: ignore[arg-type]
        later = datetime.now(UTC) + timedelta(hours=1)
        engine.add(["printf", "x"], run_at=later, max_retries=0, on_completed="y")
        driver = Driver(repo)
        for _ in range(2):
            if engine.get(1).state is JobState.DEAD:
                engine.requeue(1)
            ended = driver.ended(driver.claim(), Exited(1), output_of(f"said {HOSTILE}\n"))
            driver.turn(ended._replace(signature=Signature("false", "exit 1", "said")))
        engine.add("true", queue="other", max_retries=0, after_any=[2])
        engine.add_schedule("@daily", engine.new_job("true", max_retries=0), name="s")
    make_hostile(path)
    return path


def make_hostile(path: Path) -> None:
    """Append the payloads to each text, inside of JSON where the text is JSON."""
    with closing(apsw.Connection(str(path))) as db:
        db.execute("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF")
        tables = [name for (name,) in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )]  # fmt: skip
        for table in tables:
            columns = [r[1] for r in db.execute(f"PRAGMA table_xinfo({table})") if r[2] == "TEXT"]
            for column in sorted(set(columns) - OURS.get(table, set())):
                rows = db.execute(f"SELECT DISTINCT {column} FROM {table}").fetchall()
                for (value,) in rows:
                    if value is not None:
                        bind = (_hostile(value), value)
                        db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", bind)


def _hostile(value: object) -> str:
    assert isinstance(value, str)
    try:
        parsed = json.loads(value)
    except ValueError:
        return value + HOSTILE
    return json.dumps(_in_json(parsed)) if isinstance(parsed, list | dict) else value + HOSTILE


def _in_json(value: object) -> object:
    match value:
        case str():
            return value + HOSTILE
        case list():
            return [_in_json(each) for each in value]
        case dict():
            return {f"{key}": _in_json(each) for key, each in value.items()}
    return value


def at_terminal(commands: list[list[str]], program: Program) -> dict[str, bytes]:
    """What a terminal of 80 columns gets of each command: one process, for all are many."""
    script = (
        "import json, sys\n"
        "from queuectl_engine.cli.root import run\n"
        "for args in json.loads(sys.argv[1]):\n"
        "    print('@@' + ' '.join(args), flush=True)\n"
        "    run(args)\n"
        "    sys.stdout.flush(); sys.stderr.flush()\n"
    )
    master, slave = pty.openpty()
    shown = b""
    with subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(commands)],
        stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, cwd=program.directory,
        env={**program.env, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}, start_new_session=True,
    ):  # fmt: skip
        os.close(slave)
        with suppress(OSError):  # EIO: it has ended
            while part := os.read(master, 65536):
                shown += part
    os.close(master)
    parts = [part.partition(b"\r\n") for part in shown.split(b"@@")[1:]]
    return {name.decode(): text for name, _, text in parts}


def test_nothing_hostile_reaches_a_terminal(queuectl: Program, hostile: Path) -> None:
    shown = at_terminal([command.split() for command in COMMANDS], queuectl)

    assert list(shown) == list(COMMANDS)
    seen = b"".join(shown.values())
    assert seen.count("\u241b".encode()) > 50, "there was something to be made harmless"
    for command, raw in shown.items():
        assert raw, command
        assert b"Traceback" not in raw, (command, raw)
        for payload in EVIL[:4]:
            assert payload.encode() not in raw, command
        text = re.sub(r"\x1b\[[0-9;]*m", "", raw.decode())  # colours of tables
        assert {c for c in text if not c.isprintable()} <= set("\r\n"), (command, text)


def test_a_pipe_gets_it_raw(queuectl: Program, hostile: Path) -> None:
    raw = HOSTILE.encode()
    for args in (["show", "1"], ["list", "--all"]):
        done = subprocess.run(
            queuectl.command(*args), capture_output=True, cwd=queuectl.directory, env=queuectl.env
        )
        assert raw.replace(b"\r", b"\\r") in done.stdout or raw in done.stdout


def test_every_table_that_holds_text_was_filled(hostile: Path) -> None:
    """Else the test above says nothing of it."""
    empty = {"loosened", "ended", "origin", "tally", "happening", "suspect"}
    with closing(apsw.Connection(str(hostile))) as db:
        names = [name for (name,) in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )]  # fmt: skip
        filled = {n for n in names if db.execute(f"SELECT 1 FROM {n} LIMIT 1").fetchall()}
    assert set(names) - empty <= filled


def test_nothing_hostile_reaches_the_screen(queuectl: Program, hostile: Path) -> None:
    """Every list, the details of jobs, questions, an edit, the pools, the help."""
    with Terminal(cwd=queuectl.directory, width=160, height=50) as terminal:
        terminal.shows("1 Pending", "q quit")
        for keys in _TOUR:
            terminal.send(keys)
            terminal.quiet()
        terminal.send("q")
        terminal.exit_code()
    drawn = terminal.raw.replace(b"\x1b]22;default\x07", b"")  # the pointer, by Textual itself
    assert "\u241b".encode() in drawn
    assert b"\x1b]" not in drawn, "a title, a clipboard or a link"
    assert b"\x1b[35;7m" not in drawn
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", drawn.decode())
    assert {c for c in text if not c.isprintable()} <= set("\r\n")


_TOUR: Final = ("1jj", "2", "3", "\r", "qF", "\r", "qq4", "5", "6", "P", "q?", "q3d", "nr", "n")
