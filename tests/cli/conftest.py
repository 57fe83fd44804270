"""A queue in a directory of its own, and the program that works on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl_engine.engine import Engine, open_engine
from queuectl_engine.repository import create_database, open_repository
from tests.cli.program import Program
from tests.repository.driver import Driver


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
    """The same queue, opened in this process."""
    with open_engine(str(queuectl.directory / "queue.db")) as opened:
        yield opened


@pytest.fixture
def drive(queuectl: Program) -> Iterator[Driver]:
    """The same queue in the hands of a worker that does what the test says."""
    with closing(open_repository(str(queuectl.directory / "queue.db"))) as repo:
        yield Driver(repo)
