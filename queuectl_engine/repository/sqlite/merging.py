"""The ready jobs of all queues in the order of their list, merged from the claim's index.

That index holds each queue in this order: highest priority, then lowest id. So the best of each
queue is one look, and so is what comes after any job in its queue. A recursive query whose rows
wait in the order of the list (SQLite's `WITH` documentation has it under "ORDER BY in a recursive
query") gives the best of all, and puts the next of its queue in its place: as many looks as there
are queues with ready jobs, and two for each row.
"""

from __future__ import annotations

from typing import Final

_AFTER: Final = """
    coalesce((SELECT id FROM job INDEXED BY job_ready
               WHERE queue = {queue} AND state = 'ready' AND priority = {first} AND id {id}
               ORDER BY id {then} LIMIT 1),
             (SELECT id FROM job INDEXED BY job_ready
               WHERE queue = {queue} AND state = 'ready' AND priority {beyond} {first}
               ORDER BY priority {order}, id {then} LIMIT 1))
"""
_BEST: Final = """
    (SELECT id FROM job INDEXED BY job_ready WHERE queue = counter.queue AND state = 'ready'
      ORDER BY priority {order}, id {then} LIMIT 1)
"""
_MERGED: Final = """
    WITH RECURSIVE line(of, first, place) AS (
      SELECT job.queue, job.priority, job.id FROM counter JOIN job ON job.id = {best}
       WHERE counter.state = 'ready'
      UNION ALL
      SELECT job.queue, job.priority, job.id FROM line JOIN job ON job.id = {after}
       ORDER BY 2 {order}, 3 {then} LIMIT :limit)
"""


def merged(*, from_place: bool, backwards: bool) -> str:
    """A table `line` of `:limit` jobs: `place` is each one's id, `first` its priority.

    From the place `:first`, `:id` on, or from the end of the list.
    """
    order, then = ("ASC", "DESC") if backwards else ("DESC", "ASC")
    beyond, after = (">", "<") if backwards else ("<", ">")
    ways = {"order": order, "then": then, "beyond": beyond}
    best = _BEST.format(**ways)
    if from_place:
        best = _AFTER.format(queue="counter.queue", first=":first", id=f"{after}= :id", **ways)
    next_ = _AFTER.format(queue="line.of", first="line.first", id=f"{after} line.place", **ways)
    return _MERGED.format(best=best, after=next_, order=order, then=then)
