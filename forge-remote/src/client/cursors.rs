//! The cursors of a listing, so that an endless one ends with an error.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash, RandomState};

/// Upper bound on the pages of one listing.
const MAX_PAGES: usize = 100_000;
/// Upper bound on pages without an item in a row. A few are normal: an API may cut a page before it
/// filters it.
const MAX_EMPTY_PAGES: u32 = 1_000;

/// The cursors that one listing has had. Only their hashes are kept: 8 bytes a page, at most a few MiB.
#[derive(Default)]
pub(super) struct Cursors {
    hasher: RandomState,
    seen: HashSet<u64>,
    empty: u32,
}

impl Cursors {
    /// Records the cursor after a page with this number of items. The error is the reason why the
    /// listing has no end.
    pub(super) fn follow(&mut self, next: &impl Hash, items: usize) -> Result<(), String> {
        self.empty = if items > 0 { 0 } else { self.empty + 1 };
        if self.empty >= MAX_EMPTY_PAGES {
            return Err(format!(
                "the listing does not end: {} pages in a row had no items",
                self.empty
            ));
        }
        if !self.seen.insert(self.hasher.hash_one(next)) {
            return Err(REPEATED_PAGE.to_owned());
        }
        if self.seen.len() >= MAX_PAGES {
            return Err(format!("the listing does not end after {MAX_PAGES} pages"));
        }
        Ok(())
    }
}

pub(super) const REPEATED_PAGE: &str =
    "the listing does not end: the next page is one that was already read";
