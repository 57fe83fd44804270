"""A good citizen of the terminal: asks for one, restores it, writes little, survives its loss."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Unpack

import pytest

from queuectl_engine import JobState, View, open_engine, parse_filter
from queuectl_engine.new_job import Policy
from queuectl_tui.terminal import run_outside
from tests.samples import HOUR
from tests.tui.pty_program import ROOT, Terminal, environment
from tests.waiting import until

LEFT_ON = re.compile(rb"\x1b\[\?(1049|25|1000|1003|2004)([hl])")
HOSTILE = (
    "\x1b[2Jcleared",
    "\x1b]52;c;cm0gLXJmIH4=\x07copied",
    "\x1b]0;title\x07",
    "\x9b31mred\x9d52;c;eA==\x9c",
    "\u202egnp.exe",
    "[/bold] [red]x[/] {markup}",
    "\x00\x01\x07\x08\x7f\x85",
    "日本語 👩‍👩‍👧 e\u0301",
)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    open_engine(tmp_path / "queue.db", create=True).close()
    with Terminal(cwd=tmp_path) as terminal:
        terminal.shows("1 Pending 0", "q quit")
        terminal.quiet()
        yield terminal


# Causes and their jobs, questions about them, a filter, an edit, and every list.
_TOUR = (
    *("F", *"jjjr", "n", "\r", "d", "n", "q", "q", "/", "gnp\r", "*", "d", "n", "\x1b"),
    *("e", "\x1b", "P", "n", *"d456?qqq"),
)


def last_modes(raw: bytes) -> dict[bytes, bytes]:
    """The last setting of each mode that would spoil a shell."""
    return dict(LEFT_ON.findall(raw))


RESTORED = {b"1049": b"l", b"25": b"h", b"2004": b"l"}


@pytest.mark.parametrize("keys", ["q", "\x03"])
def test_quitting_restores_the_terminal(terminal: Terminal, keys: str) -> None:
    terminal.send(keys)
    assert terminal.exit_code() == 0
    assert last_modes(terminal.raw) == RESTORED
    assert terminal.modes() == terminal.modes_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_restore_the_terminal(terminal: Terminal, number: signal.Signals) -> None:
    terminal.process.send_signal(number)
    assert terminal.exit_code() == 128 + number
    assert last_modes(terminal.raw) == RESTORED
    assert terminal.modes() == terminal.modes_before


def test_mouse_reports_are_never_asked_for(terminal: Terminal) -> None:
    assert not re.search(rb"\x1b\[\?100[0-3]h", terminal.raw)


@pytest.mark.parametrize("controlling", [True, False])
def test_it_ends_when_the_terminal_vanishes(tmp_path: Path, controlling: bool) -> None:
    open_engine(tmp_path / "queue.db", create=True).close()
    with Terminal(cwd=tmp_path, controlling=controlling) as terminal:
        terminal.shows("1 Pending 0")
        terminal.hang_up()
        until(lambda: terminal.process.poll() is not None)
        assert terminal.process.returncode == 128 + signal.SIGHUP


def test_it_comes_back_after_being_suspended(terminal: Terminal) -> None:
    terminal.send("\x1a")
    until(lambda: _state_of(terminal.process.pid) == "T")
    terminal.read()
    terminal.clear()
    terminal.process.send_signal(signal.SIGCONT)
    terminal.shows("1 Pending 0", "q quit")


def test_a_question_ignores_what_came_in_the_same_burst(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add("make all")
        with Terminal(cwd=tmp_path) as terminal:
            terminal.shows("── 1 pending")
            terminal.send("xy")
            terminal.shows("cancel 1: make all ? y/N")
            terminal.quiet()
            assert engine.get(1).state == "pending"
            terminal.send("y")
            terminal.shows("1 cancelled")


@pytest.mark.parametrize("parts", [("\x1b", "[6~"), ("\x1b[", "6~"), ("\x1b[6", "~")])
def test_a_key_that_a_slow_link_split_is_no_command(
    terminal: Terminal, parts: tuple[str, str]
) -> None:
    terminal.send("F")
    terminal.shows("Causes of 0")
    terminal.send(parts[0])
    terminal.shows("1 Pending")  # so long did it take that Esc was taken for a key
    terminal.send(parts[1])
    terminal.quiet()
    assert "6 Queues" not in terminal.text


def test_what_is_typed_ahead_reaches_the_form(terminal: Terminal) -> None:
    terminal.send("aecho typed ahead\r")
    terminal.shows("added as 1", "$ echo typed ahead")


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "xterm"}, {"TERM": "linux"}])
def test_only_the_terminals_own_colours_are_used(tmp_path: Path, env: dict[str, str]) -> None:
    open_engine(tmp_path / "queue.db", create=True).close()
    with Terminal(cwd=tmp_path, env=env) as terminal:
        terminal.shows("1 Pending 0", "LIVE")
        colours = set(re.findall(rb"[34]8;[25];|\b(?:3[0-7]|4[0-7]|9[0-7])(?=[;m])", terminal.raw))
    assert not any(colour.startswith((b"38;", b"48;")) for colour in colours)
    assert bool(colours) is ("NO_COLOR" not in env)


def test_hostile_text_never_reaches_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Command, output, key and queue of a job that someone else chose, wherever they are drawn."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        for i, text in enumerate(HOSTILE):
            raw = text.replace("\x00", "")
            name = "".join(c for c in text if c.isprintable() and c != " ")
            command = f"printf '%s\\n' {shlex.quote(raw)} | tee /dev/stderr; exit 1"
            engine.add(command, max_retries=0, queue=f"q{i}{name}", key=f"k{i}{name}")
            engine.add(command, queue=f"later{i}{name}", run_at=datetime.now(UTC) + HOUR)
        engine.start_pool()
        try:
            editor = {"EDITOR": "true", "VISUAL": ""}  # which e opens for such commands
            with Terminal(cwd=tmp_path, width=160, height=50, env=editor) as terminal:
                terminal.shows("1 Pending 8", "3 Dead 8")
                for keys in ("j", "jjj", "jjj", "x", "n", "3", *"jjjjjjj", "\r", "q", *_TOUR):
                    terminal.send(keys)
                    terminal.quiet()
                assert terminal.exit_code() == 0
        finally:
            engine.stop_pool(now=True)
    drawn = terminal.raw.replace(b"\x1b]22;default\x07", b"")  # the pointer, by Textual itself
    assert b"gnp.exe" in drawn
    assert b"cleared" in drawn
    assert b"\x1b]" not in drawn, "a title, a clipboard or a link"
    assert b"\x1b[2J" not in drawn
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", drawn.decode())
    assert {c for c in text if not c.isprintable()} <= set("\r\n")


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {}])
def test_without_a_terminal_it_names_what_to_use(tmp_path: Path, env: dict[str, str]) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "queuectl_tui"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(tmp_path, env),
    )
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (2, "", 1)
    for command in ("queuectl status", "queuectl list", "queuectl add"):
        assert command in run.stderr
    assert list(tmp_path.iterdir()) == [], "it made nothing"


def test_a_deleted_database_keeps_its_last_picture_and_comes_back(tmp_path: Path) -> None:
    path, away = tmp_path / "queue.db", tmp_path / "away"
    with open_engine(path, create=True) as engine:
        engine.add("make all")
    with Terminal(cwd=tmp_path) as terminal:
        terminal.shows("LIVE", "make all")
        path.rename(away)
        terminal.shows("STALE", "queue.db is gone: it was deleted", "make all")
        terminal.send("x")
        terminal.shows("queue.db is gone")
        away.rename(path)
        terminal.shows("LIVE", "make all")


LOCKER = """
import fcntl, os, struct, sys
fd = os.open("queue.db-shm", os.O_RDWR)
def lock(kind, start, length):
    fcntl.fcntl(fd, fcntl.F_SETLK, struct.pack("hhqqi4x", kind, 0, start, length, 0))
lock(fcntl.F_RDLCK, 128, 1)  # a connection ...
lock(fcntl.F_WRLCK, 120, 8)  # ... that recovers the log, and was stopped
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_locked_database_keeps_its_last_picture_and_comes_back(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add("true")
        with Terminal(cwd=tmp_path) as terminal:
            terminal.shows("LIVE", "1 Pending 1")
            terminal.quiet()
            with subprocess.Popen(
                [sys.executable, "-c", LOCKER],
                cwd=tmp_path,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            ) as locker:
                assert locker.stdout
                assert locker.stdout.readline() == b"locked\n"
                terminal.shows("STALE", "1 Pending 1", "is locked by process")
                terminal.send("?")
                terminal.shows("Esc")  # the screen is alive
                terminal.send("\x1b")
                locker.communicate()
            terminal.shows("LIVE", "1 Pending 1")
            engine.add("more")
            terminal.shows("1 Pending 2")


def test_a_replaced_database_is_opened_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "queue.db", tmp_path / "other.db"
    for name, command in ((path, "make old"), (other, "make new")):
        with open_engine(name, create=True) as engine:
            engine.add(command)
    with Terminal(cwd=tmp_path) as terminal:
        terminal.shows("make old")
        other.replace(path)
        terminal.shows("LIVE", "make new")
        terminal.send("x")
        terminal.shows("cancel 1: make new ?")
        terminal.quiet()
        terminal.send("y")
        terminal.shows("1 cancelled")
    with open_engine(path) as engine:
        assert engine.get(1).state == "cancelled", "acts reach the new file, too"


def test_a_reader_that_stalls_does_not_freeze_the_program(tmp_path: Path) -> None:
    """Keys and changes go on while nothing is read; then the newest picture is there."""
    with (
        open_engine(tmp_path / "queue.db", create=True) as engine,
        Terminal(cwd=tmp_path, width=160, height=50) as terminal,
    ):
        engine.add_many(engine.new_job(f"make {i} {'x' * 80}") for i in range(500))
        terminal.shows("1 Pending 500")
        for number in range(1, 250):
            name = f"queue-{number % 2}"
            engine.add("more", queue=name)
            terminal.send("123"[number % 3])
            if number % 50 == 0:  # the loop is alive: it does what is asked
                terminal.send(f"atyped {number}\r")
                typed = parse_filter(f'"typed {number}"', now=datetime.now(UTC))
                until(lambda typed=typed: engine.matching(View.PENDING, typed)[0] == 1)  # type: ignore[misc]
        terminal.shows("1 Pending 753")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.exit_code() == 128 + signal.SIGTERM
        assert last_modes(terminal.raw) == RESTORED


def test_copies_go_to_the_clipboard_of_the_terminal(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add("make all")
    with Terminal(cwd=tmp_path) as terminal:
        terminal.shows("── 1 pending")
        terminal.send("c")
        terminal.shows("command of 1 copied · 8 B")
        assert f"\x1b]52;c;{b64encode(b'make all').decode()}\x07".encode() in terminal.raw


def test_the_mouse_is_asked_for_and_given_back(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add_many(engine.new_job(f"make {i}") for i in range(1, 9))
    with Terminal(cwd=tmp_path) as terminal:
        terminal.shows("── 1 pending")
        terminal.send("m")
        terminal.shows("mouse on")
        assert b"\x1b[?1000h" in terminal.raw
        assert b"\x1b[?1003h" not in terminal.raw, "motion costs more than it is worth"
        terminal.send("\x1b[<0;5;6M\x1b[<0;5;6m")  # a click on the third row
        terminal.shows("── 3 pending")
        terminal.send("m")
        terminal.shows("mouse off")
        assert re.findall(rb"\x1b\[\?1000([hl])", terminal.raw)[-1] == b"l"


def run(directory: Path, command: str, **policy: Unpack[Policy]) -> JobState:
    """Make a database there and run a command in it; how that ended."""
    with open_engine(directory / "queue.db", create=True) as engine:
        job = engine.add(command, **policy)
        engine.start_pool()
        try:
            return engine.wait(job.id)[0].state
        finally:
            engine.stop_pool(now=True)


def test_the_pager_gets_cleaned_text_and_the_screen_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\ncat $1 > {tmp_path}/read; stat -c %a $1 >> {tmp_path}/read\n")
    pager.chmod(0o700)
    run(tmp_path, "printf '\\033[31mred\\033[0m\\nplain\\n'")
    with Terminal(cwd=tmp_path, env={"PAGER": str(pager)}) as terminal:
        terminal.send("4")
        terminal.shows("── 1 completed")
        terminal.send("O")
        terminal.until((tmp_path / "read").exists, "no pager")
        terminal.clear()
        terminal.send("\x0c")
        terminal.shows("4 Finished 1", "plain")
        terminal.send("q")
        terminal.shows("1 Pending 0")
    assert (tmp_path / "read").read_text() == "red\nplain\n600\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_pager_and_then_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pager = tmp_path / "pager"
    pager.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 471\n")
    pager.chmod(0o700)
    run(tmp_path, "echo hello")
    with Terminal(cwd=tmp_path, env={"PAGER": str(pager)}) as terminal:
        terminal.send("4")
        terminal.shows("── 1 completed")
        terminal.send("O")
        terminal.until((tmp_path / "pid").exists, "no pager")
        pid = int(until(lambda: (tmp_path / "pid").read_text().strip()))
        terminal.process.send_signal(number)
        assert terminal.exit_code() == 128 + number
        assert not Path(f"/proc/{pid}").exists()


def test_a_signal_ends_a_program_that_is_just_being_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = subprocess.Popen

    def start_and_be_signalled(*args: Any, **options: Any) -> subprocess.Popen[bytes]:
        program = start(*args, **options)
        os.kill(os.getpid(), signal.SIGTERM)
        return program

    app: Any = SimpleNamespace(suspend=nullcontext)
    before = signal.signal(signal.SIGTERM, lambda *_: None)  # as an event loop does
    try:
        monkeypatch.setattr("subprocess.Popen", start_and_be_signalled)
        assert run_outside(app, ["sleep", "471"]) == f"sleep ended with {-signal.SIGTERM}"
        assert signal.getsignal(signal.SIGTERM).__name__ == "<lambda>"  # type: ignore[union-attr]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_command_of_several_lines_is_edited_in_the_editor_and_requeued(tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/hello/goodbye/ $1\n")
    editor.chmod(0o700)
    assert run(tmp_path, "echo hello\nexit 1", max_retries=0) is JobState.DEAD
    with open_engine(tmp_path / "queue.db") as engine:
        with Terminal(cwd=tmp_path, env={"EDITOR": str(editor), "VISUAL": ""}) as terminal:
            terminal.send("3")
            terminal.shows("── 1 dead")
            terminal.send("e")
            terminal.until(lambda: engine.get(1).state is JobState.PENDING, "still dead")
            terminal.shows("edited", "1 Pending 1")
        assert engine.get(1).command == "echo goodbye\nexit 1"


def test_a_line_is_run_and_what_it_prints_is_shown(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add_many(engine.new_job(f"make {i}") for i in range(1, 4))
        with Terminal(cwd=tmp_path) as terminal:
            terminal.shows("── 1 pending")
            terminal.send(":")
            terminal.shows(": queuectl")
            terminal.send("cancel 2\r")
            terminal.shows("1 Pending 2")
            assert engine.get(2).state == "cancelled"
            terminal.send(":")
            terminal.shows(": queuectl")
            terminal.send("list\r")
            terminal.shows("── queuectl list", "make 1", "Esc closes")


def test_with_ascii_borders_and_marks_are_ascii(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add("make all")
    with Terminal("--ascii", cwd=tmp_path) as terminal:
        terminal.shows(" 1 Pending 1 ----", "make all", "? help")
        terminal.send("?")
        terminal.shows("-- Keys")
        assert terminal.text.isascii()


def test_for_reading_only_nothing_can_be_changed(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add("make all")
        with Terminal("--read-only", cwd=tmp_path) as terminal:
            terminal.shows("READ-ONLY", "make all")
            terminal.send("xyady+")
            terminal.quiet()
            assert "requeue" not in terminal.text
            terminal.send("q")
            assert terminal.exit_code() == 0
        assert engine.get(1).state == "pending"
        assert engine.pools() == []


def test_several_pasted_lines_are_several_jobs_after_a_question(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        with Terminal(cwd=tmp_path) as terminal:
            terminal.shows("a adds a job")
            terminal.send("a")
            terminal.shows("Add a job")
            terminal.send("\x1b[200~make one\n\nmake two\nmake three\n\x1b[201~y")
            terminal.shows("add 3 jobs, one for each line? y/N")
            terminal.quiet()
            assert engine.counts().stored == {}, "what came with the paste is no answer"
            terminal.send("y")
            terminal.shows("added as 1 to 3")
        assert [job.command for job in engine.jobs()] == ["make one", "make two", "make three"]


def test_what_is_pasted_is_no_series_of_commands_whatever_is_in_it(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add("make all")
        with Terminal(cwd=tmp_path) as terminal:
            terminal.shows("make all")
            terminal.send("\x1b[200~ls \x1b[31ma q rest of it that is long enough to pass\x1b[201~")
            terminal.quiet()
            assert "Add a job" not in terminal.text
            terminal.send("a")
            terminal.shows("Add a job")
            terminal.send("\x1b[200~ls \x1b[31mred\x1b[0m\x1b[201~")
            terminal.shows("ls [31mred[0m")
            terminal.send("\r")
            terminal.shows("added as 2")
        assert engine.get(2).command == "ls [31mred[0m"


def test_a_database_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_text("no database " * 500)
    with Terminal(cwd=tmp_path) as terminal:
        assert terminal.exit_code() == 1
        assert terminal.raw.startswith(b"queuectl-tui: ")
        assert terminal.raw.count(b"\n") == 1


def test_a_wrong_option_is_one_line(tmp_path: Path) -> None:
    with Terminal("--bogus\x1b[7m", cwd=tmp_path) as terminal:
        assert terminal.exit_code() == 2
        assert b"unrecognized arguments: --bogus" in terminal.raw
        assert terminal.raw.endswith(b"; try 'queuectl-tui --help'\r\n")
        assert terminal.raw.count(b"\n") == 1
        assert b"\x1b[7m" not in terminal.raw


def test_a_crash_is_one_line_and_a_private_log(tmp_path: Path) -> None:
    open_engine(tmp_path / "queue.db", create=True).close()
    start = (
        "from queuectl_tui.desk import Desk; Desk.adopt = lambda *_: 1 // 0;"
        "from queuectl_tui.app import main; main()"
    )
    with Terminal(cwd=tmp_path, program=["-c", start]) as terminal:
        assert terminal.exit_code() == 70
        assert last_modes(terminal.raw) == RESTORED
        after = terminal.raw.split(b"\x1b[?1049l")[-1].decode()
    log = tmp_path / ".local/state/queuectl/tui-crash.log"
    assert "crashed: ZeroDivisionError" in after
    assert "ZeroDivisionError" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def _state_of(pid: int) -> str:
    return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0]
