"""The screen keeps its picture while the server is away, says so, and goes on when it is back."""

from __future__ import annotations

import signal
from pathlib import Path

from queuectl_engine import open_engine
from tests.postgres import running_server, with_queue
from tests.tui.pty_program import Terminal


def test_a_lost_server_keeps_the_last_picture_and_comes_back(tmp_path: Path) -> None:
    with running_server() as server:
        url = server.url(with_queue(server))
        with open_engine(url, timeout=30.0) as engine:
            engine.add("make all")
            with Terminal("--db", url, cwd=tmp_path, width=120) as terminal:
                terminal.shows("LIVE", "1 Pending 1", "make all")

                server.stop(signal.SIGQUIT)
                terminal.shows("STALE", "cannot reach", "1 Pending 1", "make all")
                terminal.send("?")
                terminal.shows("Esc")  # the screen is alive
                terminal.send("\x1b")

                server.start()
                terminal.shows("LIVE", "1 Pending 1", "make all")
                engine.add("more")
                terminal.shows("1 Pending 2", "more")
