-- The first table is the reference's, in its columns and types, so that its tool reads and appends.
-- `sequence` is the primary key: one B-tree that grows at its right edge. No other index is on the
-- path of a commit but the one on ids, which grow with time too.
CREATE TABLE capsules (
    id VARCHAR(36) NOT NULL UNIQUE,
    type VARCHAR(20) NOT NULL,
    sequence INTEGER NOT NULL PRIMARY KEY,
    previous_hash VARCHAR(64),
    data TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL,
    signature TEXT NOT NULL,
    signature_pq TEXT NOT NULL,
    signed_at VARCHAR(40),
    signed_by VARCHAR(32),
    session_id VARCHAR(36)
);
CREATE INDEX ix_capsules_session_id ON capsules (session_id) WHERE session_id IS NOT NULL;

-- One row: the ledger of the default tenant's chain.
CREATE TABLE sealgate_ledger (
    tenant TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL
) WITHOUT ROWID;

-- The last record that our sequencer committed. Other writers do not touch it, which shows them.
CREATE TABLE sealgate_head (
    tenant TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE sealgate_boots (
    number INTEGER NOT NULL PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    started_at INTEGER NOT NULL,
    closed_at INTEGER,
    last_intent INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE sealgate_intents (
    boot INTEGER NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    opened_at INTEGER NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (boot, number)
) WITHOUT ROWID;

CREATE TABLE sealgate_spend (
    sequence INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    status INTEGER NOT NULL,
    call_type TEXT NOT NULL,
    model TEXT NOT NULL,
    deployment TEXT NOT NULL,
    provider TEXT NOT NULL,
    key TEXT NOT NULL,
    team TEXT NOT NULL,
    user TEXT NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    tokens_cached INTEGER NOT NULL,
    tokens_reasoning INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    cost_micro_usd INTEGER,
    cost_source INTEGER NOT NULL,
    estimated INTEGER NOT NULL
);

CREATE TABLE sealgate_quarantine (
    number INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    record TEXT,
    boot TEXT,
    intent INTEGER,
    reason TEXT NOT NULL,
    digest TEXT NOT NULL,
    bytes BLOB NOT NULL
);

CREATE TABLE sealgate_adopted (
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    at INTEGER NOT NULL
);

CREATE TABLE sealgate_tiles (
    level INTEGER NOT NULL,
    position INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    UNIQUE (level, position)
);

CREATE TABLE sealgate_checkpoint (
    tenant TEXT NOT NULL PRIMARY KEY,
    size INTEGER NOT NULL,
    note TEXT NOT NULL
) WITHOUT ROWID;
