//! SQLite (PostgreSQL and Redis to come), key files. The only SQL.
