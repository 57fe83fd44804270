"""The numbered steps that lead to the present tables. Forward only.

All steps that a file lacks run in one transaction, which also sets `user_version`; a fresh file
runs all of them. A step that was released is never edited: `STEP_1` is in a module of its own, and
a golden file of it is kept in `tests/durability/golden`.

Moments are integer milliseconds since 1970 in UTC, durations milliseconds. Counters follow `job` by
triggers, so no verb can forget them.
"""

from __future__ import annotations

from typing import Final

from queuectl_engine.repository.sqlite.step_1 import STEP_1

APPLICATION_ID: Final = 0x51435431  # "QCT1": tells our file from any other SQLite file

_STATES: Final = "'ready', 'scheduled', 'blocked', 'failed', 'processing'"
_FINAL: Final = "'completed', 'dead', 'cancelled'"


def _spelled_out(states: str) -> str:
    """The arguments for `replace`: `state IN (...)`, and the same with OR."""
    one_of = f"state IN ({states})"
    any_of = " OR ".join(f"state = {state}" for state in states.split(", "))
    return ", ".join(f"'{text.replace(chr(39), 2 * chr(39))}'" for text in (one_of, f"({any_of})"))


# What a row of an index must be NULL or not for by the CHECKs of `job`, so that the index need not
# compare the state's text of each row that is written; the rows in it are the same.
_FIRST: Final = {
    "job_list_processing": "worker IS NOT NULL",
    "job_list_blocked": "waits IS NOT NULL",
    "job_list_dead": "finished_ms IS NOT NULL",
    "job_list_cause": "finished_ms IS NOT NULL",
    "job_list_finished": "finished_ms IS NOT NULL",
    "job_deleted": "deleted_ms IS NOT NULL",
    "job_mutex": "mutex IS NOT NULL",
    "job_front": "mutex IS NOT NULL",
    "job_aside": "mutex IS NOT NULL",
}
_TELL_FIRST: Final = "\n".join(
    f"""UPDATE sqlite_schema SET sql = replace(sql, 'WHERE ', 'WHERE {first} AND ')
         WHERE type = 'index' AND name = '{index}';"""
    for index, first in _FIRST.items()
)

# Additions only: ADD COLUMN, CREATE, DROP and CREATE of triggers and indexes; nothing that rewrites
# a big table. One commented block a topic.
_STEP_2: Final = f"""
-- The list of ready jobs is merged from the claim's index, which holds each queue in its order.
DROP INDEX job_list_ready;

-- The schema number that a pool's program knows; NULL: 1.
ALTER TABLE pool ADD COLUMN format INTEGER;
-- Completed jobs that are older than this are removed by pools; NULL keeps them for ever.
ALTER TABLE meta ADD COLUMN keep_completed_ms INTEGER CHECK (keep_completed_ms > 0);
-- Where its jobs are now; while it is not `moved_all`, the move is not finished.
ALTER TABLE meta ADD COLUMN moved_to TEXT;
ALTER TABLE meta ADD COLUMN moved_all INTEGER CHECK (moved_all IN (0, 1));
-- Dead jobs can be removed as they are: their cause has one less then, too.
CREATE TRIGGER job_buried AFTER DELETE ON job WHEN old.state = 'dead' AND old.cause IS NOT NULL
BEGIN
  UPDATE cause SET dead = dead - 1 WHERE id = old.cause;
END;

-- Jobs at once in each worker of a pool.
ALTER TABLE pool ADD COLUMN slots INTEGER NOT NULL DEFAULT 1 CHECK (slots > 0);
-- Jobs whose worker died: each runs alone in its worker until it has ended otherwise.
CREATE TABLE suspect (
  job INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE
) STRICT;

-- The same CHECKs of states, spelled out: for an IN of more than two SQLite fills a table, anew for
-- each row. Done as its documentation of ALTER TABLE has it for changes that touch no stored row.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema
   SET sql = replace(replace(sql, {_spelled_out(f"{_STATES}, {_FINAL}, 'deleted'")}),
                     {_spelled_out(_FINAL)})
 WHERE type = 'table' AND name = 'job';
{_TELL_FIRST}
PRAGMA writable_schema = RESET;

-- As before, but most ends, for which nobody waits, stop at one look into an index.
DROP TRIGGER job_ended;
CREATE TRIGGER job_ended AFTER UPDATE OF state ON job
  WHEN old.state <> new.state
   AND (new.state = 'completed' OR new.state = 'dead' OR new.state = 'cancelled'
        OR new.state = 'deleted')
   AND EXISTS (SELECT 1 FROM need WHERE need.parent = new.id AND need.met = 0)
BEGIN
  INSERT INTO ended (parent, after, last)
    SELECT new.id, way.after, (SELECT max(id) FROM need)
      FROM (SELECT 'any' AS after
            UNION ALL SELECT 'ok' WHERE new.state = 'completed'
            UNION ALL SELECT 'fail' WHERE new.state = 'dead') AS way
     WHERE EXISTS (SELECT 1 FROM need WHERE need.parent = new.id AND need.after = way.after
                                        AND need.met = 0)
    ON CONFLICT DO UPDATE SET last = excluded.last;
END;
"""

STEPS: Final[tuple[str, ...]] = (STEP_1, _STEP_2)
VERSION: Final = len(STEPS)
# The oldest whose programs may read, and write, what this one writes: contexts name secrets and
# shells that were asked for, which those of format 1 do not know.
MIN_READER: Final = 2
MIN_WRITER: Final = 2
