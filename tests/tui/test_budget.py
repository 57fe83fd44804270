"""What the program writes to a terminal of 120 by 43, in bytes: most of it goes over slow links."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from queuectl_engine import Engine, open_engine
from tests.samples import HOUR
from tests.tui.pty_program import Terminal

TRUECOLOR = {"COLORTERM": "truecolor"}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """Five hundred jobs that wait, each with a command of its own."""
    with open_engine(tmp_path / "queue.db", create=True) as engine:
        engine.add_many(engine.new_job(f"make target-{i} --jobs 4") for i in range(500))
        yield engine


@pytest.fixture
def terminal(engine: Engine, tmp_path: Path) -> Iterator[Terminal]:
    with Terminal(cwd=tmp_path, width=120, height=43, env=TRUECOLOR) as terminal:
        terminal.shows("1 Pending 500", "── 1 pending", "q quit")
        terminal.quiet()
        yield terminal


def test_start(terminal: Terminal) -> None:
    assert len(terminal.raw) <= 20_000


def test_at_rest_nothing_is_written(terminal: Terminal) -> None:
    assert terminal.bytes_in(2.0) == 0


def test_a_cursor_move(terminal: Terminal) -> None:
    """The table at once, the detail when the cursor rests: more moves write no more details."""
    terminal.send("j")
    one = terminal.written()
    terminal.send("jjjjjjjjjjj")
    eleven = terminal.written()
    assert (eleven - one) / 10 <= 400, "in the table"
    assert one - 400 <= 2_000, "in the detail"


@pytest.mark.parametrize("keys", ["\x1b[6~", "G", "2", "3"])
def test_a_page(terminal: Terminal, keys: str) -> None:
    terminal.send(keys)
    assert 0 < terminal.written() <= 7_500


@pytest.mark.parametrize(
    ("keys", "answer"), [("x", "n"), ("P", "n"), ("z", "\x1b"), (":", "\x1b"), ("/", "\x1b")]
)
def test_a_question_and_its_end(terminal: Terminal, keys: str, answer: str) -> None:
    terminal.send(keys)
    assert 0 < terminal.written() <= 600
    terminal.send(answer)
    assert 0 < terminal.written() <= 600, "the keys are shown again"


def test_five_rows_that_change(engine: Engine, terminal: Terminal) -> None:
    """With the header and the title."""
    for job in range(3, 8):
        engine.edit(job, queue="mail")
    engine.add("later", run_at=datetime.now(UTC) + HOUR)
    assert 0 < terminal.written() <= 2_000
    assert "1 scheduled" in terminal.text
    assert terminal.text.count(" mail ") == 5
