//! What the one writer writes to: a table that refuses stale fencing tokens.
//!
//! A lease alone cannot promise that there is one writer: a process may stand still between its last
//! look at the clock and its write. So the resource itself checks. One statement raises the highest
//! token that was ever seen, unless it is above the writer's already, and the write happens in the
//! same transaction.

use std::{path::Path, time::Duration};

use pogo::FencingToken;
use rusqlite::{Connection, TransactionBehavior, params};

/// The table.
pub(crate) struct Ledger(Connection);

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    Entry(i64),
    /// A later owner has written already.
    Stale,
}

impl Ledger {
    pub(crate) fn open(file: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(Duration::from_secs(30))?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS fence (one INTEGER PRIMARY KEY CHECK (one = 1), token INTEGER NOT NULL);
             INSERT OR IGNORE INTO fence VALUES (1, 0);
             CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY, token INTEGER NOT NULL, writer TEXT NOT NULL);",
        )?;
        Ok(Self(connection))
    }

    /// Adds an entry, unless somebody with a higher token has written.
    pub(crate) fn write(&mut self, token: FencingToken, writer: &str) -> rusqlite::Result<Written> {
        let token = token.get().cast_signed();
        let change = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let passed =
            change.execute("UPDATE fence SET token = ?1 WHERE token <= ?1", params![token])?;
        if passed == 0 {
            return Ok(Written::Stale);
        }
        change.execute(
            "INSERT INTO entries (token, writer) VALUES (?1, ?2)",
            params![token, writer],
        )?;
        let number = change.last_insert_rowid();
        change.commit()?;
        Ok(Written::Entry(number))
    }

    /// Whether somebody has written with this token.
    pub(crate) fn has_entry_of(&self, token: FencingToken) -> rusqlite::Result<bool> {
        let look = "SELECT EXISTS (SELECT 1 FROM entries WHERE token = ?1)";
        self.0.query_row(look, params![token.get().cast_signed()], |row| row.get(0))
    }

    /// Whether the tokens of the entries never went back.
    pub(crate) fn is_in_order(&self) -> rusqlite::Result<bool> {
        let back = "SELECT count(*) FROM entries a JOIN entries b ON b.number = a.number + 1 WHERE b.token < a.token";
        self.0.query_row(back, [], |row| row.get(0)).map(|count: i64| count == 0)
    }
}
