-- Keys of content, wrapped under a key that is in no database, so that all instances share one erasure.
CREATE TABLE sealgate_content_subjects (
    subject BYTEA NOT NULL PRIMARY KEY,
    key BYTEA NOT NULL,
    wrapped BYTEA NOT NULL,
    made_at BIGINT NOT NULL
);
CREATE TABLE sealgate_content_hours (
    hour BIGINT NOT NULL PRIMARY KEY,
    key BYTEA NOT NULL,
    wrapped BYTEA NOT NULL
);

-- One row: a digest of the key that wraps them, so that an instance with another one notices at its start.
CREATE TABLE sealgate_content_wrapping (
    one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    digest BYTEA NOT NULL
);
