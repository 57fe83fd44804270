"""Moving a database from a file to a server: once, all of it, and so that both cannot be used.

The file is marked first: from then on nobody writes it, whatever has it open. Then the rows go
over, table by table, in batches; each batch is one transaction of the server, with how far it went.
So whatever ends the move, and at any moment, it goes on there when it is begun again. The server's
tables let nobody in until everything was counted on both sides.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from queuectl_engine.errors import BadInput, NotAQueue, StorageBusy, StorageError
from queuectl_engine.repository import holding, postgres
from queuectl_engine.repository.postgres import address, schema
from queuectl_engine.repository.postgres.connection import Connection as Server
from queuectl_engine.repository.postgres.upkeep import MOVING
from queuectl_engine.repository.rows import Row
from queuectl_engine.repository.sqlite import foreign, migrating, place
from queuectl_engine.repository.sqlite.connection import Connection as File
from queuectl_engine.repository.sqlite.migrating import MOVED
from queuectl_engine.safe_text import safe_text

Tell = Callable[[str, int], None]

_BATCH: Final = 2_000  # rows
_OUTPUT_BATCH: Final = 100  # of up to 64 KiB
_PATIENCE: Final = 30.0  # seconds for a lock, and for a server to come back
_STATEMENT: Final = 3_600.0
# Every table with its key, in an order in which a row comes after those that it names.
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "queue": ("id",),
    "context": ("id",),
    "cause": ("id",),
    "job": ("id",),
    "suspect": ("job",),
    "need": ("id",),
    "ended": ("id",),
    "loosened": ("mutex",),
    "attempt": ("job", "number"),
    "output": ("job", "number", "seq"),
    "event": ("id",),
    "schedule": ("id",),
    "hook": ("queue", "event"),
    "hook_due": ("id",),
    "happening": ("id",),
    "tally": ("queue", "kind", "bucket"),
    "origin": ("name",),
}
_RENAMED: Final = {"who": "user"}  # a word of the other language
_LEFT: Final = {("hook_due", "pool"), ("hook_due", "token")}  # who ran it does so no more
_DIGESTED: Final = {"context": ("body",), "cause": ("program", "ended", "line")}
_META: Final = ("new_queues_paused", "max_running", "keep_completed_ms")
_COLUMNS: Final = """
    SELECT column_name, data_type = 'boolean' FROM information_schema.columns
     WHERE table_schema = 'queuectl' AND table_name = %s ORDER BY ordinal_position
"""
_BOOK: Final = """
    CREATE TABLE IF NOT EXISTS moving (
      what text PRIMARY KEY, source text NOT NULL, upto text, n bigint NOT NULL, done boolean)
"""
_WRITE_DOWN: Final = """
    INSERT INTO moving VALUES (%(what)s, %(source)s, %(upto)s, %(n)s, %(done)s)
    ON CONFLICT (what) DO UPDATE
      SET upto = excluded.upto, n = moving.n + excluded.n, done = excluded.done
"""
_IN_STATES: Final = """
    SELECT queue.name, job.state, count(*) FROM job JOIN queue ON queue.id = job.queue
     GROUP BY queue.name, job.state
"""
_COUNTERS: Final = "SELECT queue.name, state, n FROM counter JOIN queue ON queue.id = queue"
_IDENTITIES: Final = """
    SELECT table_name FROM information_schema.columns
     WHERE table_schema = 'queuectl' AND column_name = 'id' AND is_identity = 'YES'
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move came to: how many rows of each table are there now."""

    to: str
    rows: dict[str, int]


def move(location: str, url: str, *, tell: Tell) -> Moved:
    """Move all of a file to a server; `tell` hears the table and how many of its rows are there.

    Goes on where an earlier move of the same file ended. Raises StorageBusy while a pool of the
    file runs, StorageError when jobs are still in processing or the counts differ, NotAQueue or
    BadInput for a server that holds anything else.
    """
    with closing(_open_file(location)) as file:
        _refuse_running(file)
        to = address.shown(url)
        source = str(file.value("SELECT uuid FROM meta"))
        with closing(Server(url, timeout=_PATIENCE, statement=_STATEMENT)) as server:
            if not _begin(server, source):
                _mark(file, to, done=True)
                return Moved(to, _rows(server))
            _mark(file, to, done=False)
            for table in _KEYS:
                _copy(file, server, source, table, tell)
            _check(file, server)
            server.write(_finish, source, _settings(file), _last_ids(file))
            _mark(file, to, done=True)
            return Moved(to, _rows(server))


def cancel(location: str, url: str) -> None:
    """Take back a move that was not finished: the file can be used again, the server is emptied.

    Raises BadInput when it was finished, or nothing was begun.
    """
    with closing(_open_file(location)) as file:
        source = str(file.value("SELECT uuid FROM meta"))
        with closing(Server(url, timeout=_PATIENCE, statement=_STATEMENT)) as server:
            server.write(_empty, source)
        with file.writing():
            migrating.unmark_moved(file)


# -- the file


def _open_file(location: str) -> File:
    path = place.canonical(location)
    place.check_place(path)
    file = File(path, timeout=_PATIENCE)
    try:
        if migrating.version_of(file) != MOVED:
            if refusal := migrating.prepare(file, datetime.now(UTC), "standard", look_only=False):
                raise NotAQueue(refusal)
            foreign.check(file)
            file.watch_min_writer(lambda: None)  # it is about to be that of a file nobody writes
    except BaseException:
        file.close()
        raise
    return file


def _refuse_running(file: File) -> None:
    where = safe_text(file.path)
    if pools := holding.living(Path(f"{file.path}.d")):
        name = file.value("SELECT name FROM pool WHERE directory = ?", (pools[0],)) or pools[0]
        raise StorageBusy(f"pool {safe_text(name)} runs on {where}; 'queuectl stop' ends it")
    if left := file.value("SELECT count(*) FROM job WHERE state = 'processing'"):
        raise StorageError(
            f"{left} jobs of {where} are in processing, left by a pool that died; "
            "'queuectl worker --drain' takes them over"
        )


def _mark(file: File, to: str, *, done: bool) -> None:
    """From now on nobody writes the file; it says where its jobs are."""
    with file.writing():
        _refuse_running(file)
        migrating.mark_moved(file, to, done=done)


def _settings(file: File) -> tuple[Any, ...]:
    return file.run(f"SELECT {', '.join(_META)}, upto FROM meta, tallied")[0]


def _last_ids(file: File) -> dict[str, int]:
    return dict(file.run("SELECT name, seq FROM sqlite_sequence"))


# -- the server


def _begin(server: Server, source: str) -> bool:
    """Make the tables, and keep all others out; False when this move was finished before."""
    exists = server.look(lambda db: db.value("SELECT to_regclass('queuectl.meta') IS NOT NULL"))
    if not exists:
        postgres.create_in(server)
    return server.write(_take_in_hand, source)


def _take_in_hand(db: Server, source: str) -> bool:
    begun = bool(db.value("SELECT to_regclass('queuectl.moving') IS NOT NULL"))
    if begun:
        theirs, done = db.run("SELECT source, done FROM moving WHERE what = 'all'")[0]
        if theirs != source:
            raise BadInput(f"{db.where} holds the jobs of another file; name another database")
        return not done
    version = db.value("SELECT version FROM meta")
    if version != schema.VERSION:
        raise NotAQueue(f"{db.where} has another format ({version}); run 'queuectl initdb' there")
    if db.value("SELECT EXISTS (SELECT 1 FROM job) OR EXISTS (SELECT 1 FROM pool)"):
        raise BadInput(f"{db.where} is in use already; name an empty database")
    db.run(_BOOK)
    db.run("TRUNCATE queue, context, cause, schedule, hook, origin, happening, happened, tally")
    db.run("UPDATE meta SET min_reader = %s, min_writer = %s", (MOVING, MOVING))
    db.run(_WRITE_DOWN, {"what": "all", "source": source, "upto": None, "n": 0, "done": False})
    return True


def _copy(file: File, server: Server, source: str, table: str, tell: Tell) -> None:
    columns = server.look(_columns, table, file)
    state = server.look(_state, table)
    upto, total, done = state
    key, size = _KEYS[table], _OUTPUT_BATCH if table == "output" else _BATCH
    wanted = ", ".join(f'"{_RENAMED.get(name, name)}"' for name, _ in columns)
    while not done:
        after = ""
        if upto is not None:
            after = f"WHERE ({', '.join(key)}) > ({', '.join('?' * len(key))})"
        order = ", ".join(key)
        sql = f"SELECT {order}, {wanted} FROM {table} {after} ORDER BY {order} LIMIT {size}"
        found = file.run(sql, upto or ())
        upto = list(found[-1][: len(key)]) if found else upto
        done = len(found) < size
        rows = [_as_there(table, columns, row[len(key) :]) for row in found]
        server.write(_take, source, table, [name for name, _ in columns], rows, upto, done)
        total += len(rows)
        tell(table, total)


def _columns(db: Server, table: str, file: File) -> list[tuple[str, bool]]:
    """What both have, and whether it is a boolean there. Nothing of the file may be left behind."""
    here = {name for _, name, *_ in file.run(f"PRAGMA table_info({table})")}
    there = [(str(name), bool(boolean)) for name, boolean in db.run(_COLUMNS, (table,))]
    taken = [
        (name, boolean)
        for name, boolean in there
        if _RENAMED.get(name, name) in here and (table, name) not in _LEFT
    ]
    names = {_RENAMED.get(name, name) for name, _ in taken} | {c for t, c in _LEFT if t == table}
    if missing := here - names:
        raise StorageError(f"the server has no place for {table}.{min(missing)}")
    return taken


def _state(db: Server, table: str) -> tuple[list[Any] | None, int, bool]:
    rows = db.run("SELECT upto, n, done FROM moving WHERE what = %s", (table,))
    if not rows:
        return None, 0, False
    upto, n, done = rows[0]
    return (None if upto is None else json.loads(upto)), n, done


def _as_there(table: str, columns: Sequence[tuple[str, bool]], row: Row) -> list[Any]:
    values = [
        bool(value) if boolean else _clean(value)
        for (_, boolean), value in zip(columns, row, strict=True)
    ]
    if table in _DIGESTED:
        named = dict(zip((name for name, _ in columns), values, strict=True))
        text = "\0".join(str(named[name]) for name in _DIGESTED[table])
        values.append(hashlib.sha256(text.encode()).digest())
    return values


def _clean(value: Any) -> Any:
    """Text in the server holds no NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def _take(
    db: Server,
    source: str,
    table: str,
    names: Sequence[str],
    rows: Sequence[Sequence[Any]],
    upto: list[Any] | None,
    done: bool,
) -> None:
    digest = ["digest"] if table in _DIGESTED else []
    if rows:
        db.copy_in(f"COPY {table} ({', '.join([*names, *digest])}) FROM STDIN", rows)
    told = None if upto is None else json.dumps(upto)
    db.run(
        _WRITE_DOWN,
        {"what": table, "source": source, "upto": told, "n": len(rows), "done": done},
    )


def _check(file: File, server: Server) -> None:
    """Raise StorageError unless both hold as much."""
    for table in _KEYS:
        count = f"SELECT count(*) FROM {table}"
        here, there = file.value(count), server.look(Server.value, count)
        if here != there:
            raise StorageError(f"{there} rows of {table} came over, of {here}; nothing is lost")
    here = sorted(file.run(_IN_STATES))
    for sql in (_IN_STATES, _COUNTERS):
        there = sorted(server.look(Server.run, sql))
        if here != there:
            raise StorageError(f"the jobs came over in other states: {there} for {here}")


def _finish(db: Server, source: str, settings: tuple[Any, ...], last_ids: dict[str, int]) -> None:
    """Ids go on where they were, and everybody may come in."""
    for (table,) in db.run(_IDENTITIES):
        last = max(last_ids.get(table, 0), db.value(f"SELECT coalesce(max(id), 0) FROM {table}"))
        sequence = db.value("SELECT pg_get_serial_sequence(%s, 'id')", (f"queuectl.{table}",))
        db.run("SELECT setval(%s, %s, %s)", (sequence, max(1, last), last > 0))
    last = max(last_ids.get("job", 0), db.value("SELECT coalesce(max(id), 0) FROM job"))
    db.run("SELECT setval('job_id', %s, %s)", (max(1, last), last > 0))
    paused, running, keep, tallied = settings
    db.run(
        """UPDATE meta SET min_reader = %s, min_writer = %s, new_queues_paused = %s,
                           max_running = %s, keep_completed_ms = %s""",
        (schema.MIN_READER, schema.MIN_WRITER, bool(paused), running, keep),
    )
    db.run("UPDATE tallied SET upto = %s", (tallied,))
    db.run("UPDATE moving SET done = true WHERE what = 'all' AND source = %s", (source,))


def _rows(server: Server) -> dict[str, int]:
    sql = "SELECT what, n FROM moving WHERE what <> 'all'"
    found: dict[str, int] = dict(server.look(Server.run, sql))
    return {table: found.get(table, 0) for table in _KEYS}


def _empty(db: Server, source: str) -> None:
    if db.value("SELECT to_regclass('queuectl.moving') IS NULL"):
        raise BadInput(f"no move to {db.where} was begun")
    theirs, done = db.run("SELECT source, done FROM moving WHERE what = 'all'")[0]
    if done or theirs != source:
        raise BadInput(f"what {db.where} holds is in use; it is not taken back")
    db.run(f"DROP SCHEMA {address.SCHEMA} CASCADE")
