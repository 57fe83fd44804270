"""Jobs that wait for other jobs. See `sqlite/needs.py`.

What is otherwise: who adds a job that waits holds its parents (FOR SHARE) until the commit, so that
their end either is seen here or finds the new need; and who tells children locks them before he
looks whether they wait for anything else, as another one may be telling the same child.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from queuectl_engine.errors import BadInput, NoSuchJob
from queuectl_engine.job import After, Need, State
from queuectl_engine.lifecycle import MET_BY
from queuectl_engine.repository.postgres.connection import Connection
from queuectl_engine.repository.postgres.locks import lock_jobs
from queuectl_engine.repository.rows import ms, need_of
from queuectl_engine.safe_text import safe_text

RELEASED_AT_ONCE: Final = 100
MOST_NEEDS: Final = 10_000  # of one job
OF_LABEL: Final = "label:"  # before a label, whose jobs are meant

Wanted = Mapping[After, Sequence[int | str]]
Found = list[tuple[int, After, bool]]  # parent, how it must end, whether it has

# Whether the job of the statement around it still waits for another one.
UNMET: Final = "EXISTS (SELECT 1 FROM need WHERE need.child = job.id AND NOT need.met)"

_STATES: Final = """
    SELECT id, state FROM job WHERE id = ANY (%s::bigint[]) AND state <> 'deleted'
     ORDER BY id FOR SHARE
"""
_LABELLED: Final = """
    SELECT job.id FROM job_label JOIN job ON job.id = job_label.job AND job.state <> 'deleted'
     WHERE job_label.label = %s ORDER BY job_label.job LIMIT %s
"""
_KEYED: Final = "SELECT id FROM job WHERE key = %s AND state <> 'deleted'"
_ADD: Final = """
    INSERT INTO need (child, parent, after, met)
    SELECT * FROM unnest(%s::bigint[], %s::bigint[], %s::text[], %s::boolean[])
"""
_DROP: Final = "DELETE FROM need WHERE child = %s AND after = %s"

# Two who tell at once take different parents.
_ENDED: Final = """
    SELECT id, parent, after, last FROM ended ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
_OPEN: Final = """
    SELECT id, child FROM need
     WHERE parent = %(parent)s AND after = %(after)s AND id <= %(last)s AND NOT met
     ORDER BY id LIMIT %(limit)s
"""
_MEET: Final = "UPDATE need SET met = true WHERE id = ANY (%s::bigint[])"
_FREE: Final = f"""
    UPDATE job SET state = CASE WHEN run_at_ms > %(now)s THEN 'scheduled' ELSE 'ready' END,
                   waits = NULL, updated_ms = %(now)s
     WHERE id = ANY (%(children)s::bigint[]) AND state = 'blocked' AND waits = 'jobs'
       AND NOT {UNMET}
"""

_NEEDS: Final = """
    SELECT need.parent, need.after, job.state, need.met FROM need
      LEFT JOIN job ON job.id = need.parent WHERE need.child = %s ORDER BY need.id
"""
_DEPENDANTS: Final = """
    SELECT DISTINCT child FROM (
      SELECT child FROM need WHERE parent = %s AND NOT met ORDER BY after, id LIMIT %s) AS first
"""


def find(db: Connection, wanted: Wanted, mine: Mapping[str, int], new: Collection[int]) -> Found:
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
        stored = [i for i in ids if i not in new]
        states: dict[int, str] = dict(db.run(_STATES, (stored,))) if stored else {}
        for parent in ids:
            state = State.READY if parent in new else states.get(parent)
            if state is None:
                raise _unknown(parent)
            found.append((parent, after, State(state) in MET_BY[after]))
    return found


def unmet(found: Found) -> bool:
    """Whether a job with these needs has to wait."""
    return not all(met for _, _, met in found)


def add(db: Connection, needs: Sequence[tuple[int, Found]]) -> None:
    """Store what these jobs need, by job."""
    rows = [(child, *need) for child, found in needs for need in found]
    if rows:
        children, parents, ways, met = zip(*rows, strict=True)
        db.run(_ADD, (list(children), list(parents), [way.value for way in ways], list(met)))


def replace(db: Connection, child: int, wanted: Wanted) -> None:
    """Let a stored job need other jobs than before, in the ways that are named.

    Raises NoSuchJob, and BadInput for a job that came later: so none can wait for itself.
    """
    found = find(db, wanted, {}, ())
    for parent, _, _ in found:
        if parent >= child:
            raise BadInput(f"job {child} can wait for jobs that came before it, not for {parent}")
    for after in wanted:
        db.run(_DROP, (child, after.value))
    add(db, [(child, found)])


def release(db: Connection, now: datetime) -> int:
    """Tell dependants of ended jobs, a bounded number of them; how many need not wait any more."""
    freed, room = 0, RELEASED_AT_ONCE
    while room > 0 and (todo := db.run(_ENDED)):
        number, parent, after, last = todo[0]
        told = db.run(_OPEN, {"parent": parent, "after": after, "last": last, "limit": room})
        children = [child for _, child in told]
        if told:
            lock_jobs(db, children)
            db.run(_MEET, ([need for need, _ in told],))
            db.run(_FREE, {"children": children, "now": ms(now)})
            freed += db.changes()
        if len(told) < room:  # that was the last of them
            db.run("DELETE FROM ended WHERE id = %s", (number,))
        room -= max(len(told), 1)
    return freed


def needs(db: Connection, child: int) -> list[Need]:
    """All jobs that a job waits for or did, in the order in which they were named."""
    return [need_of(*row, met=met) for *row, met in db.run(_NEEDS, (child,))]


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
