//! Questions to storage.

use std::collections::VecDeque;
use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::Call;
use super::item::{Item, METADATA};
use crate::client::cursors::Cursors;
use crate::client::error::ClientError;
use crate::client::request::Response;

/// A page of what a query found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct QueryPage<T> {
    /// Keys and values.
    pub data: Vec<Item<T>>,
    /// Where the next page begins: for [`StorageQuery::after`].
    pub cursor: Option<String>,
}

/// A question to storage: [`Storage::query`](super::Storage::query),
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
#[must_use = "a query does nothing until it is asked"]
pub struct StorageQuery<T> {
    call: Call,
    body: Map<String, Value>,
    cursor: &'static str,
    ready: VecDeque<Item<T>>,
    cursors: Cursors,
    is_done: bool,
    /// What is said after the items that came.
    problem: Option<ClientError>,
}

impl<T> fmt::Debug for StorageQuery<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Query({:?})", self.call.request)
    }
}

impl<T: DeserializeOwned> StorageQuery<T> {
    pub(super) fn new(call: Call, body: Map<String, Value>, cursor: &'static str) -> Self {
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

    /// How many come with one page: Atlassian allows fewer than 100.
    pub fn limit(mut self, limit: u32) -> Self {
        self.body.insert("limit".to_owned(), limit.into());
        self
    }

    /// Begins after this cursor of an earlier page.
    pub fn after(mut self, cursor: impl Into<String>) -> Self {
        self.set_cursor(cursor.into());
        self
    }

    fn set_cursor(&mut self, cursor: String) {
        self.body.insert(self.cursor.to_owned(), cursor.into());
    }

    /// Keys that begin so; not for entities.
    pub fn prefix(mut self, prefix: &str) -> Self {
        let begins = json!({ "property": "key", "condition": "BEGINS_WITH", "values": [prefix] });
        self.body.insert("where".to_owned(), json!([begins]));
        self
    }

    /// With when each was created and updated, and when it expires.
    pub fn with_metadata(mut self) -> Self {
        let options = self.body.entry("options").or_insert_with(|| json!({}));
        // What `with` has put there may be anything.
        if let Some(options) = options.as_object_mut() {
            options.insert("metadataFields".to_owned(), json!(METADATA));
        }
        self
    }

    /// A member of the question that has no method here, as Atlassian's reference has it:
    /// `partition`, `range`, `filters`, `sort` of an entity's query.
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.body.insert(name.to_owned(), value);
        self
    }

    /// One page.
    pub async fn page(&self) -> Result<QueryPage<T>, ClientError> {
        self.ask().await?.json()
    }

    async fn ask(&self) -> Result<Response, ClientError> {
        let call = self.call.copy().idempotent();
        call.json(&self.body).send().await
    }

    /// The next item, from page after page; `None` after the last, and after an error. Cursors that
    /// come again, 1,000 pages without an item in a row and 100,000 pages at all are an error
    /// ([`ClientError::Unusable`]).
    pub async fn next(&mut self) -> Option<Result<Item<T>, ClientError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if self.is_done {
                return self.problem.take().map(Err);
            }
            let answer = self.ask().await;
            let page = answer.and_then(|answer| Ok((answer.json::<QueryPage<T>>()?, answer)));
            let (page, answer) = match page {
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
                self.problem = Some(answer.unusable(reason));
                self.is_done = true;
            }
            self.set_cursor(cursor);
        }
    }
}
