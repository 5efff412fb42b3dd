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
    overhead_micros INTEGER NOT NULL,
    downgraded INTEGER NOT NULL
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
    -- Nano-dollars; null where nobody knows the price.
    cost INTEGER,
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

CREATE TABLE IF NOT EXISTS cost_count (
    customer TEXT NOT NULL,
    key TEXT NOT NULL,
    team TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    nano_dollars INTEGER NOT NULL,
    PRIMARY KEY (customer, key, team, provider, model)
) WITHOUT ROWID;

-- Names beyond the configured ones that are labels: who brought them, and when they were last used.
CREATE TABLE IF NOT EXISTS label (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    tenant TEXT NOT NULL,
    used INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- How each limit stands in each window: requests, tokens or nano-dollars. A window is named by the Unix seconds of its
-- start, 0 for concurrent requests. Numbers are 64 bits without a sign; what looks negative is beyond 2^63.
CREATE TABLE IF NOT EXISTS balance (
    account INTEGER NOT NULL,
    window INTEGER NOT NULL,
    committed INTEGER NOT NULL,
    used INTEGER NOT NULL,
    holders INTEGER NOT NULL,
    allotted INTEGER NOT NULL,
    repaid INTEGER NOT NULL,
    told INTEGER NOT NULL,
    PRIMARY KEY (account, window)
) WITHOUT ROWID;

-- What each worker, or each customer's shard of an account that customers share, has of it.
CREATE TABLE IF NOT EXISTS portion (
    account INTEGER NOT NULL,
    window INTEGER NOT NULL,
    holder BLOB NOT NULL,
    granted INTEGER NOT NULL,
    spent INTEGER NOT NULL,
    returned INTEGER NOT NULL,
    PRIMARY KEY (account, window, holder)
) WITHOUT ROWID;

-- When rows of a window may go. `portions`: those of its holders, else its balance.
CREATE TABLE IF NOT EXISTS expiry (
    at INTEGER NOT NULL,
    account INTEGER NOT NULL,
    window INTEGER NOT NULL,
    portions INTEGER NOT NULL,
    PRIMARY KEY (at, account, window, portions)
) WITHOUT ROWID;

-- Accounts in words, for whoever reads this file.
CREATE TABLE IF NOT EXISTS account (
    id INTEGER PRIMARY KEY,
    shard TEXT NOT NULL,
    scope TEXT NOT NULL,
    name TEXT NOT NULL,
    counted TEXT NOT NULL,
    window TEXT NOT NULL
);

-- What was learned of models' tokens, as JSON; as many models as are remembered, the latest.
CREATE TABLE IF NOT EXISTS calibration (
    id INTEGER PRIMARY KEY,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    learned TEXT NOT NULL,
    UNIQUE (provider, model)
);

-- Single numbers: generation of key records, time of the last probe, the ledger's clock in Unix nanoseconds.
CREATE TABLE IF NOT EXISTS meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
