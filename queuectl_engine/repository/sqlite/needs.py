"""Jobs that wait for other jobs.

A parent's end writes one row (the trigger `job_ended`), however many jobs wait for it. Every turn,
idle look and supervisor tells a few of them, oldest need first, until none is left: so no end holds
the write lock for long, and a crash between two portions loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from queuectl_engine.errors import BadInput, NoSuchJob
from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.repository.values import ms
from queuectl_engine.safe_text import safe_text
from queuectl_engine.states import MET_BY, After, State

if TYPE_CHECKING:
    from queuectl_engine.job import Need

RELEASED_AT_ONCE: Final = 100
MOST_NEEDS: Final = 10_000  # of one job
OF_LABEL: Final = "label:"  # before a label, whose jobs are meant

Wanted = Mapping[After, Sequence[int | str]]
Found = list[tuple[int, After, bool]]  # parent, how it must end, whether it has

# Whether the job of the statement around it still waits for another one.
UNMET: Final = "EXISTS (SELECT 1 FROM need WHERE need.child = job.id AND need.met = 0)"

_STATES: Final = """
    SELECT wanted.value, job.state FROM json_each(?) AS wanted
      LEFT JOIN job ON job.id = wanted.value AND job.state <> 'deleted'
"""
_LABELLED: Final = """
    SELECT job.id FROM label JOIN job_label ON job_label.label = label.id
      JOIN job ON job.id = job_label.job AND job.state <> 'deleted'
     WHERE label.name = ? ORDER BY job_label.job LIMIT ?
"""
_KEYED: Final = "SELECT id FROM job WHERE key = ? AND state <> 'deleted'"
_ADD: Final = "INSERT INTO need (child, parent, after, met) VALUES (?, ?, ?, ?)"
_DROP: Final = "DELETE FROM need WHERE child = ? AND after = ?"

_ENDED: Final = "SELECT id, parent, after, last FROM ended ORDER BY id LIMIT 1"
_OPEN: Final = """
    SELECT id, child FROM need INDEXED BY need_open
     WHERE parent = :parent AND after = :after AND id <= :last AND met = 0 ORDER BY id LIMIT :limit
"""
_MEET: Final = "UPDATE need SET met = 1 WHERE id IN (SELECT value FROM json_each(?))"
_FREE: Final = f"""
    UPDATE job SET state = iif(run_at_ms > :now, 'scheduled', 'ready'), waits = NULL,
                   updated_ms = :now
     WHERE id IN (SELECT value FROM json_each(:children)) AND state = 'blocked' AND waits = 'jobs'
       AND NOT {UNMET}
"""

_NEEDS: Final = """
    SELECT need.parent, need.after, job.state, need.met FROM need
      LEFT JOIN job ON job.id = need.parent WHERE need.child = ? ORDER BY need.id
"""
_DEPENDANTS: Final = """
    SELECT DISTINCT child FROM need INDEXED BY need_open WHERE parent = ? AND met = 0 LIMIT ?
"""


def find(db: Connection, wanted: Wanted, mine: Mapping[str, int], new: range) -> Found:
    """The jobs that are meant, and whether they have ended so already.

    `mine` are keys and `new` ids of jobs that this transaction adds. Raises NoSuchJob, and BadInput
    for too many.
    """
    found: Found = []
    for after, names in wanted.items():
        ids = dict.fromkeys(i for name in names for i in _ids(db, name, mine))
        if len(found) + len(ids) > MOST_NEEDS:
            raise BadInput(
                f"a job can wait for at most {MOST_NEEDS} others; let one job wait for some of them"
            )
        states: dict[int, str | None] = dict(
            db.run(_STATES, (json.dumps([i for i in ids if i not in new]),))
        )
        for parent in ids:
            state = State.READY if parent in new else states[parent]
            if state is None:
                raise _unknown(parent)
            found.append((parent, after, State(state) in MET_BY[after]))
    return found


def unmet(found: Found) -> bool:
    """Whether a job with these needs has to wait."""
    return not all(met for _, _, met in found)


def add(db: Connection, needs: Sequence[tuple[int, Found]]) -> None:
    """Store what these jobs need, by job."""
    db.run_many(_ADD, [(child, *need) for child, found in needs for need in found])


def replace(db: Connection, child: int, wanted: Wanted) -> None:
    """Let a stored job need other jobs than before, in the ways that are named.

    Raises NoSuchJob, and BadInput for a job that came later: so none can wait for itself.
    """
    found = find(db, wanted, {}, range(0))
    for parent, _, _ in found:
        if parent >= child:
            raise BadInput(f"job {child} can wait for jobs that came before it, not for {parent}")
    for after in wanted:
        db.run(_DROP, (child, after))
    add(db, [(child, found)])


def release(db: Connection, now: datetime) -> int:
    """Tell dependants of ended jobs, a bounded number of them; how many need not wait any more."""
    freed, room = 0, RELEASED_AT_ONCE
    while room > 0 and (todo := db.run(_ENDED)):
        number, parent, after, last = todo[0]
        args = {"parent": parent, "after": after, "last": last, "limit": room}
        told = db.run(_OPEN, args)
        db.run(_MEET, (json.dumps([need for need, _ in told]),))
        db.run(_FREE, {"children": json.dumps([child for _, child in told]), "now": ms(now)})
        freed += db.changes()
        if len(told) < room:  # that was the last of them
            db.run("DELETE FROM ended WHERE id = ?", (number,))
        room -= max(len(told), 1)
    return freed


def needs(db: Connection, child: int) -> list[Need]:
    """All jobs that a job waits for or did, in the order in which they were named."""
    from queuectl_engine.repository.sqlite.rows import need_of

    return [need_of(*row, met=bool(met)) for *row, met in db.run(_NEEDS, (child,))]


def dependants(db: Connection, parent: int, limit: int) -> list[int]:
    """The first jobs that still wait for this one."""
    return [child for (child,) in db.run(_DEPENDANTS, (parent, limit))]


def _ids(db: Connection, name: int | str, mine: Mapping[str, int]) -> Iterator[int]:
    if isinstance(name, int):
        yield name
    elif name.startswith(OF_LABEL):
        yield from _labelled(db, name.removeprefix(OF_LABEL))
    elif (found := mine.get(name) or db.value(_KEYED, (name,))) is not None:
        yield found
    else:
        raise _unknown(name)


def _labelled(db: Connection, label: str) -> list[int]:
    """The jobs that have the label now, one more than may be waited for at most."""
    if found := [job for (job,) in db.run(_LABELLED, (label, MOST_NEEDS + 1))]:
        return found
    raise NoSuchJob(f"no job has the label {safe_text(label)}; 'queuectl labels' lists them")


def _unknown(name: int | str) -> NoSuchJob:
    shown = safe_text(str(name))
    return NoSuchJob(f"no job {shown} to wait for; 'queuectl list --all' shows what is there")
