"""A good citizen of the terminal: asks for one, restores it, writes little, survives its loss."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from queuectl_engine import open_engine
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


def test_nothing_is_written_while_nothing_changes(terminal: Terminal) -> None:
    assert terminal.bytes_in(1.5) == 0


def test_small_changes_write_few_bytes(tmp_path: Path) -> None:
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add_many(engine.new_job(f"make target-{i}") for i in range(500))
    with Terminal(cwd=tmp_path, width=120, height=43, env={"COLORTERM": "truecolor"}) as terminal:
        terminal.shows("1 Pending 500", "── 1 pending")
        terminal.quiet()
        assert len(terminal.raw) <= 20_000, "start"
        for keys, most in {"j": 2_400, "\x1b[6~": 7_500, "x": 600, "n": 600, "G": 7_500}.items():
            terminal.send(keys)
            written = terminal.written()
            assert 0 < written <= most, f"{keys!r} wrote {written} bytes"


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
            with Terminal(cwd=tmp_path, width=160, height=50) as terminal:
                terminal.shows("1 Pending 8", "3 Dead 8")
                for keys in ("j", "jjj", "jjj", "x", "n", "3", *"jjjjjjj", "\r", "q", *"d456?qqq"):
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


def test_a_database_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_text("no database " * 500)
    with Terminal(cwd=tmp_path) as terminal:
        assert terminal.exit_code() == 1
        assert terminal.raw.startswith(b"queuectl-tui: ")
        assert terminal.raw.count(b"\n") == 1


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
