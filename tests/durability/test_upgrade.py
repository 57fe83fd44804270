"""Files of every earlier schema open, become the present one, and lose nothing on the way."""

from __future__ import annotations

import gzip
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import pytest

from queuectl_engine.job import State
from queuectl_engine.repository import open_repository
from queuectl_engine.repository.sqlite import schema

GOLDEN = Path(__file__).parent / "golden"
EARLIER = range(1, schema.VERSION)


def golden(version: int, path: Path) -> Path:
    """A copy of the file that the last program of that schema made."""
    path.write_bytes(gzip.decompress((GOLDEN / f"schema-{version}.db.gz").read_bytes()))
    path.chmod(0o600)
    return path


def look(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(apsw.Connection(str(path), apsw.SQLITE_OPEN_READONLY)) as db:
        return db.execute(sql).fetchall()


def tables(path: Path) -> set[tuple[Any, ...]]:
    """Every object of the schema, written in one way."""
    rows = look(path, "SELECT type, name, tbl_name, sql FROM sqlite_schema")
    return {(*row, " ".join(sql.split()) if sql else None) for *row, sql in rows}


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    path = tmp_path / "fresh.db"
    open_repository(str(path), create=True).close()
    return path


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_file_becomes_what_a_fresh_one_is(
    tmp_path: Path, fresh: Path, version: int
) -> None:
    path = golden(version, tmp_path / "queue.db")
    assert look(path, "PRAGMA user_version") == [(version,)]

    open_repository(str(path)).close()

    assert tables(path) == tables(fresh)
    for what in ("user_version", "application_id", "auto_vacuum", "journal_mode", "page_size"):
        assert look(path, f"PRAGMA {what}") == look(fresh, f"PRAGMA {what}")
    allowed = "SELECT min_reader, min_writer FROM meta"
    assert look(path, allowed) == look(fresh, allowed)
    assert look(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("version", EARLIER)
def test_an_earlier_file_keeps_every_row(tmp_path: Path, version: int) -> None:
    path = golden(version, tmp_path / "queue.db")
    names = [name for kind, name, *_ in tables(path) if kind == "table" and name != "meta"]
    columns = {
        name: ", ".join(column for _, column, *_ in look(path, f"PRAGMA table_info({name})"))
        for name in names
    }
    before = {name: look(path, f"SELECT {columns[name]} FROM {name}") for name in names}
    assert {row[2] for row in before["job"]} == set(State)

    open_repository(str(path)).close()

    after = {name: look(path, f"SELECT {columns[name]} FROM {name}") for name in names}
    assert after == before
