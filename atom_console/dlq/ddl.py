"""The tables of the store, version by version. A released version is never edited: append a new one.

The shape follows from the questions asked of it at a million records:

- `cohort` holds what many records share (origin, class, code, topics, tenant, fingerprint); a record points at it.
  Every filter of the command line but key, event id and time is a choice of cohorts and states, so one index serves
  them all.
- `tally` counts records and bytes by cohort and state. Capture adds to it once a batch, in its own transaction
  (measured: a trigger a row costs a third of the capture rate); whatever changes or deletes a record later goes
  through triggers, so no caller can forget. `arrival` keeps arrivals by minute, and which rows a minute spans.
- `payload` is what came, as it came, and can never be updated; an edit is a row of `revision`. `provenance` is what
  only a dead letter of others has: its place in a DLQ topic, its headers there, the stack.
- The hot path has no foreign keys and no `IN` list in a CHECK (measured: 2 of 9 µs a row); `check` looks for orphans,
  and the trigger `record_gone` deletes what belongs to a record.
- `lookup` finds key and event id. Random hashes would cost most of the capture rate (measured: 112k → 17k rows/s), so
  it is filled in sorted batches when the writer is idle; rows above `meta.lookup_through` are scanned instead.
- `audit` is append-only and hash-chained, by trigger.
"""

from __future__ import annotations

from typing import Final

_V1: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('next_seq', 1), ('next_journal', 1), ('lookup_through', 0);

CREATE TABLE cohort (
  id INTEGER PRIMARY KEY,
  ident BLOB NOT NULL UNIQUE,
  fingerprint TEXT NOT NULL,
  fp_version INTEGER NOT NULL,
  label TEXT NOT NULL,
  origin TEXT NOT NULL,
  err_class TEXT NOT NULL,
  err_code INTEGER,
  err_name TEXT NOT NULL,
  stage TEXT NOT NULL,
  cluster_id TEXT,
  dest_topic TEXT,
  dlq_topic TEXT,
  tenant_id TEXT,
  first_seen INTEGER NOT NULL,
  last_seen INTEGER NOT NULL
) STRICT;
CREATE INDEX cohort_fingerprint ON cohort (fingerprint);

CREATE TABLE record (
  seq INTEGER PRIMARY KEY,
  id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
  cohort INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state = 'ready' OR state = 'quarantined' OR state = 'captured' OR state = 'replaying'
    OR state = 'replayed' OR state = 'failed' OR state = 'unknown' OR state = 'discarded'),
  state_reason TEXT,
  state_at INTEGER NOT NULL,
  version INTEGER NOT NULL DEFAULT 1,
  prior_state TEXT,
  captured_at INTEGER NOT NULL,
  size_bytes INTEGER NOT NULL CHECK (size_bytes >= 0),
  payload_kind TEXT NOT NULL,
  maybe_persisted INTEGER NOT NULL CHECK (maybe_persisted BETWEEN 0 AND 1),
  component TEXT NOT NULL,
  key_hash INTEGER,
  event_id TEXT,
  event_type INTEGER,
  event_ts INTEGER,
  orig_partition INTEGER,
  orig_timestamp INTEGER,
  rev INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0,
  next_attempt_at INTEGER,
  run_id INTEGER
) STRICT;
CREATE INDEX record_bucket ON record (cohort, state, seq);

CREATE TABLE dlq_source (
  id INTEGER PRIMARY KEY,
  cluster_id TEXT NOT NULL,
  topic TEXT NOT NULL,
  UNIQUE (cluster_id, topic)
) STRICT;
CREATE TABLE ingest_position (
  source INTEGER NOT NULL REFERENCES dlq_source (id),
  partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  topic_id TEXT,
  PRIMARY KEY (source, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE provenance (
  seq INTEGER PRIMARY KEY,
  source INTEGER REFERENCES dlq_source (id),
  partition INTEGER,
  "offset" INTEGER,
  timestamp INTEGER,
  headers BLOB,
  orig_offset INTEGER,
  ts_type TEXT,
  err_stack TEXT,
  warnings TEXT,
  parent_id TEXT,
  loops INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX provenance_source ON provenance (source, partition, "offset") WHERE source IS NOT NULL;
CREATE INDEX provenance_parent ON provenance (parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE payload (
  seq INTEGER PRIMARY KEY,
  key BLOB,
  value BLOB,
  headers BLOB NOT NULL,
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  err_message TEXT NOT NULL
) STRICT;
CREATE TRIGGER payload_immutable BEFORE UPDATE ON payload
BEGIN SELECT RAISE(ABORT, 'a payload is never changed: write a revision'); END;

CREATE TABLE revision (
  seq INTEGER NOT NULL,
  rev INTEGER NOT NULL CHECK (rev >= 1),
  key BLOB,
  value BLOB,
  headers BLOB NOT NULL,
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  event_id TEXT,
  author TEXT NOT NULL,
  reason TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  PRIMARY KEY (seq, rev)
) STRICT;
CREATE TRIGGER revision_immutable BEFORE UPDATE ON revision
BEGIN SELECT RAISE(ABORT, 'a revision is never changed: write another'); END;

CREATE TABLE tally (
  cohort INTEGER NOT NULL,
  state TEXT NOT NULL,
  n INTEGER NOT NULL CHECK (n >= 0),
  bytes INTEGER NOT NULL CHECK (bytes >= 0),
  PRIMARY KEY (cohort, state)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER record_moved AFTER UPDATE OF state, cohort, size_bytes ON record
WHEN old.state <> new.state OR old.cohort <> new.cohort OR old.size_bytes <> new.size_bytes
BEGIN
  UPDATE tally SET n = n - 1, bytes = bytes - old.size_bytes WHERE cohort = old.cohort AND state = old.state;
  INSERT INTO tally VALUES (new.cohort, new.state, 1, new.size_bytes)
    ON CONFLICT DO UPDATE SET n = n + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER record_gone AFTER DELETE ON record
BEGIN
  UPDATE tally SET n = n - 1, bytes = bytes - old.size_bytes WHERE cohort = old.cohort AND state = old.state;
  DELETE FROM payload WHERE seq = old.seq;
  DELETE FROM provenance WHERE seq = old.seq;
  DELETE FROM revision WHERE seq = old.seq;
  DELETE FROM attempt WHERE seq = old.seq;
END;

CREATE TABLE arrival (
  minute INTEGER NOT NULL,
  fingerprint TEXT NOT NULL,
  n INTEGER NOT NULL,
  first_seq INTEGER NOT NULL,
  last_seq INTEGER NOT NULL,
  PRIMARY KEY (minute, fingerprint)
) STRICT, WITHOUT ROWID;

CREATE TABLE lookup (hash INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (hash, seq)) STRICT, WITHOUT ROWID;

CREATE TABLE owner (
  id INTEGER PRIMARY KEY,
  lock_name TEXT NOT NULL UNIQUE,
  component TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  started_at INTEGER NOT NULL
) STRICT;
CREATE TABLE journal (
  id INTEGER PRIMARY KEY,
  owner INTEGER NOT NULL REFERENCES owner (id),
  topic TEXT NOT NULL,
  key BLOB,
  value BLOB,
  headers BLOB NOT NULL,
  sha256 BLOB NOT NULL CHECK (length(sha256) = 32),
  timestamp_ms INTEGER,
  accepted_at INTEGER NOT NULL
) STRICT;

CREATE TABLE run (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL CHECK (state IN
    ('planned', 'running', 'paused', 'stopped', 'cancelled', 'finished', 'failed')),
  state_reason TEXT NOT NULL DEFAULT '',
  filter TEXT NOT NULL,
  options TEXT NOT NULL,
  plan TEXT NOT NULL,
  cluster_id TEXT,
  created_at INTEGER NOT NULL,
  created_by TEXT NOT NULL,
  started_at INTEGER,
  ended_at INTEGER,
  requested TEXT CHECK (requested IN ('pause', 'resume', 'cancel')),
  total INTEGER NOT NULL DEFAULT 0,
  held INTEGER NOT NULL DEFAULT 0,
  sent INTEGER NOT NULL DEFAULT 0,
  replayed INTEGER NOT NULL DEFAULT 0,
  failed INTEGER NOT NULL DEFAULT 0,
  unknown INTEGER NOT NULL DEFAULT 0,
  duplicates_avoided INTEGER NOT NULL DEFAULT 0,
  verified TEXT
) STRICT;
CREATE TABLE run_item (
  run_id INTEGER NOT NULL REFERENCES run (id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  seq INTEGER NOT NULL,
  rev INTEGER NOT NULL DEFAULT 0,
  held TEXT,
  PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE replay_window (
  id INTEGER PRIMARY KEY,
  run_id INTEGER NOT NULL REFERENCES run (id),
  number INTEGER NOT NULL,
  fencing INTEGER NOT NULL,
  seqs BLOB NOT NULL,
  lows TEXT NOT NULL,
  topic_ids TEXT NOT NULL,
  opened_at INTEGER NOT NULL,
  orphaned_at INTEGER,
  closed_at INTEGER,
  outcome TEXT,
  digest BLOB,
  UNIQUE (run_id, number)
) STRICT;
CREATE INDEX replay_window_open ON replay_window (id) WHERE closed_at IS NULL;
CREATE TABLE attempt (
  id INTEGER PRIMARY KEY,
  seq INTEGER NOT NULL,
  run_id INTEGER,
  window_id INTEGER,
  rev INTEGER NOT NULL DEFAULT 0,
  sent_at INTEGER NOT NULL,
  ended_at INTEGER,
  outcome TEXT,
  code INTEGER,
  err_name TEXT,
  message TEXT,
  partition INTEGER,
  "offset" INTEGER
) STRICT;
CREATE INDEX attempt_record ON attempt (seq, id);

CREATE TABLE lease (
  name TEXT PRIMARY KEY,
  owner TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  purpose TEXT NOT NULL,
  acquired_at INTEGER NOT NULL,
  heartbeat_at INTEGER NOT NULL,
  fencing INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  at INTEGER NOT NULL,
  os_user TEXT NOT NULL,
  sudo_user TEXT NOT NULL,
  ssh_client TEXT NOT NULL,
  host TEXT NOT NULL,
  pid INTEGER NOT NULL,
  action TEXT NOT NULL,
  subject TEXT NOT NULL,
  records INTEGER NOT NULL,
  first_seq INTEGER,
  last_seq INTEGER,
  before_sha BLOB NOT NULL,
  after_sha BLOB NOT NULL,
  reason TEXT NOT NULL,
  prev_hash BLOB NOT NULL,
  hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_capture ON audit (first_seq) WHERE first_seq IS NOT NULL;
CREATE TABLE audit_record (
  record_seq INTEGER NOT NULL,
  audit_seq INTEGER NOT NULL REFERENCES audit (seq),
  PRIMARY KEY (record_seq, audit_seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER audit_chained BEFORE INSERT ON audit
WHEN new.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM audit)
  OR new.prev_hash IS NOT coalesce((SELECT hash FROM audit ORDER BY seq DESC LIMIT 1), zeroblob(32))
BEGIN SELECT RAISE(ABORT, 'the audit chain grows only at its end'); END;
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_record_no_update BEFORE UPDATE ON audit_record
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_record_no_delete BEFORE DELETE ON audit_record
BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
"""

MIGRATIONS: Final[tuple[str, ...]] = (_V1,)
"""`MIGRATIONS[n]` brings `user_version` n to n + 1."""
