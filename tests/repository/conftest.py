"""Every database that keeps the promise of `JobRepository` is one more parameter here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from queuectl_engine.repository import open_repository
from queuectl_engine.repository.postgres import PostgresRepository
from queuectl_engine.repository.protocol import JobRepository
from tests.postgres import cluster, drop_queues
from tests.repository.driver import Driver, OpenRepo


def sqlite(directory: Path) -> OpenRepo:
    """Connections to one new SQLite file."""
    return lambda: open_repository(str(directory / "queue.db"), create=True, timeout=20.0)


def postgres(directory: Path) -> OpenRepo:
    """Connections to one new database of the session's server."""
    url = cluster().queue()
    return lambda: PostgresRepository.open(url, timeout=20.0)


STORES: dict[str, Callable[[Path], OpenRepo]] = {"sqlite": sqlite, "postgres": postgres}


@pytest.fixture(autouse=True)
def _databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Databases on the server last for a test, and what their pools keep here lies with it."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    drop_queues()


@pytest.fixture(params=STORES)
def open_repo(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenRepo]:
    """Opens further connections to the test's one database; all are closed after the test."""
    connect = STORES[request.param](tmp_path)
    with ExitStack() as opened:
        yield lambda: opened.enter_context(closing(connect()))


@pytest.fixture
def repo(open_repo: OpenRepo) -> JobRepository:
    """A connection to an empty database."""
    return open_repo()


@pytest.fixture
def drive(repo: JobRepository) -> Driver:
    """That connection in the hands of people and of one worker."""
    return Driver(repo)
