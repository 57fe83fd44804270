"""Hosts and a database that they share; nothing of them outlives a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queuectl_engine import Engine, open_engine
from tests.hosts.lab import Host, Lab
from tests.postgres import with_queue


class Shared:
    """A database with a queue, and its hosts."""

    def __init__(self, lab: Lab) -> None:
        """Makes the database."""
        self.lab = lab
        self.database = with_queue(lab.server)
        self.local = lab.server.url(self.database)

    @property
    def hosts(self) -> list[Host]:
        return self.lab.hosts

    def start_pool(self, host: Host, *options: str) -> None:
        """Start a pool there."""
        host.start_pool(self.lab.url(host, self.database), *options)


@contextmanager
def sharing(tmp_path: Path, hosts: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    """So many hosts and their server."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    lab = Lab(tmp_path, hosts=hosts)
    try:
        yield Shared(lab)
    finally:
        lab.remove()


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shared]:
    """Two hosts and their server."""
    with sharing(tmp_path, 2, monkeypatch) as shared:
        yield shared


@pytest.fixture
def engine(shared: Shared) -> Iterator[Engine]:
    """The database as people see it, beside the server."""
    with open_engine(shared.local) as engine:
        yield engine
