"""Results that the database cannot take: a worker leaves them in a file, a supervisor settles them.

A line of JSON for each ended attempt, in the directory of its pool. Settled with the usual fence:
the token must still hold the job, and the database must be the one that gave it out.
"""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from queuectl_engine import lifecycle
from queuectl_engine.cause import Signature
from queuectl_engine.job import Chunk, Piece, Stream
from queuectl_engine.lifecycle import Ending, Outcome
from queuectl_engine.repository.protocol import AttemptId, Ended, JobRepository, Output, Usage

# So much is taken from the disk when a worker starts: a full disk is one of the reasons to need it.
_RESERVE: Final = 64 * 1024
_NAME: Final = "worker-{}.receipts"
_MICROSECOND: Final = timedelta(microseconds=1)
_KINDS: Final[dict[str, Callable[..., Any]]] = {
    kind.__name__: kind
    for kind in (
        lifecycle.Exited,
        lifecycle.Signalled,
        lifecycle.TimedOut,
        lifecycle.CancelObeyed,
        lifecycle.ForcedStop,
        lifecycle.NotStarted,
        lifecycle.HostLost,
        lifecycle.Completed,
        lifecycle.RetryAt,
        lifecycle.RunAgain,
        lifecycle.GivenBack,
        lifecycle.Dead,
        lifecycle.Cancelled,
    )
}


class Receipts:
    """Where one worker leaves results. Owns its descriptor; the file stays when it holds any."""

    def __init__(self, directory: Path, worker: int) -> None:
        """Reserve space on the disk as far as there is some."""
        self._path = receipts_file(directory, worker)
        self._length = 0
        self._descriptor = -1
        with suppress(OSError):  # no space now: perhaps when it is needed
            self._descriptor = _made(self._path)

    def write(self, of: str, ended: Sequence[Ended]) -> None:
        """Put them down, on the disk when this returns; `of` is the incarnation of the database.

        Where there is no room for it the output is left out. Raises OSError.
        """
        if not self._path.exists():  # never made, or its directory went with the database
            self.close()
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor, self._length = _made(self._path), 0
        for one in ended:
            try:
                self._append(_line(of, one))
            except OSError:
                self._append(_line(of, one._replace(output=Output())))
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Give back what was reserved, and remove the file when it holds nothing."""
        if self._descriptor < 0:
            return
        os.ftruncate(self._descriptor, self._length)
        os.close(self._descriptor)
        self._descriptor = -1
        if not self._length:
            self._path.unlink(missing_ok=True)

    def _append(self, line: bytes) -> None:
        left, at = line, self._length
        while left:
            written = os.pwrite(self._descriptor, left, at)
            left, at = left[written:], at + written
        self._length = at


def receipts_file(directory: Path, worker: int) -> Path:
    """Where a worker of the pool in this directory leaves results."""
    return directory / _NAME.format(worker)


def left_receipts(run_directory: Path) -> list[tuple[Path, int]]:
    """Directory of the pool and worker of every file that there is, of the living too."""
    found = []
    for path in sorted(run_directory.glob(f"*/{_NAME.format('*')}")):
        number = path.name.removeprefix("worker-").removesuffix(".receipts")
        if number.isdecimal() and not path.is_symlink():
            found.append((path.parent, int(number)))
    return found


def read_receipts(path: Path) -> list[tuple[str, Ended]]:
    """The results in such a file, each with the incarnation of the database that it is of.

    Raises OSError, and ValueError when it cannot be understood.
    """
    lines = path.read_bytes().rstrip(b"\0").splitlines()
    try:
        return [_read(json.loads(line)) for line in lines]
    except (KeyError, TypeError) as error:
        raise ValueError(str(error)) from error


def settle_receipts(
    repository: JobRepository, directory: Path, worker: int, log: Callable[..., None]
) -> bool:
    """Write what a dead worker left, and remove its file; False when it is not for this database.

    Whoever calls holds the worker's lock.
    """
    path = receipts_file(directory, worker)
    try:
        left = read_receipts(path)
    except OSError:  # as most of the time: it left none
        return True
    except ValueError as error:
        log("receipts", file=str(path), why=f"cannot be understood: {error}")
        return False
    mine = repository.incarnation()
    if any(of != mine for of, _ in left):
        log("receipts", file=str(path), why="of another database, or of before its restore")
        return False
    ended = [one for _, one in left]
    if ended:
        verdicts = repository.lose(ended, now=repository.clock())
        for one, verdict in zip(ended, verdicts, strict=True):
            log("receipt", job=one.attempt.job, attempt=one.attempt.number, verdict=verdict.value)
    path.unlink(missing_ok=True)
    return True


def _made(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    with suppress(OSError):
        os.posix_fallocate(descriptor, 0, _RESERVE)
    return descriptor


def _line(of: str, ended: Ended) -> bytes:
    output, signature, usage = ended.output, ended.signature, ended.usage
    told = {
        "database": of,
        "job": ended.attempt.job,
        "attempt": ended.attempt.number,
        "token": ended.attempt.token,
        "began_at": ended.began_at and ended.began_at.isoformat(),
        "ended_at": ended.ended_at.isoformat(),
        "ending": _packed(ended.ending),
        "outcome": _packed(ended.outcome),
        "signature": signature and [signature.program, signature.ended, signature.line],
        "usage": usage and [usage.cpu // _MICROSECOND, usage.peak_memory],
        "chunks": [_packed_chunk(chunk) for chunk in output.chunks],
        "gone": [[gone.start, gone.stop] for gone in output.gone],
        "total": output.total,
        "dropped": output.dropped,
    }
    return json.dumps(told).encode() + b"\n"


def _read(told: dict[str, Any]) -> tuple[str, Ended]:
    output = Output(
        tuple(_chunk(*chunk) for chunk in told["chunks"]),
        tuple(range(*gone) for gone in told["gone"]),
        told["total"],
        told["dropped"],
    )
    signature, usage = told["signature"], told["usage"]
    began_at = told.get("began_at")  # older ones do not tell
    return told["database"], Ended(
        AttemptId(told["job"], told["attempt"], told["token"]),
        _unpacked(told["ending"]),
        _unpacked(told["outcome"]),
        datetime.fromisoformat(told["ended_at"]),
        output,
        signature and Signature(*signature),
        usage and Usage(usage[0] * _MICROSECOND, usage[1]),
        began_at and datetime.fromisoformat(began_at),
    )


def _packed(what: Ending | Outcome) -> list[Any]:
    return [type(what).__name__, *(_value(getattr(what, field.name)) for field in fields(what))]


def _unpacked(told: list[Any]) -> Any:
    name, *values = told
    return _KINDS[name](*map(_from_value, values))


def _value(value: object) -> object:
    match value:
        case datetime():
            return {"at": value.isoformat()}
        case timedelta():
            return {"us": value // _MICROSECOND}
    return value


def _from_value(value: Any) -> Any:
    match value:
        case {"at": moment}:
            return datetime.fromisoformat(moment)
        case {"us": number}:
            return number * _MICROSECOND
    return value


def _packed_chunk(chunk: Chunk) -> list[Any]:
    pieces = [[piece.stream.value, b64encode(piece.data).decode()] for piece in chunk.pieces]
    return [chunk.seq, chunk.at.isoformat(), pieces]


def _chunk(seq: int, at: str, pieces: list[list[str]]) -> Chunk:
    read = tuple(Piece(Stream(stream), b64decode(data)) for stream, data in pieces)
    return Chunk(seq, datetime.fromisoformat(at), read)
