-- The reference's table in its columns, so that its tool reads and appends; without the indexes that nothing here reads, which
-- every commit would pay for. `sequence` is wider than the reference's, which reads it all the same.
CREATE TABLE IF NOT EXISTS quantumpipes_capsules (
    id VARCHAR(36) NOT NULL,
    type VARCHAR(20) NOT NULL,
    sequence BIGINT NOT NULL,
    previous_hash VARCHAR(64),
    data TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL,
    signature TEXT NOT NULL,
    signature_pq TEXT NOT NULL,
    signed_at VARCHAR(40),
    signed_by VARCHAR(32),
    session_id VARCHAR(36),
    domain VARCHAR(50) NOT NULL,
    tenant_id VARCHAR(36),
    PRIMARY KEY (id),
    CONSTRAINT uq_capsule_tenant_sequence UNIQUE (tenant_id, sequence)
);
CREATE UNIQUE INDEX IF NOT EXISTS uq_capsule_global_sequence ON quantumpipes_capsules (sequence) WHERE tenant_id IS NULL;
CREATE INDEX IF NOT EXISTS ix_sealgate_capsules_session ON quantumpipes_capsules (session_id) WHERE session_id IS NOT NULL;

-- `chain` is the tenant whose chain it is; empty for the default one.
CREATE TABLE sealgate_ledger (
    chain TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL
);

-- The last record that a sequencer of ours committed. Its row is the lock of the chain. Updated in place (fillfactor).
CREATE TABLE sealgate_head (
    chain TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash TEXT NOT NULL
) WITH (fillfactor = 10);

-- A boot is a process that serves, and its lease. `claimed_by` is set by whoever settles what it left open.
CREATE TABLE sealgate_boots (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain TEXT NOT NULL,
    id TEXT NOT NULL UNIQUE,
    started_at BIGINT NOT NULL,
    closed_at BIGINT,
    last_intent BIGINT NOT NULL DEFAULT 0,
    address TEXT NOT NULL DEFAULT '',
    lease_until TIMESTAMPTZ NOT NULL,
    claimed_by TEXT,
    claimed_until TIMESTAMPTZ
) WITH (fillfactor = 20);
CREATE INDEX ix_sealgate_boots_open ON sealgate_boots (chain, number) WHERE closed_at IS NULL;

CREATE TABLE sealgate_intents (
    boot BIGINT NOT NULL,
    number BIGINT NOT NULL,
    id TEXT NOT NULL,
    opened_at BIGINT NOT NULL,
    payload BYTEA NOT NULL,
    PRIMARY KEY (boot, number)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000);

CREATE TABLE sealgate_spend (
    chain TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    status SMALLINT NOT NULL,
    call_type TEXT NOT NULL,
    model TEXT NOT NULL,
    deployment TEXT NOT NULL,
    provider TEXT NOT NULL,
    key TEXT NOT NULL,
    team TEXT NOT NULL,
    "user" TEXT NOT NULL,
    tokens_in BIGINT NOT NULL,
    tokens_out BIGINT NOT NULL,
    tokens_cached BIGINT NOT NULL,
    tokens_reasoning BIGINT NOT NULL,
    duration_ms BIGINT NOT NULL,
    cost_micro_usd BIGINT,
    cost_source SMALLINT NOT NULL,
    estimated BOOLEAN NOT NULL,
    tenant TEXT NOT NULL,
    organization TEXT NOT NULL,
    end_user TEXT NOT NULL,
    tags TEXT NOT NULL,
    address TEXT NOT NULL,
    PRIMARY KEY (chain, sequence)
);
-- Rows come in the order of their time, so that this stays tiny.
CREATE INDEX ix_sealgate_spend_at ON sealgate_spend USING brin (at);

CREATE TABLE sealgate_quarantine (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain TEXT NOT NULL,
    at BIGINT NOT NULL,
    record TEXT,
    boot TEXT,
    intent BIGINT,
    reason TEXT NOT NULL,
    digest TEXT NOT NULL,
    bytes BYTEA NOT NULL
);

CREATE TABLE sealgate_adopted (
    chain TEXT NOT NULL,
    first BIGINT NOT NULL,
    last BIGINT NOT NULL,
    at BIGINT NOT NULL
);

CREATE TABLE sealgate_tiles (
    chain TEXT NOT NULL,
    level SMALLINT NOT NULL,
    position BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (chain, level, position)
);

CREATE TABLE sealgate_checkpoint (
    chain TEXT NOT NULL PRIMARY KEY,
    size BIGINT NOT NULL,
    note TEXT NOT NULL
);
