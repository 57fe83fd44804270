"""Serving metrics over HTTP: one thread of a supervisor, with a database connection of its own.

One request at a time, and a slow reader is cut off: nobody who reads metrics can slow the pool.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socket import AF_INET, AF_INET6
from threading import Thread
from typing import Final

from queuectl_engine.errors import PoolRefused, QueuectlError
from queuectl_engine.exposition import CONTENT_TYPE, openmetrics
from queuectl_engine.pool.census import census
from queuectl_engine.repository import open_repository

_PATIENCE: Final = 5.0  # seconds for a reader to send its request and to take the answer
_LOCK_PATIENCE: Final = 1.0
_LOOK_EVERY: Final = 0.1


class MetricsServer:
    """Bound when made, so that a start fails early; answers from `start` on until `close`."""

    def __init__(self, address: tuple[str, int], db: str, *, allow_owner: bool = False) -> None:
        """Raises PoolRefused when the address cannot be had."""
        family = AF_INET6 if ":" in address[0] else AF_INET
        kind = type("_Server", (_Server,), {"address_family": family})
        try:
            self._server: _Server = kind(address, _Handler)
        except OSError as error:
            host, port = address
            raise PoolRefused(
                f"cannot serve metrics at {host}:{port}: {error.strerror}; take another port"
            ) from error
        self._server.db = db
        self._server.allow_owner = allow_owner

    def start(self) -> str:
        """Answer from now on; where, as HOST:PORT."""
        Thread(target=self._serve, name="metrics", daemon=True).start()
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def close(self) -> None:
        """Free the address as soon as nobody is being answered; returns at once."""
        Thread(target=self._server.shutdown, name="metrics end", daemon=True).start()

    def _serve(self) -> None:
        with self._server:
            self._server.serve_forever(_LOOK_EVERY)


class _Server(HTTPServer):
    db = ""
    allow_owner = False


class _Handler(BaseHTTPRequestHandler):
    timeout = _PATIENCE
    server: _Server

    def do_GET(self) -> None:
        """Answer /metrics, and nothing else."""
        if self.path.partition("?")[0] != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"see /metrics\n")
            return
        try:
            page = _page(self.server.db, allow_owner=self.server.allow_owner)
        except QueuectlError as error:
            self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "text/plain", f"{error}\n".encode())
        else:
            self._answer(HTTPStatus.OK, CONTENT_TYPE, page)

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """The pool's log is about jobs."""


def _page(db: str, *, allow_owner: bool) -> bytes:
    opened = open_repository(db, timeout=_LOCK_PATIENCE, read_only=True, allow_owner=allow_owner)
    with closing(opened) as repository:
        queues, metrics, pools = repository.queues(), repository.metrics(), census(repository)
    return openmetrics(queues, metrics, pools, datetime.now(UTC))
