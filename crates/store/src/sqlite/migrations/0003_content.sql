-- Texts of calls, encrypted; the record holds a commitment to `subject`, `hour` and `sealed`. Rows grow at the right edge and
-- have no other index: nothing on the path of a commit but one more page.
CREATE TABLE sealgate_content (
    sequence INTEGER NOT NULL PRIMARY KEY,
    hour INTEGER NOT NULL,
    subject BLOB NOT NULL,
    key BLOB NOT NULL,
    wrapped BLOB NOT NULL,
    sealed BLOB NOT NULL
);

-- Keys that erasures destroy: what a crash interrupted is finished at the next start.
CREATE TABLE sealgate_erased (
    sequence INTEGER NOT NULL,
    subject BLOB NOT NULL,
    key BLOB NOT NULL,
    PRIMARY KEY (subject, key)
) WITHOUT ROWID;

-- One row: how far the keys of hours are destroyed, and which time the last run believed.
CREATE TABLE sealgate_retention (
    tenant TEXT NOT NULL PRIMARY KEY,
    floor INTEGER NOT NULL,
    believed INTEGER NOT NULL,
    sequence INTEGER NOT NULL
) WITHOUT ROWID;
