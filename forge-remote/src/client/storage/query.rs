//! Queries of storage.

use std::collections::VecDeque;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::call::StorageCall;
use super::item::{Item, METADATA};
use crate::client::cursors::Cursors;
use crate::client::error::ClientError;
use crate::client::request::Response;

/// One page of a query's results.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct QueryPage<T> {
    /// The keys and values.
    pub data: Vec<Item<T>>,
    /// The cursor of the next page, for [`StorageQuery::after`].
    pub cursor: Option<String>,
}

/// A query of storage: [`Storage::query`](super::Storage::query),
/// [`Entities::query`](super::Entities::query).
///
/// ```
/// use forge_remote::client::Storage;
/// use forge_remote::Result;
///
/// async fn notes(storage: &Storage) -> Result<Vec<String>> {
///     let mut notes = Vec::new();
///     let mut query = storage.query::<String>().prefix("note:");
///     while let Some(note) = query.next().await {
///         notes.push(note?.value);
///     }
///     Ok(notes)
/// }
/// ```
#[must_use = "a query does nothing until a page or item is requested"]
pub struct StorageQuery<T> {
    call: StorageCall,
    body: Map<String, Value>,
    cursor: &'static str,
    ready: VecDeque<Item<T>>,
    cursors: Cursors,
    is_done: bool,
    /// The error to return after the buffered items.
    problem: Option<ClientError>,
}

impl<T> fmt::Debug for StorageQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorageQuery({:?})", self.call.request)
    }
}

impl<T: DeserializeOwned> StorageQuery<T> {
    pub(super) fn new(call: StorageCall, body: Map<String, Value>, cursor: &'static str) -> Self {
        Self {
            call,
            body,
            cursor,
            ready: VecDeque::new(),
            cursors: Cursors::default(),
            is_done: false,
            problem: None,
        }
    }

    /// Sets the number of items per page, at most 99.
    pub fn limit(mut self, limit: u32) -> Self {
        self.body.insert("limit".to_owned(), limit.into());
        self
    }

    /// Starts after this cursor of an earlier page.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.set_cursor(cursor.into());
        self
    }

    fn set_cursor(&mut self, cursor: String) {
        self.body.insert(self.cursor.to_owned(), cursor.into());
    }

    /// Selects keys with this prefix. Not for entities.
    pub fn prefix(mut self, prefix: &str) -> Self {
        let condition =
            json!({ "property": "key", "condition": "BEGINS_WITH", "values": [prefix] });
        self.body.insert("where".to_owned(), json!([condition]));
        self
    }

    /// Includes the times of creation, update and expiry.
    pub fn with_metadata(mut self) -> Self {
        let options = self.body.entry("options").or_insert_with(|| json!({}));
        // `with` may have set it to a value of any type.
        if let Some(options) = options.as_object_mut() {
            options.insert("metadataFields".to_owned(), json!(METADATA));
        }
        self
    }

    /// Sets a member of the query that has no method here, in the format of Atlassian's reference.
    ///
    /// Examples are `partition`, `range`, `filters` and `sort` of an entity's query.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.body.insert(name.to_owned(), value);
        self
    }

    /// Fetches one page.
    pub async fn page(&self) -> Result<QueryPage<T>, ClientError> {
        self.fetch_page().await?.json()
    }

    async fn fetch_page(&self) -> Result<Response, ClientError> {
        let call = self.call.copy().idempotent();
        call.json(&self.body).send().await
    }

    /// Returns the next item and fetches pages as needed; `None` after the last item, and after an error.
    ///
    /// A repeated cursor, 1,000 pages without an item in a row and 100,000 pages in all are errors
    /// ([`ClientError::Unusable`]).
    pub async fn next(&mut self) -> Option<Result<Item<T>, ClientError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if self.is_done {
                return self.problem.take().map(Err);
            }
            let response = self.fetch_page().await;
            let page = response.and_then(|response| {
                let page = response.json::<QueryPage<T>>()?;
                Ok((page, response))
            });
            let (page, response) = match page {
                Ok(page) => page,
                Err(error) => {
                    self.is_done = true;
                    return Some(Err(error));
                }
            };
            let items = page.data.len();
            self.ready.extend(page.data);
            let Some(cursor) = page.cursor.filter(|cursor| !cursor.is_empty()) else {
                self.is_done = true;
                continue;
            };
            if let Err(reason) = self.cursors.follow(&cursor, items) {
                self.problem = Some(response.unusable(reason));
                self.is_done = true;
            }
            self.set_cursor(cursor);
        }
    }
}
