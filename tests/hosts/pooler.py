"""pgbouncer before a server: each transaction may be on another session, and it can speak TLS."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.postgres import Server, server_user
from tests.waiting import until

_PROGRAM: Final = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
needs_pgbouncer = pytest.mark.skipif(_PROGRAM is None, reason="pgbouncer is not installed")


@contextmanager
def pooler(server: Server, **settings: str) -> Iterator[int]:
    """One in transaction mode; its port on 127.0.0.1. Settings may name files beside the server."""
    assert _PROGRAM is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    values = {
        "listen_addr": "127.0.0.1",
        "listen_port": str(port),
        "unix_socket_dir": "",
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": "4",
        **settings,
    }
    directory = server.directory
    config = directory / f"{port}.ini"
    lines = (f"{name} = {value}" for name, value in values.items())
    everything = f"* = host={server.directory} port={server.port} user=postgres"
    config.write_text("\n".join(["[databases]", everything, "[pgbouncer]", *lines, ""]))
    with (directory / f"{port}.log").open("wb") as log:
        process = subprocess.Popen(
            [_PROGRAM, config.name],
            user=server_user(),  # it refuses root, too
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: _listens(process, port, directory / f"{port}.log"))
        yield port
    finally:
        process.kill()
        process.wait(20)


def _listens(process: subprocess.Popen[bytes], port: int, log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0
