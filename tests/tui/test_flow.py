"""The main job by hand, keyboard only: in a pseudo-terminal, and in tmux."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from queuectl_engine import Engine, JobState, open_engine
from tests.pools import stop_pools
from tests.tui.pty_program import ROOT, Terminal, environment
from tests.waiting import until

COUNTING: Final = "for i in 1 2 3; do echo $i; sleep 1; done"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An empty queue; whatever pool was started on it is gone afterwards."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        yield engine
        stop_pools(engine)


class Tmux:
    """The same words as `Terminal`, in a tmux server of our own."""

    def __init__(self, directory: Path) -> None:
        self._command = ["tmux", "-L", f"queuectl-{directory.name}", "-f", "/dev/null"]
        self._env = environment(directory, {})
        program = f"{sys.executable} -m queuectl_tui; echo exit $?; exec sleep 600"
        self._run("new-session", "-d", "-x", "80", "-y", "24", "-c", str(directory), program)

    def send(self, keys: str) -> None:
        named = {"\r": "Enter", "\x1b": "Escape"}
        self._run("send-keys", *([named[keys]] if keys in named else ["-l", keys]))

    def shows(self, *words: str) -> None:
        try:
            until(lambda: all(word in self.text for word in words), timeout=30.0)
        except AssertionError:
            raise AssertionError(f"no {words} in\n{self.text}") from None

    @property
    def text(self) -> str:
        return self._run("capture-pane", "-p")

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    def close(self) -> None:
        self._run("kill-server")

    def _run(self, *arguments: str) -> str:
        command = [*self._command, *arguments]
        return subprocess.run(
            command, env=self._env, check=True, text=True, capture_output=True
        ).stdout


def the_main_job(tui: Terminal | Tmux, engine: Engine) -> None:
    """Start a pool, add a job, watch it run and complete; one dies and is brought back."""
    tui.shows("1 Pending 0", "no pool", "a adds a job")
    tui.send("+")
    tui.shows("pool 1/1")

    tui.send("a")
    tui.shows("Add a job")
    tui.send(COUNTING)
    tui.shows(f"command   {COUNTING}")
    tui.send("\r")
    tui.shows("── 1 processing", "2 Processing 1", "out │ 1")
    assert "out │ 3" not in tui.text, "output is live"
    tui.shows("── 1 completed", "out │ 1", "out │ 2", "out │ 3", "2 Processing 0")
    assert engine.get(1).state == "completed"

    mended = Path(engine.database.location).with_name("mended")
    dying = engine.add(f"echo cannot >&2; test -e {mended}", max_retries=0)
    tui.shows("3 Dead 1")
    tui.send("3")
    tui.shows(f"── {dying.id} dead · exit 1", "err │ cannot", "exit 1    echo: cannot")
    mended.touch()
    tui.send("r")
    tui.shows("3 Dead 0", f"── {dying.id} completed")
    assert [attempt.result for attempt in engine.attempts(dying.id)] == ["failed", "completed"]

    tui.send("q")


def test_the_main_job_in_a_terminal(engine: Engine, tmp_path: Path) -> None:
    with Terminal(cwd=tmp_path) as terminal:
        the_main_job(terminal, engine)
        assert terminal.exit_code() == 0
    assert engine.find_pool().running == 1, "leaving stops nothing"
    assert engine.stop_pool(timeout=20).name == "default"
    until(lambda: not engine.pools())


@pytest.mark.tmux
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_the_main_job_in_tmux(engine: Engine, tmp_path: Path) -> None:
    tmux = Tmux(tmp_path)
    try:
        the_main_job(tmux, engine)
        tmux.shows("exit 0")
        assert engine.find_pool().running == 1
    finally:
        tmux.close()


@pytest.mark.tmux
@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_long_session_of_triage_with_resizes(engine: Engine, tmp_path: Path) -> None:
    """Jobs die of two causes; one is requeued, undone, filtered, edited; the window changes."""
    for number in range(30):
        engine.add(f"cat {tmp_path}/part-{number}", max_retries=0)
    engine.add("kill -9 $$", max_retries=0, queue="video")
    engine.start_pool(workers=2)
    until(lambda: engine.counts().of(JobState.DEAD) == 31)
    engine.stop_pool(timeout=20)
    tmux = Tmux(tmp_path)
    try:
        tmux.shows("3 Dead 31", "2 causes")
        tmux.send("F")
        tmux.shows("Causes of 31 dead jobs", "cat", "killed 9")
        tmux.send("G")
        tmux.send("g")
        causes = engine.causes()
        [at] = [number for number, cause in enumerate(causes) if cause.program == "cat"]
        cat = causes[at]
        for _ in range(at):
            tmux.send("j")
        tmux.shows(f"{cat.example} dead")
        tmux.send("r")
        tmux.shows("requeue 30 dead jobs that ended with 'cat", "y is Yes")
        tmux.resize(160, 50)
        tmux.shows("requeue 30 dead jobs that ended with 'cat · exit 1", "0 processing")
        tmux.send("y")
        tmux.shows("30 requeued", f"queuectl requeue --cause {cat.id} --yes", "30 pending")
        assert engine.counts().of(JobState.PENDING) == 30
        tmux.send("u")
        tmux.shows("30 jobs taken back", "31 dead")

        tmux.resize(60, 16)
        tmux.send("3")
        tmux.shows("3 Dead 31")
        tmux.send("/")
        tmux.send("queue:video")
        tmux.shows("/ queue:video")
        tmux.send("\r")
        tmux.shows("3 Dead 1 ", "filter: queue:video")
        tmux.resize(100, 30)
        tmux.send("e")
        tmux.shows("Edit 31 and requeue")
        tmux.send(" || true")
        tmux.send("\r")
        tmux.shows("31 changed and requeued", "3 Dead 0")
        assert engine.get(31).command == "kill -9 $$ || true"
        tmux.send("\x1b")
        tmux.shows("3 Dead 30", "1 Pending 1")
        tmux.resize(50, 8)
        tmux.shows("3 Dead 30")
        tmux.resize(80, 24)
        tmux.shows("1 Pending 1", "3 Dead 30", "q quit")
        tmux.send("q")
        tmux.shows("exit 0")
    finally:
        tmux.close()
