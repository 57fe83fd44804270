"""Opens the files of a database with the program itself, and says what is in them, or wrong."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from queuectl_engine.errors import QueuectlError
from queuectl_engine.repository.sqlite import SqliteRepository
from tests.durability.images import Image
from tests.durability.workload import Fact
from tests.samples import NOON, new

Schema = frozenset[tuple[object, ...]]
_COUNTED: Final = "SELECT state, queue, count(*) FROM job GROUP BY 1, 2"
# Each finds a row where a counter is not what it counts.
_RECOUNTS: Final = (
    f"SELECT state, queue, n FROM counter EXCEPT {_COUNTED}",
    f"{_COUNTED} EXCEPT SELECT state, queue, n FROM counter",
    """SELECT label, state, n FROM label_counter EXCEPT
       SELECT label, state, count(*) FROM job_label JOIN job ON job.id = job GROUP BY 1, 2""",
    """SELECT id, dead FROM cause EXCEPT
       SELECT cause.id, count(job.id) FROM cause
         LEFT JOIN job ON job.cause = cause.id AND job.state = 'dead' GROUP BY 1""",
    """SELECT job.id FROM job
         LEFT JOIN attempt ON attempt.job = job.id AND attempt.number = job.runs
        WHERE job.state = 'processing' AND attempt.token IS NOT job.token""",
    "SELECT job, number FROM attempt JOIN job ON job.id = job WHERE number > job.runs",
)
_FACTS: Final = """
    SELECT 'job', id, NULL, NULL FROM job
    UNION ALL SELECT 'claim', job, token, NULL FROM attempt
    UNION ALL SELECT 'settled', job, token, result FROM attempt WHERE result IS NOT NULL
    UNION ALL SELECT 'output', job, number, seq FROM output
    UNION ALL SELECT 'schedule', -id, NULL, NULL FROM schedule
"""


def put(image: Image, path: Path) -> None:
    """Make these the files of the database, and there is no shared memory."""
    for suffix in ("", "-wal", "-journal", "-shm"):
        place = f"{path}{suffix}"
        if suffix in image:
            descriptor = os.open(place, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
            os.write(descriptor, image[suffix])
            os.close(descriptor)
        elif os.path.exists(place):
            os.unlink(place)


def look(path: Path, schema: Schema, *, use: bool = False) -> tuple[frozenset[Fact], list[str]]:
    """What is stored, and what is wrong with it. With `use`, a job is added and purged as well."""
    try:
        with closing(SqliteRepository.open(str(path), create=True, timeout=0.0)) as repo:
            facts = facts_of(repo)
            wrong = wrongs(repo)
            wrong += [f"the schema lacks {what}" for what in schema - schema_of(repo)]
            if use and not wrong:
                repo.maintain(now=NOON)
                repo.add([new()], now=NOON)
                wrong = wrongs(repo)
            return facts, wrong
    except QueuectlError as error:
        return frozenset(), [f"cannot be opened: {error}"]


def facts_of(repo: SqliteRepository) -> frozenset[Fact]:
    """Everything that a workload may have been told is stored."""
    found: set[Fact] = {_shortened(row) for row in repo._db.run(_FACTS)}
    counts = Counter(repo._db.run("SELECT job, kind FROM event"))
    for (job, kind), n in counts.items():
        found.update(("event", job, kind, ordinal) for ordinal in range(1, n + 1))
    return frozenset(found)


def _shortened(row: Sequence[object]) -> Fact:
    return tuple(value for value in row if value is not None)  # type: ignore[return-value]


def wrongs(repo: SqliteRepository) -> list[str]:
    """What is damaged, or does not count what it should."""
    run = repo._db.run
    found = [str(row[0]) for row in run("PRAGMA integrity_check") if row[0] != "ok"]
    found += [f"foreign key of {row[0]}" for row in run("PRAGMA foreign_key_check")]
    for recount in _RECOUNTS:
        found += [f"miscounted {row}" for row in run(recount)]
    return found


def schema_of(repo: SqliteRepository) -> Schema:
    """Every table, index and trigger, as it was made."""
    return frozenset(repo._db.run("SELECT type, name, sql FROM sqlite_schema"))


def missing(facts: frozenset[Fact], wanted: Iterable[Fact], gone: frozenset[int]) -> list[Fact]:
    """Those that are not there, though their job was not purged."""
    return [fact for fact in wanted if fact not in facts and fact[1] not in gone]
