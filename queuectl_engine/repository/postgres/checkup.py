"""What `doctor` finds about a queue on a server: what it promises, whether its counts are so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Final

from queuectl_engine.errors import QueuectlError
from queuectl_engine.keeping import Finding, Level
from queuectl_engine.repository.postgres import schema
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.safe_text import safe_text

_SERVER: Final = """
    SELECT current_setting('server_version'), pg_is_in_recovery(), current_setting('fsync'),
           current_setting('full_page_writes'), current_setting('synchronous_commit'),
           current_setting('synchronous_standby_names'),
           coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
           inet_server_addr() IS NULL
"""
_STANDBYS: Final = "SELECT count(*) FROM pg_stat_replication"
_WRONG: Final = """
    SELECT count(*) FROM (
      SELECT state, queue, count(*) AS n FROM job GROUP BY state, queue) AS so
      FULL JOIN counter USING (state, queue) WHERE so.n IS DISTINCT FROM counter.n
"""
# What was counted meanwhile would be counted twice: nobody changes a job while this runs.
_RECOUNT: Final = """
    LOCK TABLE job IN SHARE MODE;
    DELETE FROM counter_delta; DELETE FROM counter_sum;
    INSERT INTO counter_sum SELECT state, queue, count(*) FROM job GROUP BY state, queue;
"""


def examine(url: str, *, quick: bool, recount: bool) -> Iterator[Finding]:
    """Each finding as it is found; `quick` leaves out what reads all jobs. Raises nothing."""
    try:
        db = Connection(url, timeout=5.0)
    except QueuectlError as error:
        yield Finding("format", Level.BAD, str(error))
        return
    with closing(db):
        for check in (_format, _server, _replication):
            try:
                yield from check(db)
            except QueuectlError as error:
                yield Finding(check.__name__.strip("_"), Level.BAD, str(error))
        try:
            if not quick:
                yield from _counts(db, recount=recount)
        except QueuectlError as error:
            yield Finding("counts", Level.BAD, str(error))


def _format(db: Connection) -> Iterator[Finding]:
    version = db.look(lambda db: db.value("SELECT version FROM meta"))
    level = Level.OK if version == schema.VERSION else Level.NOTE
    yield Finding("format", level, f"{version}, this program knows {schema.VERSION}")
    if db.pooled:
        yield Finding("pooler", Level.OK, "a pooler stands between; nothing is kept in a session")


def _server(db: Connection) -> Iterator[Finding]:
    row = db.look(lambda db: db.run(_SERVER))[0]
    version, standby, fsync, pages, _, _, encrypted, socket = row
    yield Finding("server", Level.OK, f"PostgreSQL {safe_text(version)}")
    if standby:
        yield Finding("server", Level.BAD, "it is a standby, which only reads; name the primary")
    if fsync != "on" or pages != "on":
        why = "fsync or full_page_writes is off: a power cut there can lose or damage everything"
        yield Finding("durability", Level.BAD, why)
    if not encrypted and not socket:
        yield Finding("encryption", Level.NOTE, "the connection is not encrypted; see sslmode")


def _replication(db: Connection) -> Iterator[Finding]:
    row = db.look(lambda db: db.run(_SERVER))[0]
    names = row[5]
    standbys = db.look(lambda db: int(db.value(_STANDBYS)))
    if names:
        said = f"synchronous ({safe_text(names)}): what was acknowledged survives a failover"
        yield Finding("replication", Level.OK, said)
    elif standbys:
        said = (
            "asynchronous: a failover may forget the last acknowledged jobs, and run again what"
            " ended just before it; set synchronous_standby_names to rule that out"
        )
        yield Finding("replication", Level.NOTE, said)
    else:
        said = "no standby: what was acknowledged is on this server's disk, and there alone"
        yield Finding("replication", Level.OK, said)


def _counts(db: Connection, *, recount: bool) -> Iterator[Finding]:
    wrong = db.read(lambda db: int(db.value(_WRONG)))
    if not wrong:
        yield Finding("counts", Level.OK, "as many as there are jobs")
    elif recount:
        db.write(lambda db: db.run_script(_RECOUNT))
        yield Finding("counts", Level.NOTE, f"{wrong} were wrong and are right now")
    else:
        yield Finding("counts", Level.BAD, f"{wrong} are wrong; run: queuectl doctor --recount")
