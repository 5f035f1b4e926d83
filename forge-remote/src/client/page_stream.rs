//! The pages of a listing as one stream of items.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cursors::{Cursors, REPEATED_PAGE};
use super::error::ClientError;
use super::page::{Page, PageStart};
use super::request::Request;
use super::response::Response;
use crate::fit::BoxFuture;
use crate::json::repair;

/// A stream of the items of every page of a listing; pages are fetched as needed.
///
/// It implements [`Stream`], and also has an inherent [`next`](Self::next), so that no other crate is
/// needed. The pagination style is recognised from the response:
///
/// | style | product |
/// | --- | --- |
/// | `startAt`, `maxResults`, `total`, `isLast`; `offset`, `limit`, `total` | Jira |
/// | `nextPage`, a URL of which the query is used; `lastPage` | Jira's newer lists, `worklog/updated` |
/// | `nextPageToken` | Jira's search |
/// | `nextPageCursor`, `last` | Jira's plans |
/// | `startingAfter` | Jira's bulk operations |
/// | `_links.next`, or a `Link` header | Confluence, Jira Service Management |
/// | `next`, a URL | Bitbucket; never followed to another host |
///
/// The items are in `values`, `results`, `issues` or `data`, or in the member that
/// [`Request::pages_in`] names.
///
/// # Completeness
///
/// A listing that ends too early could make a sync lose data. So the stream ends where the response
/// marks the end (`isLast`, all of its `total`, or no cursor in a style that has one), and otherwise
/// continues until an empty page. These responses are errors ([`ClientError::Unusable`]):
///
/// - a response of another shape;
/// - a page that announces more items but has no cursor, or has a member that may be an unknown cursor;
/// - a cursor that was used before (cycles of any length);
/// - 1,000 pages without an item in a row, or 100,000 pages in all;
/// - a bare JSON array, which does not show whether it is complete: use
///   [`Request::pages_by_offset`].
///
/// An item may be returned twice, if items were added during the listing, or if Jira filters a page
/// after fetching it.
///
/// # After an error
///
/// The stream ends. Resume it with [`retry_page`](Self::retry_page), or in another process from a
/// saved [`Cursor`]. For listings that outlive a token, create the client with
/// [`ProductApi::as_app_renewing`](super::ProductApi::as_app_renewing).
///
/// ```
/// use forge_remote::client::ProductClient;
/// use forge_remote::Result;
/// # #[derive(serde::Deserialize)] struct Issue { key: String }
///
/// async fn keys(jira: &ProductClient) -> Result<Vec<String>> {
///     let search = jira.get("/rest/api/3/search/jql").query("jql", "updated > -1d").query("fields", "key");
///     let mut issues = search.pages::<Issue>();
///     let mut keys = Vec::new();
///     while let Some(issue) = issues.next().await {
///         keys.push(issue?.key);
///     }
///     Ok(keys)
/// }
/// ```
#[must_use = "pages are only fetched when the stream is polled"]
pub struct PageStream<T> {
    request: Request,
    items: Option<&'static str>,
    /// Whether a bare list is paged by `startAt`.
    by_offset: bool,
    ready: VecDeque<T>,
    fetched: u32,
    cursors: Cursors,
    /// The cursor of the page whose items are ready.
    current: Cursor,
    /// The previous bare list; a repeated one is an error.
    previous: Bytes,
    state: StreamState,
}

/// A position in a listing, from [`PageStream::cursor`], which can be saved.
///
/// A cursor implements `Serialize` and `Deserialize`. It contains query parameters from the API: store
/// it with the listing's items, and keep it out of logs. It contains no token and no host: used with
/// another installation's client, it lists that installation.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    place: PageStart,
    /// Number of items before it.
    #[serde(default)]
    seen: u64,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor(after {} items)", self.seen)
    }
}

enum StreamState {
    /// The next page, not requested yet.
    Next(Cursor),
    Fetching(Cursor, BoxFuture<FetchedPage>),
    /// An error to return after the buffered items, and the page to retry, if that may help.
    Failed(ClientError, Option<Cursor>),
    /// The error was returned.
    Ended(Option<Cursor>),
    Done,
}

/// The request for a page and its result.
type FetchedPage = (Request, Result<Response, ClientError>);

impl<T> fmt::Debug for PageStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PageStream")
            .field("fetched", &self.fetched)
            .finish_non_exhaustive()
    }
}

impl<T> Unpin for PageStream<T> {}

impl<T> PageStream<T> {
    pub(super) fn new(request: Request, items: Option<&'static str>) -> Self {
        Self {
            request,
            items,
            by_offset: false,
            ready: VecDeque::new(),
            fetched: 0,
            cursors: Cursors::default(),
            current: Cursor::default(),
            previous: Bytes::new(),
            state: StreamState::Next(Cursor::default()),
        }
    }

    pub(super) fn by_offset(request: Request) -> Self {
        Self {
            by_offset: true,
            ..Self::new(request, None)
        }
    }

    /// Starts at this cursor, which must come from the same request's listing.
    ///
    /// ```
    /// use forge_remote::client::{ProductClient, ClientError, Cursor};
    /// # struct Db;
    /// # impl Db {
    /// #     async fn read(&self) -> Option<Cursor> { None }
    /// #     async fn write(&self, _: Option<Cursor>) {}
    /// #     async fn save(&self, _: serde_json::Value) {}
    /// # }
    ///
    /// async fn sync(jira: &ProductClient, db: &Db) -> Result<(), ClientError> {
    ///     let search = jira.get("/rest/api/3/search/jql").query("jql", "project = A");
    ///     let mut issues = search.pages().resume_from(db.read().await.unwrap_or_default());
    ///     while let Some(issue) = issues.next().await {
    ///         db.save(issue?).await;
    ///         db.write(issues.cursor()).await;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn resume_from(mut self, cursor: Cursor) -> Self {
        self.current = cursor.clone();
        self.state = StreamState::Next(cursor);
        self
    }

    /// Returns the cursor to resume from later; `None` once all items were returned.
    ///
    /// It points to the page of the first item that was not returned yet, so earlier items of that
    /// page come again. Cursors expire; Jira's search tokens last a few days.
    pub fn cursor(&self) -> Option<Cursor> {
        if !self.ready.is_empty() {
            return Some(self.current.clone());
        }
        match &self.state {
            StreamState::Next(cursor) | StreamState::Fetching(cursor, _) => Some(cursor.clone()),
            StreamState::Failed(_, retry) | StreamState::Ended(retry) => {
                Some(retry.as_ref().unwrap_or(&self.current).clone())
            }
            StreamState::Done => None,
        }
    }

    /// Makes [`next`](Self::next) retry the page that failed, after an error.
    ///
    /// Returns `false` if there was no error or a retry cannot help.
    ///
    /// ```
    /// use std::time::Duration;
    /// use forge_remote::client::{ClientError, PageStream};
    ///
    /// async fn count(mut pages: PageStream<serde_json::Value>) -> Result<u64, ClientError> {
    ///     let (mut count, mut failures) = (0, 0);
    ///     while let Some(item) = pages.next().await {
    ///         match item {
    ///             Ok(_) => count += 1,
    ///             Err(error) => {
    ///                 failures += 1;
    ///                 if failures > 5 || !pages.retry_page() {
    ///                     return Err(error);
    ///                 }
    ///                 let wait = error.retry_after().unwrap_or(Duration::from_secs(60));
    ///                 tokio::time::sleep(wait).await;
    ///             }
    ///         }
    ///     }
    ///     Ok(count)
    /// }
    /// ```
    pub fn retry_page(&mut self) -> bool {
        match &mut self.state {
            StreamState::Ended(retry) => match retry.take() {
                Some(cursor) => {
                    self.state = StreamState::Next(cursor);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }
}

impl<T: DeserializeOwned> PageStream<T> {
    /// Returns the next item; `None` after the last item of the last page, and after an error.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Buffers a page's items and returns the state after them.
    fn take(
        &mut self,
        cursor: &Cursor,
        request: &Request,
        response: &Response,
    ) -> Result<StreamState, ClientError> {
        let body = repair(response.bytes());
        let page = Page::read(response, &body, self.items)?;
        let items: Vec<T> = page
            .items
            .iter()
            .map(|item| serde_json::from_str(item.get()))
            .collect::<Result<_, _>>()
            .map_err(|error| response.unreadable(std::any::type_name::<T>(), &error))?;
        let next = self.after(&page, cursor, request, response);
        let seen = cursor.seen.saturating_add(items.len() as u64);
        self.ready.extend(items);
        self.current = cursor.clone();
        self.fetched += 1;
        Ok(match next {
            Ok(Some(place)) => StreamState::Next(Cursor { place, seen }),
            Ok(None) => StreamState::Done,
            Err(error) => StreamState::Failed(error, None),
        })
    }

    /// Returns the start of the page after this one.
    fn after(
        &mut self,
        page: &Page<'_>,
        cursor: &Cursor,
        request: &Request,
        response: &Response,
    ) -> Result<Option<PageStart>, ClientError> {
        let next = match page.next(request, cursor.seen)? {
            None if page.is_bare => self.after_bare(page, cursor, request, response)?,
            next => next,
        };
        let Some(place) = next else {
            return Ok(None);
        };
        let followed = self.cursors.follow(&place, page.items.len());
        followed.map_err(|reason| response.unusable(reason))?;
        match place.request(&self.request) {
            Ok(next) if next.is_same_as(request) => Err(response.unusable(REPEATED_PAGE)),
            Ok(_) => Ok(Some(place)),
            Err(ClientError::Invalid { reason, .. }) => Err(response.unusable(reason)),
            Err(error) => Err(error),
        }
    }

    /// Returns the start of the page after a bare list without a link.
    fn after_bare(
        &mut self,
        page: &Page<'_>,
        cursor: &Cursor,
        request: &Request,
        response: &Response,
    ) -> Result<Option<PageStart>, ClientError> {
        if !self.by_offset {
            // A page that was reached by a link and has no link itself is the last.
            return match cursor.place {
                PageStart::First => Err(response.unusable(BARE_LIST)),
                _ => Ok(None),
            };
        }
        if page.items.is_empty() {
            return Ok(None);
        }
        if self.previous == response.bytes() {
            return Err(response.unusable(REPEATED_PAGE));
        }
        self.previous = response.bytes().clone();
        let start = request.query_value("startAt").unwrap_or("0").parse::<u64>();
        let start = start.map_err(|_| request.invalid("its `startAt` is not a number"))?;
        let next = start.saturating_add(page.items.len() as u64);
        Ok(Some(PageStart::From("startAt".to_owned(), next.into())))
    }
}

const BARE_LIST: &str = "a bare list does not show whether there are more items: use `pages_by_offset` to \
                         read until an empty page, or `fetch` for a list that has no pages";

impl<T: DeserializeOwned> Stream for PageStream<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            match std::mem::replace(&mut self.state, StreamState::Done) {
                StreamState::Done => return Poll::Ready(None),
                StreamState::Ended(retry) => {
                    self.state = StreamState::Ended(retry);
                    return Poll::Ready(None);
                }
                StreamState::Failed(error, retry) => {
                    self.state = StreamState::Ended(retry);
                    return Poll::Ready(Some(Err(error)));
                }
                StreamState::Next(cursor) => {
                    self.state = match cursor.place.request(&self.request) {
                        Ok(request) => StreamState::Fetching(
                            cursor,
                            Box::pin(async move {
                                let sent = request.copy().send().await;
                                (request, sent)
                            }),
                        ),
                        Err(error) => StreamState::Failed(error, None),
                    };
                }
                StreamState::Fetching(cursor, mut fetching) => {
                    let Poll::Ready((request, sent)) = fetching.as_mut().poll(context) else {
                        self.state = StreamState::Fetching(cursor, fetching);
                        return Poll::Pending;
                    };
                    let taken = sent.and_then(|response| self.take(&cursor, &request, &response));
                    self.state =
                        taken.unwrap_or_else(|error| StreamState::Failed(error, Some(cursor)));
                }
            }
        }
    }
}

impl Request {
    /// Returns a stream of the items of every page; pages are fetched as needed.
    ///
    /// See [`PageStream`] for the supported styles.
    pub fn pages<T: DeserializeOwned>(self) -> PageStream<T> {
        PageStream::new(self, None)
    }

    /// Returns a stream of the items of a bare list (`/rest/api/3/users/search`).
    ///
    /// The stream increases `startAt` until an empty page, because a bare list does not show whether there
    /// are more items. If the API ignores `startAt` and returns the whole list (`/rest/api/3/field`),
    /// use [`fetch`](Self::fetch).
    ///
    /// Jira's user searches (`/rest/api/3/user/search`, `/user/assignable/search`) cannot be listed
    /// this way and return an error. Jira cuts a page out of the first thousand users and filters it
    /// afterwards, so that any page may be empty. Atlassian recommends paging through
    /// `/users/search` instead.
    /// Source: <https://developer.atlassian.com/cloud/jira/platform/rest/v3/api-group-user-search/>
    pub fn pages_by_offset<T: DeserializeOwned>(self) -> PageStream<T> {
        const FILTERED: [&str; 5] = [
            "/user/search",
            "/user/assignable/search",
            "/user/assignable/multiProjectSearch",
            "/user/permission/search",
            "/user/viewissue/search",
        ];
        let path = self.path.template();
        let this = if FILTERED.iter().any(|end| path.ends_with(end)) {
            self.with_problem(
                "Jira filters this list after cutting the page, so its end cannot be detected: page \
                 through `/rest/api/3/users/search`, or read a single page with `fetch`",
            )
        } else {
            self
        };
        PageStream::by_offset(this)
    }

    /// Like [`pages`](Self::pages), but with the items in the named member, such as `worklogs`.
    pub fn pages_in<T: DeserializeOwned>(self, items: &'static str) -> PageStream<T> {
        PageStream::new(self, Some(items))
    }
}
