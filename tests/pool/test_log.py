"""The pool's log: whole lines, harmless text, a file that does not grow for ever."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from queuectl_engine.pool import log as log_module
from queuectl_engine.pool.log import Log


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("os.dup2", lambda *_: None)  # leave pytest its standard error
    return tmp_path / "log"


def test_a_line_has_its_fields_and_no_escape_sequence(path: Path) -> None:
    log = Log("text", path, to_file=True)
    log("started", job=42, command="echo '\x1b[2J' \n", why=None)
    (line,) = path.read_text().splitlines()
    assert line.split(maxsplit=2)[1:] == ["started", "job=42 command=\"echo '\u241b[2J' \u23ce\""]
    assert (path.stat().st_mode & 0o777) == 0o600


def test_json_is_for_machines(path: Path) -> None:
    Log("json", path, to_file=True)("failed", job=42, why="\x1b\udc80")
    event = json.loads(path.read_text())
    assert (event["event"], event["job"], event["why"]) == ("failed", 42, "\x1b\udc80")


def test_a_large_file_is_put_aside_and_all_writers_follow(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_LARGEST", 100)
    monkeypatch.setattr(log_module, "_LOOK_EVERY", 0.0)
    supervisor, worker = Log("text", path, to_file=True), Log("text", path, to_file=True)
    for number in range(10):
        worker("started", job=number)
    supervisor.rotate()
    worker("started", job=10)
    supervisor("stopping")
    old, new = Path(f"{path}.1").read_text(), path.read_text()
    assert [f"job={n}" in old for n in range(11)] == [True] * 10 + [False]
    assert [line.split()[1] for line in new.splitlines()] == ["started", "stopping"]


def test_not_every_line_looks_where_the_file_is(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_LOOK_EVERY", 60.0)
    log, looks = Log("text", path, to_file=True), 0
    stat = os.stat

    def counted(name: str) -> os.stat_result:
        nonlocal looks
        looks += 1
        return stat(name)

    monkeypatch.setattr("os.stat", counted)
    for number in range(100):
        log("started", job=number)
    monkeypatch.undo()
    assert (looks, len(path.read_text().splitlines())) == (1, 100)


def test_a_small_file_stays(path: Path) -> None:
    log = Log("text", path, to_file=True)
    log("started")
    log.rotate()
    assert not Path(f"{path}.1").exists()


def test_a_log_whose_directory_is_gone_goes_on_and_touches_no_other_file(
    path: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    log = Log("text", directory / "log", to_file=True)
    (directory / "log").unlink()
    directory.rmdir()
    log("cut off")
    with (tmp_path / "database").open("wb") as other:  # gets the lowest number that is free
        log("stopped")
        log("stopped")
        os.fstat(other.fileno())  # it was not closed for us
    assert (tmp_path / "database").read_bytes() == b""


def test_what_was_gathered_is_written_in_pieces_of_whole_lines_each_with_its_own_time(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[bytes] = []
    log = Log("json", path, to_file=True)
    monkeypatch.setattr(log, "_write", pieces.append)
    log.gather()
    for second in range(90):
        monkeypatch.setattr(time, "time", lambda second=second: float(second))
        log("started", job=second)
    assert pieces == []

    log.flush()

    assert len(pieces) > 1
    assert all(len(piece) <= 4096 and piece.endswith(b"\n") for piece in pieces)
    told = [json.loads(line) for line in b"".join(pieces).splitlines()]
    assert [(one["job"], one["at"][17:19]) for one in told] == [
        (second, f"{second % 60:02}") for second in range(90)
    ]


def test_no_more_is_gathered_than_some(path: Path) -> None:
    log = Log("text", path, to_file=True)
    log.gather()
    for job in range(250):
        log("started", job=job)

    assert len(path.read_text().splitlines()) == 200
