"""Rows that others refer to by number: queues, contexts, causes. Made when they are first named."""

from __future__ import annotations

import hashlib
from typing import Final

from queuectl_engine.cause import Signature
from queuectl_engine.job import Context
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.rows import body_of

# Two that make the same row at once: the second one waits for the first's commit and finds it.
_ADD_QUEUE: Final = """
    INSERT INTO queue (name, paused) SELECT %s, new_queues_paused FROM meta
    ON CONFLICT DO NOTHING
"""
_ADD_CONTEXT: Final = """
    INSERT INTO context (digest, body) VALUES (%s, %s) ON CONFLICT DO NOTHING
"""
_ADD_CAUSE: Final = """
    INSERT INTO cause (digest, program, ended, line) VALUES (%s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""


def queue_id(db: Connection, name: str) -> int:
    """The queue's number; a queue is made when it is first named."""
    find = "SELECT id FROM queue WHERE name = %s"
    if (found := db.value(find, (name,))) is None:
        db.run(_ADD_QUEUE, (name,))
        found = db.value(find, (name,))
    return int(found)


def context_id(db: Connection, context: Context) -> int:
    """The number of a context, which is stored when it is new."""
    body = body_of(context)
    digest = _digest(body)
    find = "SELECT id FROM context WHERE digest = %s"
    if (found := db.value(find, (digest,))) is None:
        db.run(_ADD_CONTEXT, (digest, body))
        found = db.value(find, (digest,))
    return int(found)


def cause_id(db: Connection, signature: Signature | None) -> int | None:
    """The number of a cause of failures."""
    if signature is None:
        return None
    values = tuple(
        text.replace("\0", "\N{REPLACEMENT CHARACTER}")  # which text here cannot hold
        for text in (signature.program, signature.ended, signature.line)
    )
    digest = _digest("\0".join(values))
    find = "SELECT id FROM cause WHERE digest = %s"
    if (found := db.value(find, (digest,))) is None:
        db.run(_ADD_CAUSE, (digest, *values))
        found = db.value(find, (digest,))
    return int(found)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
