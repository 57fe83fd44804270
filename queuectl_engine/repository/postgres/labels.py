"""Labels: which jobs have one, and how many in which state. Kept by the triggers of `schema`.

Here a label is its name in every table: a row a label, deleted with its last job, would have to be
locked by all who use it. A label without jobs is gone when upkeep has added its counts up to zero.
"""

from __future__ import annotations

from typing import Final

from queuectl_engine.job import LabelInfo, State
from queuectl_engine.repository.postgres.connection import Connection

# From one name of an index to the next, until there are enough that have jobs.
_NAMES: Final = """
    SELECT label FROM (
      SELECT label, n FROM label_sum WHERE state <> 'deleted' AND label > %(after)s
      UNION ALL
      SELECT label, n FROM label_delta WHERE state <> 'deleted' AND label > %(after)s) AS each
     GROUP BY label ORDER BY label LIMIT %(limit)s
"""
_COUNTS: Final = """
    SELECT label, state, sum(n)::bigint FROM (
      SELECT label, state, n FROM label_sum WHERE label = ANY (%(labels)s::text[])
      UNION ALL
      SELECT label, state, n FROM label_delta WHERE label = ANY (%(labels)s::text[])) AS each
     WHERE state <> 'deleted'
     GROUP BY label, state HAVING sum(n) > 0 ORDER BY label, state
"""


def labels(db: Connection, limit: int) -> list[LabelInfo]:
    """The first labels by name, with their counts: reads a row a label and state."""
    found: dict[str, dict[State, int]] = {}
    after = ""
    while len(found) < limit:
        more = limit - len(found)
        names = [name for (name,) in db.run(_NAMES, {"after": after, "limit": more})]
        if not names:
            break
        for name, state, n in db.run(_COUNTS, {"labels": names}):
            found.setdefault(name, {})[State(state)] = n
        after = names[-1]
    return [LabelInfo(name, counts) for name, counts in found.items()]
