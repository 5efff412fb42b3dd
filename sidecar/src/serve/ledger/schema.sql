-- One row per finished exchange. The admission id makes a resent settlement recognisable.
CREATE TABLE IF NOT EXISTS settlement (
    id INTEGER PRIMARY KEY,
    admission_id BLOB NOT NULL UNIQUE,
    settled_at INTEGER NOT NULL DEFAULT (unixepoch()),
    key TEXT NOT NULL,
    team TEXT NOT NULL,
    customer TEXT NOT NULL,
    asked_model TEXT NOT NULL,
    dialect TEXT NOT NULL,
    stream INTEGER NOT NULL,
    status INTEGER NOT NULL,
    client_gone INTEGER NOT NULL,
    started_unix_nanos INTEGER NOT NULL,
    duration_micros INTEGER NOT NULL,
    first_byte_micros INTEGER NOT NULL,
    operation TEXT NOT NULL,
    first_content_micros INTEGER NOT NULL,
    overhead_micros INTEGER NOT NULL
);

-- Its tries in order. Outcome and billed as numbered in sidecar.proto; dropped as labels with commas between.
CREATE TABLE IF NOT EXISTS attempt (
    settlement INTEGER NOT NULL REFERENCES settlement (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    provider TEXT NOT NULL,
    provider_key TEXT NOT NULL,
    model TEXT NOT NULL,
    status INTEGER NOT NULL,
    outcome INTEGER NOT NULL,
    billed INTEGER NOT NULL,
    duration_micros INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    estimated INTEGER NOT NULL,
    dropped TEXT NOT NULL,
    skipped_events INTEGER NOT NULL,
    cooled INTEGER NOT NULL,
    disposition TEXT NOT NULL,
    PRIMARY KEY (settlement, position)
) WITHOUT ROWID;

-- Sums, kept for ever. Label values are bounded in number before they come here.
CREATE TABLE IF NOT EXISTS request_count (
    key TEXT NOT NULL,
    team TEXT NOT NULL,
    model TEXT NOT NULL,
    status_class TEXT NOT NULL,
    dialect TEXT NOT NULL,
    requests INTEGER NOT NULL,
    PRIMARY KEY (key, team, model, status_class, dialect)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS usage_count (
    key TEXT NOT NULL,
    team TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    tries_ok INTEGER NOT NULL,
    tries_error INTEGER NOT NULL,
    tries_no_answer INTEGER NOT NULL,
    tries_cut INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    cooldowns INTEGER NOT NULL,
    skipped_events INTEGER NOT NULL,
    PRIMARY KEY (key, team, provider, model)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS failover_count (
    from_provider TEXT NOT NULL,
    to_provider TEXT NOT NULL,
    failovers INTEGER NOT NULL,
    PRIMARY KEY (from_provider, to_provider)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS dropped_count (
    provider TEXT NOT NULL,
    field TEXT NOT NULL,
    dropped INTEGER NOT NULL,
    PRIMARY KEY (provider, field)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS failure_count (
    provider TEXT NOT NULL,
    disposition TEXT NOT NULL,
    failures INTEGER NOT NULL,
    PRIMARY KEY (provider, disposition)
) WITHOUT ROWID;

-- Single numbers: generation of key records, time of the last probe.
CREATE TABLE IF NOT EXISTS meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
