"""Labels: which jobs have one, and how many in which state.

`job.labels` is what is so. The tables here follow it by triggers, so no verb can forget them; they
cost jobs without labels nothing. A label goes with the last job that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from queuectl_engine.repository.sqlite.connection import Connection
from queuectl_engine.states import State

if TYPE_CHECKING:
    from queuectl_engine.job import LabelInfo

_NAMED: Final = "(SELECT label.id FROM json_each({job}.labels) JOIN label ON label.name = value)"
_OLD: Final = _NAMED.format(job="old")
_NEW: Final = _NAMED.format(job="new")
_LABEL: Final = f"""
  INSERT INTO label (name) SELECT value FROM json_each(new.labels) WHERE true
    ON CONFLICT DO NOTHING;
  INSERT INTO job_label SELECT id, new.id FROM label WHERE id IN {_NEW};
"""
_UNLABEL: Final = f"""
  DELETE FROM job_label WHERE job = old.id AND label IN {_OLD};
"""
_COUNT: Final = f"""
  INSERT INTO label_counter SELECT id, new.state, 1 FROM label WHERE id IN {_NEW}
    ON CONFLICT DO UPDATE SET n = n + 1;
"""
_UNCOUNT: Final = f"""
  UPDATE label_counter SET n = n - 1 WHERE state = old.state AND label IN {_OLD};
  DELETE FROM label_counter WHERE state = old.state AND label IN {_OLD} AND n = 0;
"""
_FORGET: Final = f"""
  DELETE FROM label WHERE id IN {_OLD}
     AND NOT EXISTS (SELECT 1 FROM job_label WHERE job_label.label = label.id);
"""

# Part of step 1 of the schema, and so frozen with all that it is made of.
TABLES: Final = f"""
CREATE TABLE label (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE job_label (
  label INTEGER NOT NULL REFERENCES label,
  job INTEGER NOT NULL,  -- no foreign key: it would want an index that nothing else needs
  PRIMARY KEY (label, job)
) STRICT, WITHOUT ROWID;
CREATE TABLE label_counter (
  label INTEGER NOT NULL REFERENCES label,
  state TEXT NOT NULL,
  n INTEGER NOT NULL CHECK (n >= 0),
  PRIMARY KEY (label, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER job_labelled AFTER INSERT ON job WHEN new.labels IS NOT NULL
BEGIN{_LABEL}{_COUNT}END;
CREATE TRIGGER job_relabelled AFTER UPDATE OF labels ON job WHEN old.labels IS NOT new.labels
BEGIN{_UNLABEL}{_UNCOUNT}{_LABEL}{_COUNT}{_FORGET}END;
CREATE TRIGGER job_moved_labelled AFTER UPDATE OF state ON job
  WHEN new.labels IS NOT NULL AND old.labels IS new.labels AND old.state <> new.state
BEGIN{_UNCOUNT}{_COUNT}END;
CREATE TRIGGER job_unlabelled AFTER DELETE ON job WHEN old.labels IS NOT NULL
BEGIN{_UNLABEL}{_UNCOUNT}{_FORGET}END;
"""

_LABELS: Final = """
    SELECT name, state, n
      FROM (SELECT id, name FROM label
             WHERE EXISTS (SELECT 1 FROM label_counter
                            WHERE label_counter.label = label.id AND state <> 'deleted')
             ORDER BY name LIMIT ?) AS named
      JOIN label_counter ON label_counter.label = named.id
     WHERE state <> 'deleted' ORDER BY name, state
"""


def labels(db: Connection, limit: int) -> list[LabelInfo]:
    """The first labels by name, with their counts: reads a row a label and state."""
    from queuectl_engine.job import LabelInfo

    found: dict[str, dict[State, int]] = {}
    for name, state, n in db.run(_LABELS, (limit,)):
        found.setdefault(name, {})[State(state)] = n
    return [LabelInfo(name, counts) for name, counts in found.items()]
