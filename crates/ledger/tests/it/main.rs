//! Tests of the ledger over the in-memory journal.
