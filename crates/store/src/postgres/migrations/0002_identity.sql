-- Entities of identity: keys, teams, users and all else, one row each. `doc` is JSON; `mac` binds tenant, kind, id, version and
-- doc under a key that is not in this database, so that a row changed here is noticed. `sequence` is the record that sealed it.
CREATE TABLE sealgate_entities (
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    mac TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (kind, tenant, id)
);

-- What was deleted, as it was.
CREATE TABLE sealgate_deleted (
    kind TEXT NOT NULL,
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    version BIGINT NOT NULL,
    doc TEXT NOT NULL,
    mac TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (kind, tenant, id, version, sequence)
);

-- One row for each change, in the words of LiteLLM's audit log. `id` is the record that sealed it.
CREATE TABLE sealgate_audit (
    id TEXT NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    changed_by TEXT NOT NULL,
    changed_by_key TEXT NOT NULL,
    action TEXT NOT NULL,
    table_name TEXT NOT NULL,
    object_id TEXT NOT NULL,
    before_value TEXT,
    updated_values TEXT
);
CREATE INDEX ix_sealgate_audit_at ON sealgate_audit (at);
CREATE INDEX ix_sealgate_audit_sequence ON sealgate_audit (sequence);
