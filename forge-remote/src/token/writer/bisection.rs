//! The search for the rows that a store rejects, while it accepts others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::rows::Row;
use crate::error::chain;
use crate::token::keeper::Keeper;
use crate::token::store::{PageRequest, StoreError};

/// Limits of the search for rows that a store rejects, in one round: the number of writes, the number
/// of failures before the first success, and the duration.
const MAX_PARTS: usize = 96;
const MAX_FAILURES: usize = 24;
const PARTS_TIMEOUT: Duration = Duration::from_secs(30);

impl Keeper {
    /// Handles a failed write: if the store works, finds the rows that it rejects by bisection, writes
    /// the others, and sets the rejected ones aside for a while.
    pub(super) async fn write_apart(
        self: &Arc<Self>,
        mut rows: Vec<Row>,
        mut error: StoreError,
    ) -> Result<(), StoreError> {
        if let [row] = &rows[..]
            && self.memory().rejected.contains_key(row.id())
            && let Some(row) = rows.pop()
        {
            // It was rejected before, while the store accepted others.
            self.set_aside(&row, &error);
            return Ok(());
        }
        // A store that is down is not called for each row.
        let probe = self.store.list(PageRequest::first(1));
        if self.in_write_time(probe).await.is_err() {
            return Err(error);
        }
        let began = tokio::time::Instant::now();
        let (mut rejected, mut calls, mut has_written) = (Vec::new(), 0, false);
        let mut parts = VecDeque::from(halves(rows));
        // Widest first until something is written: many rejected rows in a row do not use up the calls.
        while let Some(mut part) = match has_written {
            true => parts.pop_back(),
            false => parts.pop_front(),
        } {
            let limit = if has_written { MAX_PARTS } else { MAX_FAILURES };
            if calls == limit || began.elapsed() > PARTS_TIMEOUT {
                break;
            }
            calls += 1;
            match (self.write_rows(&part).await, part.len()) {
                (Ok(()), _) => has_written = true,
                (Err(of_row), 1) => rejected.extend(part.pop().map(|row| (row, of_row))),
                (Err(of_part), _) => {
                    error = of_part;
                    parts.extend(halves(part));
                }
            }
        }
        // A store that accepts no row may reject every row: it is full, or read-only.
        if !has_written {
            return Err(error);
        }
        for (row, error) in &rejected {
            self.set_aside(row, error);
        }
        Ok(())
    }

    /// Sets aside a row that the store rejects while it accepts others.
    fn set_aside(&self, row: &Row, error: &StoreError) {
        let retry_in = {
            let mut memory = self.memory();
            memory.counts.store_failures += 1;
            memory.failed_rounds += 1;
            memory.set_aside(row.id(), self.clock.elapsed())
        };
        tracing::error!(
            store = self.store.name(),
            installation = %row.id().escape_debug(),
            error = %format_args!("{error}{}", chain(error)),
            ?retry_in,
            "the store rejects this record and accepts others; it is retried later"
        );
    }
}

/// Returns both halves of rows that were rejected together; none for a single row.
fn halves(mut rows: Vec<Row>) -> Vec<Vec<Row>> {
    if rows.len() < 2 {
        return Vec::new();
    }
    let half = rows.split_off(rows.len() / 2);
    vec![half, rows]
}
