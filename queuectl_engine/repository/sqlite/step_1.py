"""Step 1 of the schema, with which the first released files were made. Frozen.

`tests/durability/golden` keeps a file that was made by it. Whatever changes comes in a later step
of `schema`: editing a line here would change new files and leave those that exist as they are.
"""

from __future__ import annotations

from typing import Final

from queuectl_engine.repository.sqlite import labels

_STATES: Final = (
    "'ready', 'scheduled', 'blocked', 'failed', 'processing', 'completed', 'dead', 'cancelled',"
    " 'deleted'"
)

_TABLES: Final = f"""
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  min_reader INTEGER NOT NULL,  -- the oldest schema number whose programs may read this file
  min_writer INTEGER NOT NULL,  -- and write it
  uuid TEXT NOT NULL,
  generation INTEGER NOT NULL,  -- grows with each restore
  made_ms INTEGER NOT NULL,
  made_by TEXT NOT NULL,
  owner INTEGER NOT NULL,       -- the uid whose pools may run it
  machine TEXT NOT NULL,        -- the machine whose pools may run it, '' when it has no id
  durability TEXT NOT NULL CHECK (durability IN ('standard', 'full')),
  new_queues_paused INTEGER NOT NULL DEFAULT 0 CHECK (new_queues_paused IN (0, 1)),
  max_running INTEGER CHECK (max_running > 0)  -- of all queues together
) STRICT;

CREATE TABLE queue (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  max_running INTEGER CHECK (max_running > 0),
  turn INTEGER NOT NULL DEFAULT 0  -- of queues that compete, the one with the lowest is next
) STRICT;

-- Only counts above zero have a row, so a reader pays for the non-empty queues alone.
CREATE TABLE counter (
  state TEXT NOT NULL,
  queue INTEGER NOT NULL REFERENCES queue,
  n INTEGER NOT NULL CHECK (n >= 0),
  PRIMARY KEY (state, queue)
) STRICT, WITHOUT ROWID;

CREATE TABLE context (
  id INTEGER PRIMARY KEY,
  body TEXT NOT NULL UNIQUE
) STRICT;

-- What failed attempts have in common; `dead` counts the jobs that are dead of it.
CREATE TABLE cause (
  id INTEGER PRIMARY KEY,
  program TEXT NOT NULL,
  ended TEXT NOT NULL,
  line TEXT NOT NULL,
  dead INTEGER NOT NULL DEFAULT 0 CHECK (dead >= 0),
  last_ms INTEGER NOT NULL DEFAULT 0,
  UNIQUE (program, ended, line)
) STRICT;
CREATE INDEX cause_dead ON cause (last_ms DESC, id DESC) WHERE dead > 0;

CREATE TABLE job (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  queue INTEGER NOT NULL REFERENCES queue,
  state TEXT NOT NULL CHECK (state IN ({_STATES})),
  priority INTEGER NOT NULL,
  run_at_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL DEFAULT 0 CHECK (attempts >= 0),  -- charged since add or requeue
  runs INTEGER NOT NULL DEFAULT 0 CHECK (runs >= attempts),   -- ever begun
  deaths INTEGER NOT NULL DEFAULT 0,  -- of workers, under a living supervisor, since then
  max_retries INTEGER NOT NULL CHECK (max_retries >= 0),
  timeout_ms INTEGER CHECK (timeout_ms > 0),
  allow_background INTEGER NOT NULL DEFAULT 0 CHECK (allow_background IN (0, 1)),
  token TEXT,
  worker INTEGER,
  created_ms INTEGER NOT NULL,
  updated_ms INTEGER NOT NULL,
  started_ms INTEGER,
  finished_ms INTEGER,
  cancel_ms INTEGER,
  deleted_ms INTEGER,
  was TEXT,
  reason TEXT,
  parked TEXT,
  cause INTEGER REFERENCES cause,  -- of its last failed attempt
  context INTEGER NOT NULL REFERENCES context,
  nonce INTEGER NOT NULL,
  key TEXT,
  log_file TEXT,
  waits TEXT CHECK (waits IN ('jobs', 'mutex')),  -- what a blocked job waits for
  mutex TEXT,
  argv TEXT,
  command TEXT NOT NULL,
  labels TEXT CHECK (labels <> '[]'),  -- a JSON array of names, NULL for none
  retry_on TEXT CHECK (retry_on <> ''),  -- exit codes such as 64-78,124; NULL for no rule
  no_retry_on TEXT CHECK (no_retry_on <> ''),
  schedule INTEGER,  -- that added it; it may be deleted by now
  on_dead TEXT,
  on_completed TEXT,
  CHECK ((state = 'blocked') = (waits IS NOT NULL)),
  CHECK (waits IS NOT 'mutex' OR mutex IS NOT NULL),
  CHECK ((state = 'processing') = (token IS NOT NULL)),
  CHECK ((state = 'processing') = (worker IS NOT NULL)),
  CHECK (state = 'deleted'
         OR (state IN ('completed', 'dead', 'cancelled')) = (finished_ms IS NOT NULL)),
  CHECK (state = 'processing' OR (cancel_ms IS NULL AND parked IS NULL)),
  CHECK ((state = 'deleted') = (deleted_ms IS NOT NULL AND was IS NOT NULL))
) STRICT;

-- The claim: the best ready job of a queue is the first entry of its range.
CREATE INDEX job_ready ON job (queue, priority DESC, id) WHERE state = 'ready';
-- What falls due next.
CREATE INDEX job_due ON job (run_at_ms, id) WHERE state IN ('scheduled', 'failed');
-- One index in the order of each table on a screen.
CREATE INDEX job_list_ready ON job (priority DESC, id) WHERE state = 'ready';
CREATE INDEX job_list_failed ON job (priority DESC, id) WHERE state = 'failed';
CREATE INDEX job_list_scheduled ON job (priority DESC, id) WHERE state = 'scheduled';
CREATE INDEX job_list_blocked ON job (priority DESC, id) WHERE state = 'blocked';
CREATE INDEX job_list_processing ON job (started_ms, id) WHERE state = 'processing';
CREATE INDEX job_list_dead ON job (finished_ms DESC, id DESC) WHERE state = 'dead';
CREATE INDEX job_list_cause ON job (cause, finished_ms DESC, id DESC) WHERE state = 'dead';
CREATE INDEX job_list_finished ON job (finished_ms DESC, id DESC)
  WHERE state IN ('completed', 'cancelled');
CREATE INDEX job_deleted ON job (deleted_ms) WHERE state = 'deleted';
-- A deleted job keeps its key for undo, but does not hold it.
CREATE UNIQUE INDEX job_key ON job (key) WHERE key IS NOT NULL AND state <> 'deleted';

CREATE TRIGGER job_counted AFTER INSERT ON job BEGIN
  INSERT INTO counter VALUES (new.state, new.queue, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER job_recounted AFTER UPDATE OF state, queue ON job
  WHEN old.state <> new.state OR old.queue <> new.queue
BEGIN
  UPDATE counter SET n = n - 1 WHERE state = old.state AND queue = old.queue;
  DELETE FROM counter WHERE state = old.state AND queue = old.queue AND n = 0;
  INSERT INTO counter VALUES (new.state, new.queue, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER job_uncounted AFTER DELETE ON job BEGIN
  UPDATE counter SET n = n - 1 WHERE state = old.state AND queue = old.queue;
  DELETE FROM counter WHERE state = old.state AND queue = old.queue AND n = 0;
END;

CREATE TRIGGER job_died AFTER UPDATE OF state ON job
  WHEN new.state = 'dead' AND old.state <> 'dead' AND new.cause IS NOT NULL
BEGIN
  UPDATE cause SET dead = dead + 1, last_ms = max(last_ms, new.finished_ms) WHERE id = new.cause;
END;
CREATE TRIGGER job_revived AFTER UPDATE OF state ON job
  WHEN old.state = 'dead' AND new.state <> 'dead' AND old.cause IS NOT NULL
BEGIN
  UPDATE cause SET dead = dead - 1 WHERE id = old.cause;
END;

-- Dependencies: `child` waits for `parent`. A need that was met stays met, and only those that are
-- not are in need_open, so a parent's dependants can be released a few at a time.
CREATE TABLE need (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  child INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
  parent INTEGER NOT NULL,  -- may be gone
  after TEXT NOT NULL CHECK (after IN ('ok', 'any', 'fail')),
  met INTEGER NOT NULL CHECK (met IN (0, 1))
) STRICT;
CREATE INDEX need_child ON need (child, met);
CREATE INDEX need_open ON need (parent, after, id) WHERE met = 0;

-- Parents that have ended, whose dependants up to need `last` are still to be told.
CREATE TABLE ended (
  id INTEGER PRIMARY KEY,
  parent INTEGER NOT NULL,
  after TEXT NOT NULL,
  last INTEGER NOT NULL,
  UNIQUE (parent, after)
) STRICT;
CREATE TRIGGER job_ended AFTER UPDATE OF state ON job
  WHEN new.state IN ('completed', 'dead', 'cancelled', 'deleted') AND old.state <> new.state
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

-- Mutual exclusion: at most one job of a mutex runs. Of those that wait, one of each queue is ready
-- unless the mutex is held, or it is in `loosened`: it was let go, and they are still to be told.
CREATE UNIQUE INDEX job_mutex ON job (mutex) WHERE state = 'processing' AND mutex IS NOT NULL;
CREATE INDEX job_front ON job (mutex, queue, priority) WHERE state = 'ready' AND mutex IS NOT NULL;
CREATE INDEX job_aside ON job (mutex, queue, priority DESC, id)
  WHERE state = 'blocked' AND waits = 'mutex';
CREATE TABLE loosened (mutex TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE TRIGGER job_loosened AFTER UPDATE OF state, queue, mutex ON job
  WHEN old.mutex IS NOT NULL AND old.state IN ('ready', 'processing')
   AND NOT (old.state = 'ready' AND new.state IN ('ready', 'processing')
            AND new.mutex IS old.mutex AND new.queue = old.queue)
   AND new.waits IS NOT 'mutex'
BEGIN
  INSERT INTO loosened
    SELECT old.mutex WHERE EXISTS (SELECT 1 FROM job WHERE job.mutex = old.mutex
                                    AND job.state = 'blocked' AND job.waits = 'mutex')
    ON CONFLICT DO NOTHING;
END;

CREATE INDEX queue_limited ON queue (id) WHERE max_running IS NOT NULL;

CREATE TABLE attempt (
  job INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
  number INTEGER NOT NULL CHECK (number > 0),
  token TEXT NOT NULL,
  worker TEXT NOT NULL,
  leader_pid INTEGER,
  leader_ticks INTEGER,  -- its start time, so that a reused pid is never taken for it
  started_ms INTEGER NOT NULL,
  ended_ms INTEGER,
  result TEXT,
  exit_code INTEGER,
  signal INTEGER,
  reason TEXT,
  late TEXT,
  output_bytes INTEGER NOT NULL DEFAULT 0,
  dropped_bytes INTEGER NOT NULL DEFAULT 0,
  cpu_ms INTEGER,
  peak_kib INTEGER,
  PRIMARY KEY (job, number),
  CHECK ((ended_ms IS NULL) = (result IS NULL))
) STRICT, WITHOUT ROWID;

-- `marks` tells the streams of `data` apart: "o120e33" is 120 bytes of stdout, then 33 of stderr.
CREATE TABLE output (
  job INTEGER NOT NULL,
  number INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  at_ms INTEGER NOT NULL,
  marks TEXT NOT NULL,
  data BLOB NOT NULL,
  UNIQUE (job, number, seq),
  FOREIGN KEY (job, number) REFERENCES attempt ON DELETE CASCADE
) STRICT;

CREATE TABLE event (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
  at_ms INTEGER NOT NULL,
  kind TEXT NOT NULL,
  user TEXT NOT NULL,
  detail TEXT,
  nonce INTEGER NOT NULL
) STRICT;
CREATE INDEX event_job ON event (job, id);

CREATE TABLE pool (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,
  host TEXT NOT NULL,
  boot TEXT NOT NULL,
  pid_namespace TEXT NOT NULL,
  pid INTEGER NOT NULL,
  is_init INTEGER NOT NULL CHECK (is_init IN (0, 1)),
  detached INTEGER NOT NULL CHECK (detached IN (0, 1)),
  wanted INTEGER NOT NULL CHECK (wanted >= 0),
  queues TEXT NOT NULL,
  directory TEXT NOT NULL,
  log TEXT NOT NULL,
  started_ms INTEGER NOT NULL,
  stop TEXT CHECK (stop IN ('graceful', 'now')),
  trouble TEXT,
  most_workers INTEGER,
  CHECK (wanted <= most_workers)
) STRICT;

CREATE TABLE worker (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pool INTEGER NOT NULL REFERENCES pool ON DELETE CASCADE,
  number INTEGER NOT NULL,
  pid INTEGER NOT NULL DEFAULT 0,
  started_ms INTEGER NOT NULL,
  synced_ms INTEGER  -- touched to bring a quiet worker's last commits to disk
) STRICT;
CREATE INDEX worker_pool ON worker (pool);

-- Recurring jobs. `next_ms` is NULL while paused, or when no time will come any more; `template` is
-- the job as it shall be added (JSON), without its context.
CREATE TABLE schedule (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT UNIQUE,
  expression TEXT NOT NULL,
  zone TEXT NOT NULL,
  paused INTEGER NOT NULL DEFAULT 0 CHECK (paused IN (0, 1)),
  missed TEXT NOT NULL CHECK (missed IN ('run', 'skip')),
  overlap INTEGER NOT NULL CHECK (overlap IN (0, 1)),
  next_ms INTEGER CHECK (paused = 0 OR next_ms IS NULL),
  last_ms INTEGER,
  last_result TEXT,
  last_job INTEGER,  -- may be deleted by now
  skipped INTEGER NOT NULL DEFAULT 0,
  created_ms INTEGER NOT NULL,
  template TEXT NOT NULL,
  context INTEGER NOT NULL REFERENCES context
) STRICT;
CREATE INDEX schedule_due ON schedule (next_ms) WHERE paused = 0 AND next_ms IS NOT NULL;

-- What queues run when something happens to their jobs.
CREATE TABLE hook (
  queue INTEGER NOT NULL REFERENCES queue,
  event TEXT NOT NULL CHECK (event IN ('on_dead', 'on_completed', 'on_drained')),
  command TEXT NOT NULL,
  argv TEXT,
  timeout_ms INTEGER NOT NULL CHECK (timeout_ms > 0),
  context INTEGER NOT NULL REFERENCES context,
  PRIMARY KEY (queue, event)
) STRICT, WITHOUT ROWID;

-- Hooks that are to be run: each stays until a pool has run it to its end.
CREATE TABLE hook_due (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  event TEXT NOT NULL,
  queue INTEGER NOT NULL REFERENCES queue,
  job INTEGER,           -- may be deleted by now
  at_ms INTEGER NOT NULL,
  fields TEXT NOT NULL,  -- what its environment says (JSON)
  own INTEGER NOT NULL,  -- the job's own hook, not its queue's
  command TEXT NOT NULL,
  argv TEXT,
  timeout_ms INTEGER NOT NULL,
  context INTEGER NOT NULL REFERENCES context,
  pool INTEGER,          -- that runs it; it may have died
  token TEXT             -- of the last run
) STRICT;
CREATE INDEX hook_due_drained ON hook_due (queue) WHERE event = 'on_drained';
-- Telling: what happened, in the order of the commits, and sums for monitoring; see `telling`.
-- A row of `n` things has the numbers up to its `id`: adds and acts that were one transaction.
CREATE TABLE happening (
  id INTEGER PRIMARY KEY,
  kind INTEGER NOT NULL,  -- see `telling.Kind`
  ref INTEGER NOT NULL,   -- the job; of acts the first event, of adds the first job
  number INTEGER,         -- of the attempt
  n INTEGER               -- of acts and adds how many; of a start ms since due; of an end the state
) STRICT;
CREATE TABLE tally (
  queue INTEGER NOT NULL,
  kind TEXT NOT NULL,  -- a result of attempts; first or retry: waits before them; late results
  bucket INTEGER NOT NULL,
  n INTEGER NOT NULL,
  ms INTEGER NOT NULL,
  PRIMARY KEY (queue, kind, bucket)
) STRICT, WITHOUT ROWID;
CREATE TABLE tallied (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  upto INTEGER NOT NULL  -- the last happening that the sums hold
) STRICT;
INSERT INTO tallied VALUES (1, 0);
-- Which job came of which job elsewhere. Kept for ever: what was imported, ran and was deleted must
-- not run again when the same file is imported once more.
CREATE TABLE origin (
  name TEXT PRIMARY KEY,
  job INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX job_waiting ON job (queue, run_at_ms) WHERE state = 'ready';
"""

STEP_1: Final = _TABLES + labels.TABLES
