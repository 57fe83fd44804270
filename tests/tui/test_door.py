"""The way into a database that may vanish, and acts that must reach the one that is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl_engine import Database, StorageError
from queuectl_tui.door import Door


class Room:
    """What is behind the door."""

    def __init__(self, opened: list[Room]) -> None:
        self.closed = False
        opened.append(self)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "queue.db"
    path.touch()
    return path


@pytest.fixture
def opened() -> list[Room]:
    return []


@pytest.fixture
def door(path: Path, opened: list[Room]) -> Door[Room]:
    return Door(lambda: Room(opened), Database(str(path), "--db"))


def test_it_opens_once(door: Door[Room], opened: list[Room]) -> None:
    assert door.enter() is door.enter()
    assert len(opened) == 1


def test_a_file_that_is_gone_is_not_made_again(
    door: Door[Room], opened: list[Room], path: Path
) -> None:
    door.enter()
    path.unlink()
    for _ in range(2):
        with pytest.raises(StorageError, match=r"queue\.db is gone"):
            door.enter()
    assert [room.closed for room in opened] == [True]
    path.touch()
    assert not door.enter().closed


def test_another_file_under_the_same_name_is_opened_anew(
    door: Door[Room], opened: list[Room], path: Path
) -> None:
    first = door.enter()
    other = path.with_name("other")
    other.touch()
    os.replace(other, path)
    assert door.enter() is not first
    assert [room.closed for room in opened] == [True, False]


def test_a_url_is_no_file(opened: list[Room]) -> None:
    door = Door(lambda: Room(opened), Database("postgresql://host/queue", "--db"))
    assert door.enter() is door.enter()


def test_shut_twice(door: Door[Room], opened: list[Room]) -> None:
    door.enter()
    door.shut()
    door.shut()
    assert opened[0].closed
