//! The token store in memory, for tests and for apps that need no tokens after a restart.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::interface::{
    MAX_LEAD_MILLIS, PageRequest, SealedToken, StoreFuture, TokenPage, TokenStore,
};

/// A token store in memory: tokens are lost when the process ends. Clones share them.
///
/// ```
/// use forge_remote::prelude::*;
/// use forge_remote::token::MemoryTokens;
///
/// let app = App::new().token_store(MemoryTokens::new());
/// # let _ = app;
/// ```
#[derive(Clone, Default)]
pub struct MemoryTokens(Arc<MemoryRecords>);

#[derive(Default)]
struct MemoryRecords {
    tokens: Mutex<BTreeMap<String, SealedToken>>,
    key_check: Mutex<Option<Vec<u8>>>,
}

impl MemoryTokens {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn tokens(&self) -> MutexGuard<'_, BTreeMap<String, SealedToken>> {
        let tokens = self.0.tokens.lock();
        tokens.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTokens")
            .field("tokens", &self.tokens().len())
            .finish()
    }
}

fn done<T: Send + 'static>(value: T) -> StoreFuture<T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl TokenStore for MemoryTokens {
    fn name(&self) -> String {
        "the process's memory".to_owned()
    }

    fn outlives_process(&self) -> bool {
        false
    }

    fn compare_and_swap_key_check(
        &self,
        expected: Option<Vec<u8>>,
        new: Vec<u8>,
    ) -> StoreFuture<Vec<u8>> {
        let key_check = self.0.key_check.lock();
        let mut key_check = key_check.unwrap_or_else(PoisonError::into_inner);
        if *key_check == expected {
            *key_check = None;
        }
        done(key_check.get_or_insert(new).clone())
    }

    fn put(&self, tokens: Vec<SealedToken>) -> StoreFuture<Vec<String>> {
        let (mut kept, mut outdated) = (self.tokens(), Vec::new());
        for token in tokens {
            let ends = token.expires_at_millis();
            let later = kept.get(&token.installation_id).is_some_and(|kept| {
                let lead = kept.expires_at_millis().saturating_sub(ends);
                (1..=MAX_LEAD_MILLIS).contains(&lead)
            });
            if later {
                outdated.push(token.installation_id);
            } else {
                kept.insert(token.installation_id.clone(), token);
            }
        }
        done(outdated)
    }

    fn get(&self, installation_id: &str) -> StoreFuture<Option<SealedToken>> {
        done(self.tokens().get(installation_id).cloned())
    }

    fn find_by_site(&self, cloud_id: &str) -> StoreFuture<Vec<SealedToken>> {
        let kept = self.tokens();
        let found = kept
            .values()
            .filter(|token| token.cloud_ids.iter().any(|one| one == cloud_id));
        done(found.cloned().collect())
    }

    fn list(&self, page: PageRequest) -> StoreFuture<TokenPage> {
        let kept = self.tokens();
        let start = match page.after {
            Some(after) => Bound::Excluded(after),
            None => Bound::Unbounded,
        };
        let mut rest = kept.range((start, Bound::Unbounded)).filter(|(_, token)| {
            page.ends_before
                .is_none_or(|before| token.expires_at < before)
        });
        let tokens: Vec<_> = rest
            .by_ref()
            .take(page.limit as usize)
            .map(|(_, token)| token.clone())
            .collect();
        let more = rest.next().is_some();
        let next = tokens.last().filter(|_| more);
        done(TokenPage {
            next: next.map(|token| token.installation_id.clone()),
            tokens,
        })
    }

    fn replace_if(&self, expected: Vec<u8>, new: SealedToken) -> StoreFuture<bool> {
        let mut kept = self.tokens();
        let existing = kept.get_mut(&new.installation_id);
        let existing = existing.filter(|existing| existing.sealed == expected);
        let is_same = existing.is_some();
        if let Some(existing) = existing {
            *existing = new;
        }
        done(is_same)
    }

    fn remove_if(&self, installation_id: &str, expected: Vec<u8>) -> StoreFuture<bool> {
        let mut kept = self.tokens();
        let existing = kept.get(installation_id);
        let is_same = existing.is_some_and(|existing| existing.sealed == expected);
        if is_same {
            kept.remove(installation_id);
        }
        done(is_same)
    }

    fn purge(&self, ended_before: SystemTime) -> StoreFuture<u64> {
        let mut kept = self.tokens();
        let before = kept.len();
        kept.retain(|_, token| token.expires_at >= ended_before);
        done((before - kept.len()) as u64)
    }
}
