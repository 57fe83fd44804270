"""Rows of new jobs, many at once: where they differ in their command only, one stands for all.

The first of a row of equal ones passes every CHECK, foreign key and trigger; the others are copies
of it, made by one statement without them and counted together. That is four times as fast as row by
row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import apsw

from queuectl_engine.repository.sqlite.connection import Connection

Values = tuple[object, ...]  # of one job, in the order of COLUMNS

_OWN: Final = ("id", "nonce", "command", "argv")  # what copies have for themselves
_SHARED: Final = (
    "queue", "state", "priority", "run_at_ms", "max_retries", "timeout_ms", "allow_background",
    "created_ms", "updated_ms", "context", "key", "log_file", "labels", "retry_on", "no_retry_on",
    "schedule", "on_dead", "on_completed", "waits", "mutex",
)  # fmt: skip
COLUMNS: Final = (*_OWN, *_SHARED)
_NONCE, _COMMAND, _ARGV = (COLUMNS.index(name) for name in ("nonce", "command", "argv"))
_KEY, _LABELS = (COLUMNS.index(name) for name in ("key", "labels"))
_FEW: Final = 8  # for fewer the preparations do not pay

_INSERT: Final = f"""
    INSERT INTO job ({", ".join(COLUMNS)}) VALUES ({", ".join("?" * len(COLUMNS))})
"""
_COPY: Final = f"""
    INSERT INTO job ({", ".join(COLUMNS)})
    SELECT :id + {{place}}, :nonce + {{place}}, {{command}}, {{argv}},
           {", ".join(f":{name}" for name in _SHARED)}
      FROM {{copies}}(:copies) AS each
"""
_COPY_LINES: Final = _COPY.format(
    copies="carray", place="each.rowid", command="each.value", argv="NULL"
)
_COPY_ARGVS: Final = _COPY.format(
    copies="json_each", place="1 + each.key", command="each.value ->> 0", argv="each.value ->> 1"
)
_COUNT: Final = "UPDATE counter SET n = n + ? WHERE state = ? AND queue = ?"


def insert(db: Connection, rows: Sequence[Values]) -> None:
    """Store jobs whose ids follow each other without a gap."""
    singles: list[Values] = []
    alike: list[list[Values]] = []
    for _, group in groupby(rows, key=_shared):
        same = list(group)
        many = len(same) > _FEW and same[0][_KEY] is None and same[0][_LABELS] is None
        singles += same[:1] if many else same
        if many:
            alike.append(same)
    db.run_many(_INSERT, singles)
    for same in alike:
        if same[0][_ARGV] is None:
            _copy_lines(db, same[0], tuple([str(row[_COMMAND]) for row in same[1:]]))
        else:
            argvs = json.dumps([(row[_COMMAND], row[_ARGV]) for row in same[1:]])
            _copy(db, _COPY_ARGVS, same[0], argvs, len(same) - 1)


def insert_lines(db: Connection, first: Values, lines: Sequence[str]) -> None:
    """Store a job that runs under its shell, and behind it one like it for each of the lines.

    It must have neither key nor labels, and wait for nothing.
    """
    db.run(_INSERT, first)
    if lines:
        _copy_lines(db, first, tuple(lines))


def _shared(row: Values) -> tuple[bool, Values]:
    return row[_ARGV] is None, row[len(_OWN) :]


def _copy_lines(db: Connection, first: Values, lines: tuple[str, ...]) -> None:
    # SQLite reads the texts where Python has them, and would read one to its first NUL: no command
    # has any, as none could be run (`new_job`).
    _copy(db, _COPY_LINES, first, apsw.carray(lines), len(lines))


def _copy(db: Connection, sql: str, first: Values, copies: object, count: int) -> None:
    nonce = first[_NONCE]
    assert isinstance(nonce, int)
    values = dict(zip(COLUMNS, first, strict=True))
    own = {"id": values["id"], "nonce": nonce >> 1, "copies": copies}  # no sum is too large
    with db.copying():
        db.run(sql, {**own, **{name: values[name] for name in _SHARED}})
    db.run(_COUNT, (count, values["state"], values["queue"]))
