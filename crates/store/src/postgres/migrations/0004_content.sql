-- Texts of calls, encrypted; the record holds a commitment to `subject`, `hour` and `sealed`.
CREATE TABLE sealgate_content (
    chain TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    hour BIGINT NOT NULL,
    subject BYTEA NOT NULL,
    key BYTEA NOT NULL,
    wrapped BYTEA NOT NULL,
    sealed BYTEA NOT NULL,
    PRIMARY KEY (chain, sequence)
);
ALTER TABLE sealgate_content ALTER COLUMN sealed SET STORAGE EXTERNAL;

-- Keys that erasures destroy: what a crash interrupted is finished at the next start.
CREATE TABLE sealgate_erased (
    sequence BIGINT NOT NULL,
    subject BYTEA NOT NULL,
    key BYTEA NOT NULL,
    PRIMARY KEY (subject, key)
);

-- One row: how far the keys of hours are destroyed, and which time the last run believed.
CREATE TABLE sealgate_retention (
    tenant TEXT NOT NULL PRIMARY KEY,
    floor BIGINT NOT NULL,
    believed BIGINT NOT NULL,
    sequence BIGINT NOT NULL
);
