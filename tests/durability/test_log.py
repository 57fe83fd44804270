"""The log begins anew while others write, and keeps nobody waiting for those who read."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import apsw
import pytest

from queuectl_engine.errors import StorageBusy
from queuectl_engine.job import State
from queuectl_engine.repository import create_database
from queuectl_engine.repository.sqlite import SqliteRepository, connection
from tests.durability.disk import Disk, Fault, Kind, in_use
from tests.samples import NOON, new


@dataclass
class Meanwhile(Fault):
    """Nothing fails, but others commit in the moment in which a checkpoint is nearly done."""

    commit: Callable[[], object] = field(kw_only=True)

    def check(self, kind: Kind, file: str) -> None:
        """Commit while the database file is synced, which only checkpoints do."""
        if kind is Kind.SYNC and not file:
            with suppress(StorageBusy):
                self.commit()


def test_a_log_begins_anew_though_others_never_stop_writing(
    ram: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CHECKPOINT_PAGES", 60)
    path = str(ram / "queue.db")
    create_database(path)
    with (
        in_use(Disk(path, recording=False)) as disk,
        closing(SqliteRepository.open(path, worker=True)) as repo,
        closing(SqliteRepository.open(path, timeout=0.0)) as other,
    ):
        disk.fault = Meanwhile(0, commit=lambda: other.add([new()], now=NOON))
        for _ in range(200):
            repo.add([new()], now=NOON)
        disk.fault = None

        assert os.stat(f"{path}-wal").st_size < 200 * 4096


def test_who_reads_what_was_before_keeps_no_writer_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_CHECKPOINT_PAGES", 1)
    path = str(tmp_path / "queue.db")
    create_database(path)
    with (
        closing(SqliteRepository.open(path, worker=True)) as repo,
        closing(apsw.Connection(path)) as reader,
    ):
        reader.execute("BEGIN; SELECT * FROM job").fetchall()
        for _ in range(3):
            repo.add([new()], now=NOON)
        repo.maintain(now=NOON)

        assert repo.counts().of(State.READY) == 3
