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

from queuectl_engine.errors import StorageError
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.sqlite.failures import unbindable

Values = tuple[object, ...]  # of one job, in the order of COLUMNS

_OWN: Final = ("id", "nonce", "command", "argv")  # what copies have for themselves
_SHARED: Final = (
    "queue", "state", "priority", "run_at_ms", "max_retries", "timeout_ms", "allow_background",
    "created_ms", "updated_ms", "context", "key", "log_file", "labels", "retry_on", "no_retry_on",
    "schedule", "on_dead", "on_completed", "waits", "mutex",
)  # fmt: skip
COLUMNS: Final = (*_OWN, *_SHARED)
_ID, _NONCE, _COMMAND, _ARGV = map(COLUMNS.index, _OWN)
_KEY, _LABELS = (COLUMNS.index(name) for name in ("key", "labels"))
_FEW: Final = 8  # for fewer the preparations do not pay

_INSERT: Final = f"""
    INSERT INTO job ({", ".join(COLUMNS)}) VALUES ({", ".join("?" * len(COLUMNS))})
"""
_COPY: Final = f"""
    INSERT INTO job ({", ".join(COLUMNS)})
    SELECT {{id}}, :nonce + {{place}}, {{command}}, {{argv}},
           {", ".join(f":{name}" for name in _SHARED)}
      FROM {{copies}}(:copies) AS each
"""
_LINES: Final = {"copies": "carray", "place": "each.rowid", "command": "each.value", "argv": "NULL"}
_COPY_LINES: Final = _COPY.format(id=":id + each.rowid", **_LINES)
# Where nothing is stored behind the first, SQLite need not look whether each id is free.
_APPEND_LINES: Final = _COPY.format(id="NULL", **_LINES)
_COPY_ARGVS: Final = _COPY.format(
    id=":id + 1 + each.key",
    copies="json_each",
    place="1 + each.key",
    command="each.value ->> 0",
    argv="each.value ->> 1",
)
_LAST: Final = "SELECT max(id) FROM job"
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
            lines = tuple([str(row[_COMMAND]) for row in same[1:]])
            _copy(db, _COPY_LINES, same[0], _texts(lines), len(lines))
        else:
            both = [(row[_COMMAND], row[_ARGV]) for row in same[1:]]
            argvs = json.dumps(both, ensure_ascii=False)
            _copy(db, _COPY_ARGVS, same[0], argvs, len(same) - 1)


def insert_lines(db: Connection, first: Values, lines: Sequence[str]) -> None:
    """Store a job that runs under its shell, and behind it one like it for each of the lines.

    Its id must be the next one; theirs follow it. It must have neither key nor labels, and wait for
    nothing.
    """
    db.run(_INSERT, first)
    if lines:
        _copy(db, _APPEND_LINES, first, _texts(tuple(lines)), len(lines))
        number = first[_ID]
        assert isinstance(number, int)
        if db.value(_LAST) != number + len(lines):
            raise StorageError(
                "the database is damaged: its ids of jobs go beyond the last that it gave; "
                "run: queuectl doctor"
            )


def _shared(row: Values) -> tuple[bool, Values]:
    return row[_ARGV] is None, row[len(_OWN) :]


def _texts(lines: tuple[str, ...]) -> object:
    # SQLite reads them where Python has them, and would read one to its first NUL: no command has
    # any, as none could be run (`new_job`).
    try:
        return apsw.carray(lines)
    except UnicodeEncodeError as error:
        raise unbindable(error) from error


def _copy(db: Connection, sql: str, first: Values, copies: object, count: int) -> None:
    nonce = first[_NONCE]
    assert isinstance(nonce, int)
    values = dict(zip(COLUMNS, first, strict=True))
    own = {"id": values["id"], "nonce": nonce >> 1, "copies": copies}  # no sum is too large
    with db.copying():
        db.run(sql, {**own, **{name: values[name] for name in _SHARED}})
    db.run(_COUNT, (count, values["state"], values["queue"]))
