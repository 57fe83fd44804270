"""Many jobs from one stream: read line by line, stored in chunks, stopped at the first bad line."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, TypeVar

from queuectl_engine.cli.as_json import print_json
from queuectl_engine.cli.terminal import counted, say
from queuectl_engine.engine import CHUNK, Engine
from queuectl_engine.errors import (
    BadInput,
    KeyTaken,
    NoSuchJob,
    OutcomeUnknown,
    QueuectlError,
    StoredUnconfirmed,
)
from queuectl_engine.job import Added, NewJob
from queuectl_engine.new_job import weight

LONGEST_LINE: Final = 1024 * 1024  # bytes
_Error = TypeVar("_Error", bound=QueuectlError)
Numbered = tuple[int, NewJob]  # the line that a job came from, counted from 1


@dataclass
class Ranges:
    """Ids that grow, as first and last of each unbroken row."""

    rows: list[list[int]] = field(default_factory=list)

    def take(self, job_id: int) -> None:
        """Add one id."""
        if self.rows and self.rows[-1][1] + 1 == job_id:
            self.rows[-1][1] = job_id
        else:
            self.rows.append([job_id, job_id])

    def __iter__(self) -> Iterator[int]:
        for first, last in self.rows:
            yield from range(first, last + 1)

    def __str__(self) -> str:
        return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in self.rows)


@dataclass
class Report:
    """What has been stored so far. With `ids_as_we_go` each id is printed once it is stored."""

    ids_as_we_go: bool = False
    created: int = 0
    existing: int = 0
    new_ids: Ranges = field(default_factory=Ranges)
    old_ids: Ranges = field(default_factory=Ranges)
    through: int = 0  # the last line of which everything is stored
    word: str = "enqueued"
    unit: str = "lines"
    more: Callable[[], dict[str, Any]] = dict  # of what `--json` tells

    def take(self, added: Sequence[Added], last_line: int) -> None:
        """Count a stored chunk."""
        for each in added:
            (self.new_ids if each.created else self.old_ids).take(each.id)
            self.created += each.created
            self.existing += not each.created
        self.through = last_line
        if self.ids_as_we_go:
            self._print_ids(added)

    def ids(self) -> Iterator[int]:
        """Every job that was named, new and old; thousands to the row, so that none is large."""
        yield from self.new_ids
        yield from self.old_ids

    def _print_ids(self, added: Sequence[Added]) -> None:
        try:
            sys.stdout.writelines(f"{each.id}\n" for each in added)
            sys.stdout.flush()
        except BrokenPipeError:  # whoever read the ids has gone; the jobs are wanted all the same
            self.ids_as_we_go = False

    def print(self, *, as_json: bool) -> None:
        """Say how many jobs there are now, and which."""
        if as_json:
            ids = {"ids": self.new_ids.rows, "existing_ids": self.old_ids.rows}
            print_json({"created": self.created, "existing": self.existing, **ids, **self.more()})
        elif not self.ids_as_we_go:
            say(f"{counted(self.created, 'job')} {self.word}{_named(self.new_ids)}")
            if self.existing:
                say(f"{counted(self.existing, 'job')} existed{_named(self.old_ids)}")


def opened(file: str) -> BinaryIO:
    """A file to read bytes from; the caller closes it. Raises BadInput that says why not."""
    try:
        return open(file, "rb")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"cannot read '{file}': {reason}") from error


def add_lines(
    engine: Engine, stream: BinaryIO, job_of: Callable[[str], NewJob], report: Report
) -> None:
    """Store a job for each line that is not empty; the stream may be longer than memory.

    At a line that cannot be added, those before it are stored and the error names the line.
    """
    store_all(engine, _jobs(stream, job_of), report)


def store_all(engine: Engine, jobs: Iterator[Numbered], report: Report) -> None:
    """Store jobs as they come, in chunks. When they end with BadInput, those before are stored."""
    full = True
    while full:
        chunk, error = _next_chunk(jobs)
        full = len(chunk) == CHUNK
        _store(engine, chunk, report)
        if error:
            raise _stopped(error, report) from error


def _next_chunk(jobs: Iterator[Numbered]) -> tuple[list[Numbered], BadInput | None]:
    chunk: list[Numbered] = []
    size = 0
    try:
        while size < CHUNK and (numbered := next(jobs, None)) is not None:
            chunk.append(numbered)
            size += weight(numbered[1])
    except BadInput as error:
        return chunk, error
    return chunk, None


def _jobs(stream: BinaryIO, job_of: Callable[[str], NewJob]) -> Iterator[Numbered]:
    for number, line in numbered_lines(stream):
        try:
            yield number, job_of(line)
        except BadInput as error:
            raise BadInput(f"line {number}: {error}") from error


def numbered_lines(stream: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[tuple[int, str]]:
    """The lines that are not empty, counted from 1. Raises BadInput for one that is no text."""
    number = 0
    while raw := stream.readline(longest + 1):
        number += 1
        if len(raw) > longest:
            raise BadInput(f"line {number}: it is longer than {longest} bytes")
        try:
            line = raw.decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise BadInput(f"line {number}: it is not valid UTF-8") from None
        if line.strip():
            yield number, line


def _store(engine: Engine, chunk: Sequence[Numbered], report: Report) -> None:
    if not chunk:
        return
    last_line = chunk[-1][0]
    try:
        report.take(engine.add_many(job for _, job in chunk), last_line)
    except (KeyTaken, NoSuchJob, BadInput) as error:
        # Nothing of the chunk is stored. Halve it until the line that is to blame stands alone:
        # then all before it is stored, in a few transactions.
        if len(chunk) == 1:
            raise _stopped(error, report, f"line {last_line}: ") from error
        middle = len(chunk) // 2
        _store(engine, chunk[:middle], report)
        _store(engine, chunk[middle:], report)
    except (StoredUnconfirmed, OutcomeUnknown) as error:
        stored = "are those" if isinstance(error, StoredUnconfirmed) else "may be there or not"
        these = f"{report.unit} {chunk[0][0]} to {last_line} {stored}"
        raise type(error)(f"{error}; {these}, what follows was not added") from error
    except QueuectlError as error:
        raise _stopped(error, report) from error


def _stopped(error: _Error, report: Report, where: str = "") -> _Error:
    done = "nothing was added"
    if report.through:
        done = f"{report.unit} 1 to {report.through} were added, what follows was not"
    return type(error)(f"{where}{error}; {done}")


def _named(ids: Ranges) -> str:
    return f" with IDs: {ids}" if ids.rows else ""
