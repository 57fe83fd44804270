"""The tables, and the numbered steps that lead to them. Forward only; see `sqlite/schema.py`.

The same model as on SQLite, table by table. What is otherwise:

- Counts. One row a queue and state would be written by every worker at every turn, and PostgreSQL
  lets only one transaction write a row at a time. So each statement appends what it changed
  (`counter_delta`), and upkeep adds that to `counter_sum` now and then; a reader adds both, in one
  snapshot, which is exact. The counts of labels and causes are kept in the same way.
- The order of what happened. Numbers from a sequence are handed out before the commit, so a
  reader could see 8 and later 7. Happenings are written without a number (`happened`) and get one
  when someone reads or upkeep comes by, one numbering at a time: all below a number are there.
- No foreign key leads to rows that are never deleted (queues, contexts, causes): each would lock
  such a row once a job.
- Text that is long goes by its SHA-256 where it has to be unique: an index entry has 2,700 bytes.
- Names sort and compare by their bytes (COLLATE "C"), whatever the server's language.
"""

from __future__ import annotations

from typing import Final

_STATES: Final = (
    "'ready', 'scheduled', 'blocked', 'failed', 'processing', 'completed', 'dead', 'cancelled',"
    " 'deleted'"
)

# Rows here live for seconds: vacuum must come for a few thousand dead ones, not for a fifth.
_CHURN: Final = (
    "WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,"
    " autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000)"
)

_TABLES: Final = f"""
CREATE TABLE meta (
  one integer PRIMARY KEY CHECK (one = 1),
  version integer NOT NULL,     -- the number of the newest step that was taken
  min_reader integer NOT NULL,
  min_writer integer NOT NULL,
  uuid text NOT NULL,
  generation integer NOT NULL,
  made_ms bigint NOT NULL,
  made_by text NOT NULL,
  new_queues_paused boolean NOT NULL DEFAULT false,
  max_running bigint CHECK (max_running > 0),
  keep_completed_ms bigint CHECK (keep_completed_ms > 0)
);

CREATE TABLE queue (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" NOT NULL UNIQUE,
  paused boolean NOT NULL DEFAULT false,
  max_running bigint CHECK (max_running > 0),
  turn bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
CREATE INDEX queue_limited ON queue (id) WHERE max_running IS NOT NULL;

CREATE TABLE context (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest bytea NOT NULL UNIQUE,  -- of `body`
  body text NOT NULL
);

CREATE TABLE cause (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  digest bytea NOT NULL UNIQUE,  -- of the three
  program text COLLATE "C" NOT NULL,
  ended text COLLATE "C" NOT NULL,
  line text COLLATE "C" NOT NULL,
  dead bigint NOT NULL DEFAULT 0,  -- as far as it was added up
  last_ms bigint NOT NULL DEFAULT 0
);
CREATE INDEX cause_dead ON cause (last_ms DESC, id DESC) WHERE dead > 0;

CREATE TABLE job (
  id bigint PRIMARY KEY,
  queue bigint NOT NULL,
  state text COLLATE "C" NOT NULL CHECK (state IN ({_STATES})),
  priority bigint NOT NULL,
  run_at_ms bigint NOT NULL,
  attempts bigint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
  runs bigint NOT NULL DEFAULT 0 CHECK (runs >= attempts),
  deaths bigint NOT NULL DEFAULT 0,
  max_retries bigint NOT NULL CHECK (max_retries >= 0),
  timeout_ms bigint CHECK (timeout_ms > 0),
  allow_background boolean NOT NULL DEFAULT false,
  token text COLLATE "C",
  worker bigint,
  created_ms bigint NOT NULL,
  updated_ms bigint NOT NULL,
  started_ms bigint,
  finished_ms bigint,
  cancel_ms bigint,
  deleted_ms bigint,
  was text COLLATE "C",
  reason text COLLATE "C",
  parked text,
  cause bigint,
  context bigint NOT NULL,
  nonce bigint NOT NULL,
  key text COLLATE "C",
  log_file text,
  waits text COLLATE "C" CHECK (waits IN ('jobs', 'mutex')),
  mutex text COLLATE "C",
  argv text,
  command text COLLATE "C" NOT NULL,
  labels text COLLATE "C" CHECK (labels <> '[]'),
  retry_on text CHECK (retry_on <> ''),
  no_retry_on text CHECK (no_retry_on <> ''),
  schedule bigint,
  on_dead text,
  on_completed text,
  CHECK ((state = 'blocked') = (waits IS NOT NULL)),
  CHECK (waits IS DISTINCT FROM 'mutex' OR mutex IS NOT NULL),
  CHECK ((state = 'processing') = (token IS NOT NULL)),
  CHECK ((state = 'processing') = (worker IS NOT NULL)),
  CHECK (state = 'deleted'
         OR (state IN ('completed', 'dead', 'cancelled')) = (finished_ms IS NOT NULL)),
  CHECK (state = 'processing' OR (cancel_ms IS NULL AND parked IS NULL)),
  CHECK ((state = 'deleted') = (deleted_ms IS NOT NULL AND was IS NOT NULL))
) WITH (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.02,
        autovacuum_vacuum_insert_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.02);
-- Numbers come from here and are never handed out twice; a transaction that fails leaves a gap.
CREATE SEQUENCE job_id AS bigint;

CREATE INDEX job_ready ON job (queue, priority DESC, id) WHERE state = 'ready';
CREATE INDEX job_due ON job (run_at_ms, id) WHERE state IN ('scheduled', 'failed');
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
-- Jobs of one add have one moment. Equal entries would share a tuple, which readers cannot mark as
-- dead before all of it is: each look would pass hundreds of jobs that have long been claimed.
CREATE INDEX job_waiting ON job (queue, run_at_ms) WITH (deduplicate_items = off)
  WHERE state = 'ready';
-- Not on SQLite, where a counter says it: how many run of a queue with a limit.
CREATE INDEX job_running ON job (queue, worker) WHERE state = 'processing';
CREATE UNIQUE INDEX job_key ON job (key) WHERE key IS NOT NULL AND state <> 'deleted';
CREATE UNIQUE INDEX job_mutex ON job (mutex) WHERE state = 'processing' AND mutex IS NOT NULL;
CREATE INDEX job_front ON job (mutex, queue, priority DESC, id)
  WHERE state = 'ready' AND mutex IS NOT NULL;
CREATE INDEX job_aside ON job (mutex, queue, priority DESC, id)
  WHERE state = 'blocked' AND waits = 'mutex';

CREATE TABLE need (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  child bigint NOT NULL REFERENCES job ON DELETE CASCADE,
  parent bigint NOT NULL,
  after text COLLATE "C" NOT NULL CHECK (after IN ('ok', 'any', 'fail')),
  met boolean NOT NULL
);
CREATE INDEX need_child ON need (child, met);
CREATE INDEX need_open ON need (parent, after, id) WHERE NOT met;

CREATE TABLE ended (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  parent bigint NOT NULL,
  after text COLLATE "C" NOT NULL,
  last bigint NOT NULL,
  UNIQUE (parent, after)
) {_CHURN};
CREATE TABLE loosened (mutex text COLLATE "C" PRIMARY KEY) {_CHURN};

CREATE TABLE attempt (
  job bigint NOT NULL REFERENCES job ON DELETE CASCADE,
  number bigint NOT NULL CHECK (number > 0),
  token text COLLATE "C" NOT NULL,
  worker text NOT NULL,
  leader_pid bigint,
  leader_ticks bigint,
  started_ms bigint NOT NULL,
  ended_ms bigint,
  result text COLLATE "C",
  exit_code bigint,
  signal bigint,
  reason text,
  late text,
  output_bytes bigint NOT NULL DEFAULT 0,
  dropped_bytes bigint NOT NULL DEFAULT 0,
  cpu_ms bigint,
  peak_kib bigint,
  PRIMARY KEY (job, number),
  CHECK ((ended_ms IS NULL) = (result IS NULL))
) WITH (fillfactor = 85);

CREATE TABLE output (
  job bigint NOT NULL,
  number bigint NOT NULL,
  seq bigint NOT NULL,
  at_ms bigint NOT NULL,
  marks text NOT NULL,
  data bytea NOT NULL,
  PRIMARY KEY (job, number, seq),
  FOREIGN KEY (job, number) REFERENCES attempt ON DELETE CASCADE
);

CREATE TABLE event (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job bigint NOT NULL REFERENCES job ON DELETE CASCADE,
  at_ms bigint NOT NULL,
  kind text NOT NULL,
  who text NOT NULL,
  detail text,
  nonce bigint NOT NULL
);
CREATE INDEX event_job ON event (job, id);

CREATE TABLE pool (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL,
  host text NOT NULL,
  boot text NOT NULL,
  pid_namespace text NOT NULL,
  pid bigint NOT NULL,
  is_init boolean NOT NULL,
  detached boolean NOT NULL,
  wanted bigint NOT NULL CHECK (wanted >= 0),
  queues text NOT NULL,
  directory text NOT NULL,
  log text NOT NULL,
  started_ms bigint NOT NULL,
  stop text CHECK (stop IN ('graceful', 'now')),
  trouble text,
  most_workers bigint,
  slots bigint NOT NULL DEFAULT 1 CHECK (slots > 0),
  lease_ms bigint NOT NULL CHECK (lease_ms > 0),
  lease_until_ms bigint NOT NULL,  -- by the server's clock: until then what it holds is its own
  CHECK (wanted <= most_workers)
) WITH (fillfactor = 50);
CREATE TABLE worker (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pool bigint NOT NULL REFERENCES pool ON DELETE CASCADE,
  number bigint NOT NULL,
  pid bigint NOT NULL DEFAULT 0,
  started_ms bigint NOT NULL
);
CREATE INDEX worker_pool ON worker (pool);

-- Jobs whose worker died: each runs alone in its worker until it has ended otherwise.
CREATE TABLE suspect (job bigint PRIMARY KEY REFERENCES job ON DELETE CASCADE);

CREATE TABLE schedule (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE "C" UNIQUE,
  expression text NOT NULL,
  zone text NOT NULL,
  paused boolean NOT NULL DEFAULT false,
  missed text NOT NULL CHECK (missed IN ('run', 'skip')),
  overlap boolean NOT NULL,
  next_ms bigint CHECK (NOT paused OR next_ms IS NULL),
  last_ms bigint,
  last_result text,
  last_job bigint,
  skipped bigint NOT NULL DEFAULT 0,
  created_ms bigint NOT NULL,
  template text NOT NULL,
  context bigint NOT NULL
);
CREATE INDEX schedule_due ON schedule (next_ms, id) WHERE NOT paused AND next_ms IS NOT NULL;

CREATE TABLE hook (
  queue bigint NOT NULL,
  event text COLLATE "C" NOT NULL CHECK (event IN ('on_dead', 'on_completed', 'on_drained')),
  command text NOT NULL,
  argv text,
  timeout_ms bigint NOT NULL CHECK (timeout_ms > 0),
  context bigint NOT NULL,
  PRIMARY KEY (queue, event)
);
CREATE TABLE hook_due (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event text COLLATE "C" NOT NULL,
  queue bigint NOT NULL,
  job bigint,
  at_ms bigint NOT NULL,
  fields text NOT NULL,
  own boolean NOT NULL,
  command text NOT NULL,
  argv text,
  timeout_ms bigint NOT NULL,
  context bigint NOT NULL,
  pool bigint,
  token text
) {_CHURN};
CREATE INDEX hook_due_drained ON hook_due (queue) WHERE event = 'on_drained';

CREATE TABLE origin (
  name text COLLATE "C" PRIMARY KEY,
  job bigint NOT NULL
);

-- What happened: unnumbered, then in order. A row of `n` things has the numbers up to its `id`.
CREATE TABLE happened (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind smallint NOT NULL,
  ref bigint NOT NULL,
  number bigint,
  n bigint
) {_CHURN};
CREATE TABLE happening (
  id bigint PRIMARY KEY,
  kind smallint NOT NULL,
  ref bigint NOT NULL,
  number bigint,
  n bigint
);
CREATE TABLE tally (
  queue bigint NOT NULL,
  kind text COLLATE "C" NOT NULL,
  bucket integer NOT NULL,
  n bigint NOT NULL,
  ms bigint NOT NULL,
  PRIMARY KEY (queue, kind, bucket)
);
CREATE TABLE tallied (
  one integer PRIMARY KEY CHECK (one = 1),
  upto bigint NOT NULL
);
INSERT INTO tallied VALUES (1, 0);

-- Grows after each commit, so that many can look cheaply whether anything is new.
CREATE UNLOGGED SEQUENCE news AS bigint;
SELECT nextval('news');
"""

_COUNTS: Final = f"""
CREATE TABLE counter_sum (
  state text COLLATE "C" NOT NULL,
  queue bigint NOT NULL,
  n bigint NOT NULL,
  PRIMARY KEY (state, queue)
);
CREATE TABLE counter_delta (
  state text COLLATE "C" NOT NULL,
  queue bigint NOT NULL,
  n bigint NOT NULL
) {_CHURN};
CREATE VIEW counter AS
  SELECT state, queue, sum(n)::bigint AS n
    FROM (SELECT state, queue, n FROM counter_sum
          UNION ALL SELECT state, queue, n FROM counter_delta) AS each
   GROUP BY state, queue HAVING sum(n) <> 0;

CREATE TABLE job_label (
  label text COLLATE "C" NOT NULL,
  job bigint NOT NULL,
  PRIMARY KEY (label, job)
);
CREATE TABLE label_sum (
  label text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL,
  n bigint NOT NULL,
  PRIMARY KEY (label, state)
);
CREATE TABLE label_delta (
  label text COLLATE "C" NOT NULL,
  state text COLLATE "C" NOT NULL,
  n bigint NOT NULL
) {_CHURN};
CREATE TABLE cause_delta (
  cause bigint NOT NULL,
  n bigint NOT NULL,
  last_ms bigint NOT NULL
) {_CHURN};

CREATE FUNCTION job_inserted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO counter_delta SELECT state, queue, count(*) FROM added GROUP BY state, queue;
  IF EXISTS (SELECT 1 FROM added WHERE labels IS NOT NULL) THEN
    INSERT INTO job_label SELECT label, added.id
      FROM added, jsonb_array_elements_text(added.labels::jsonb) AS label;
    INSERT INTO label_delta SELECT label, added.state, count(*)
      FROM added, jsonb_array_elements_text(added.labels::jsonb) AS label
     GROUP BY label, added.state;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER job_inserted AFTER INSERT ON job REFERENCING NEW TABLE AS added
  FOR EACH STATEMENT EXECUTE FUNCTION job_inserted();

CREATE FUNCTION job_updated() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO counter_delta SELECT state, queue, sum(n) FROM (
      SELECT state, queue, 1 AS n FROM after_it
      UNION ALL SELECT state, queue, -1 FROM before_it) AS each
    GROUP BY state, queue HAVING sum(n) <> 0;
  IF EXISTS (SELECT 1 FROM before_it WHERE labels IS NOT NULL
             UNION ALL SELECT 1 FROM after_it WHERE labels IS NOT NULL) THEN
    DELETE FROM job_label USING before_it JOIN after_it USING (id)
     WHERE job_label.job = id AND before_it.labels IS DISTINCT FROM after_it.labels
       AND before_it.labels IS NOT NULL
       AND job_label.label IN (
             SELECT jsonb_array_elements_text(before_it.labels::jsonb));
    INSERT INTO job_label SELECT label, id
      FROM before_it JOIN after_it USING (id),
           jsonb_array_elements_text(after_it.labels::jsonb) AS label
     WHERE before_it.labels IS DISTINCT FROM after_it.labels;
    INSERT INTO label_delta SELECT label, state, sum(n) FROM (
        SELECT label, state, 1 AS n
          FROM after_it, jsonb_array_elements_text(after_it.labels::jsonb) AS label
        UNION ALL SELECT label, state, -1
          FROM before_it, jsonb_array_elements_text(before_it.labels::jsonb) AS label) AS each
      GROUP BY label, state HAVING sum(n) <> 0;
  END IF;
  IF EXISTS (SELECT 1 FROM before_it WHERE state = 'dead'
             UNION ALL SELECT 1 FROM after_it WHERE state = 'dead') THEN
    INSERT INTO cause_delta SELECT cause, sum(n), max(last) FROM (
        SELECT cause, 1 AS n, finished_ms AS last FROM after_it WHERE state = 'dead'
        UNION ALL SELECT cause, -1, 0 FROM before_it WHERE state = 'dead') AS each
      WHERE cause IS NOT NULL GROUP BY cause HAVING sum(n) <> 0;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER job_updated AFTER UPDATE ON job
  REFERENCING OLD TABLE AS before_it NEW TABLE AS after_it
  FOR EACH STATEMENT EXECUTE FUNCTION job_updated();

CREATE FUNCTION job_removed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO counter_delta SELECT state, queue, -count(*) FROM gone GROUP BY state, queue;
  IF EXISTS (SELECT 1 FROM gone WHERE labels IS NOT NULL) THEN
    DELETE FROM job_label USING gone
     WHERE job_label.job = gone.id
       AND job_label.label IN (SELECT jsonb_array_elements_text(gone.labels::jsonb));
    INSERT INTO label_delta SELECT label, gone.state, -count(*)
      FROM gone, jsonb_array_elements_text(gone.labels::jsonb) AS label
     GROUP BY label, gone.state;
  END IF;
  INSERT INTO cause_delta SELECT cause, -count(*), 0 FROM gone
    WHERE state = 'dead' AND cause IS NOT NULL GROUP BY cause;
  RETURN NULL;
END $$;
CREATE TRIGGER job_removed AFTER DELETE ON job REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION job_removed();

-- One adds up at a time; who finds another at it has nothing to do. Of the first rows only, so that
-- the transaction is short; `counter_sum` has rows for the non-empty alone. With its owner's
-- rights: who may only add does it too.
CREATE FUNCTION add_up(most integer) RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = queuectl, pg_temp AS $$
BEGIN
  IF NOT pg_try_advisory_xact_lock({{lock}}, 1) THEN RETURN; END IF;
  WITH taken AS (
    DELETE FROM counter_delta WHERE ctid = ANY (ARRAY(SELECT ctid FROM counter_delta LIMIT most))
    RETURNING state, queue, n)
  INSERT INTO counter_sum AS old SELECT state, queue, sum(n) FROM taken GROUP BY state, queue
    ON CONFLICT (state, queue) DO UPDATE SET n = old.n + excluded.n;
  WITH taken AS (
    DELETE FROM label_delta WHERE ctid = ANY (ARRAY(SELECT ctid FROM label_delta LIMIT most))
    RETURNING label, state, n)
  INSERT INTO label_sum AS old SELECT label, state, sum(n) FROM taken GROUP BY label, state
    ON CONFLICT (label, state) DO UPDATE SET n = old.n + excluded.n;
  WITH taken AS (
    DELETE FROM cause_delta WHERE ctid = ANY (ARRAY(SELECT ctid FROM cause_delta LIMIT most))
    RETURNING cause, n, last_ms)
  UPDATE cause SET dead = dead + more.n, last_ms = greatest(cause.last_ms, more.last_ms)
    FROM (SELECT cause AS id, sum(n) AS n, max(last_ms) AS last_ms
            FROM taken GROUP BY cause) AS more
   WHERE cause.id = more.id;
  DELETE FROM counter_sum WHERE n = 0;
  DELETE FROM label_sum WHERE n = 0;
END $$;
"""

_WAITING: Final = """
-- Locks a name for the rest of the transaction; a few hundred names share 256 locks.
CREATE FUNCTION lock_mutex(name text) RETURNS void LANGUAGE sql AS $$
  SELECT pg_advisory_xact_lock({lock} + 1, hashtext(name) & 255)
$$;
CREATE FUNCTION try_mutex(name text) RETURNS boolean LANGUAGE sql AS $$
  SELECT pg_try_advisory_xact_lock({lock} + 1, hashtext(name) & 255)
$$;

CREATE FUNCTION job_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO ended (parent, after, last)
    SELECT new.id, way.after, (SELECT max(id) FROM need)
      FROM (SELECT 'any' AS after
            UNION ALL SELECT 'ok' WHERE new.state = 'completed'
            UNION ALL SELECT 'fail' WHERE new.state = 'dead') AS way
     WHERE EXISTS (SELECT 1 FROM need WHERE need.parent = new.id AND need.after = way.after
                                        AND NOT need.met)
    ON CONFLICT (parent, after) DO UPDATE SET last = excluded.last;
  RETURN NULL;
END $$;
CREATE TRIGGER job_ended AFTER UPDATE ON job FOR EACH ROW
  WHEN (new.state IN ('completed', 'dead', 'cancelled', 'deleted') AND old.state <> new.state)
  EXECUTE FUNCTION job_ended();

-- Holds the mutex's lock: who sets a job aside meanwhile is either seen here or sees it free.
CREATE FUNCTION job_loosened() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM lock_mutex(old.mutex);
  INSERT INTO loosened
    SELECT old.mutex WHERE EXISTS (SELECT 1 FROM job WHERE job.mutex = old.mutex
                                    AND job.state = 'blocked' AND job.waits = 'mutex')
    ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER job_loosened AFTER UPDATE ON job FOR EACH ROW
  WHEN (old.mutex IS NOT NULL AND old.state IN ('ready', 'processing')
        AND NOT (old.state = 'ready' AND new.state IN ('ready', 'processing')
                 AND new.mutex IS NOT DISTINCT FROM old.mutex AND new.queue = old.queue)
        AND new.waits IS DISTINCT FROM 'mutex')
  EXECUTE FUNCTION job_loosened();
"""

_TELLING: Final = """
-- Numbers what was committed since the last time, one numbering at a time: others wait for it, so
-- that what they read after it is all there. With its owner's rights: who only looks does it too.
CREATE FUNCTION number_happenings() RETURNS void LANGUAGE plpgsql
  SECURITY DEFINER SET search_path = queuectl, pg_temp AS $$
DECLARE
  newest bigint;
BEGIN
  IF NOT EXISTS (SELECT 1 FROM happened) THEN RETURN; END IF;
  PERFORM pg_advisory_xact_lock({lock}, 2);
  SELECT coalesce(max(id), 0) INTO newest FROM happening;
  WITH taken AS (
    DELETE FROM happened WHERE seq IN (SELECT seq FROM happened ORDER BY seq LIMIT 20000)
    RETURNING *)
  INSERT INTO happening (id, kind, ref, number, n)
    SELECT newest + sum(CASE WHEN kind IN (0, 1) THEN n ELSE 1 END) OVER (ORDER BY seq),
           kind, ref, number, n
      FROM taken;
END $$;
"""

LOCK: Final = 0x5143  # the first of our advisory locks in this database
STEPS: Final[tuple[str, ...]] = (
    _TABLES
    + _COUNTS.replace("{lock}", str(LOCK))
    + _WAITING.replace("{lock}", str(LOCK))
    + _TELLING.replace("{lock}", str(LOCK)),
)
VERSION: Final = len(STEPS)
MIN_READER: Final = 1
MIN_WRITER: Final = 1
