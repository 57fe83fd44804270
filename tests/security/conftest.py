"""A queue in a directory of its own, and the program that works on it, with pools that end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from queuectl_engine.engine import Engine, open_engine
from queuectl_engine.repository import create_database
from tests.cli.program import Program
from tests.pools import stop_pools


@pytest.fixture
def bare(tmp_path: Path) -> Program:
    """The program in an empty directory."""
    (tmp_path / "here").mkdir()
    (tmp_path / "home").mkdir()
    return Program(tmp_path / "here", tmp_path / "home")


@pytest.fixture
def queuectl(bare: Program) -> Program:
    """The program in a directory with an empty queue.db."""
    create_database(str(bare.directory / "queue.db"))
    return bare


@pytest.fixture
def engine(queuectl: Program) -> Iterator[Engine]:
    """The same queue, opened in this process; pools of it are stopped in the end."""
    with open_engine(str(queuectl.directory / "queue.db")) as opened:
        yield opened
        stop_pools(opened)
