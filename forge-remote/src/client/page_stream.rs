//! Pages, as one stream of items.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cursors::{Cursors, SAME_AGAIN};
use super::error::ClientError;
use super::page::{Page, Place};
use super::request::Request;
use super::response::Response;
use crate::fit::BoxFuture;
use crate::json::repair;

/// The items of every page of an answer, fetched page by page as they are needed.
///
/// It is a [`Stream`], and has a [`next`](Self::next) of its own, so that no further crate is
/// needed. The style is recognised from the answer:
///
/// | style | where |
/// | --- | --- |
/// | `startAt`, `maxResults`, `total`, `isLast`; `offset`, `limit`, `total` | Jira |
/// | `nextPage`, an address whose query counts; `lastPage` | Jira's newer lists, `worklog/updated` |
/// | `nextPageToken` | Jira's search |
/// | `nextPageCursor`, `last` | Jira's plans |
/// | `startingAfter` | Jira's bulk operations |
/// | `_links.next`, or a `Link` header | Confluence, Jira Service Management |
/// | `next`, an address | Bitbucket; never followed to another host |
///
/// The items are those of `values`, `results`, `issues` or `data`, or of the member that
/// [`Request::pages_in`] names.
///
/// # Nothing is left out
///
/// A list that only seems to end could cost a sync its data. So it ends where the answer says so
/// (`isLast`, all of its `total`, no way on in a style that has one), and otherwise goes on until an
/// empty page. An answer of another shape is an error ([`ClientError::Unusable`]), and so are one
/// that has more than it gives a way to, one with a member that looks like an unknown way on, a
/// cursor that came before (cycles of any length), 1,000 pages without an item in a row, 100,000 pages
/// at all, and a bare list, in which nothing says whether it is whole: [`Request::pages_by_offset`] is
/// for those.
///
/// An item may come twice: when items were added meanwhile, or where Jira leaves some out of a page
/// that it has cut already.
///
/// # After an error
///
/// It ends. [`retry_page`](Self::retry_page) takes it up where it failed; a [`Cursor`] does so in
/// another process. For listings that outlive a token, make the client by
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
#[must_use = "pages are fetched when they are asked for"]
pub struct PageStream<T> {
    request: Request,
    items: Option<&'static str>,
    /// A bare list goes on by `startAt`.
    by_start: bool,
    ready: VecDeque<T>,
    fetched: u32,
    cursors: Cursors,
    /// Of the page whose items are ready.
    current: Cursor,
    /// The last bare list, which must not come again.
    before: Bytes,
    state: State,
}

/// A page of a listing, to begin with another time: [`PageStream::position`].
///
/// It can be written down by serde. What is in it are parts of the call's query as the API gave
/// them: keep it where the listing's items are kept, and out of the log. It holds no token and no
/// host: with another installation's client it asks that installation.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Cursor {
    place: Place,
    /// How many items came before it.
    #[serde(default)]
    seen: u64,
}

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Position(after {} items)", self.seen)
    }
}

enum State {
    /// The next page, not asked for yet.
    Next(Cursor),
    Fetching(Cursor, BoxFuture<JwksDocument>),
    /// After the items that came before it; and the page to ask for again, where that may help.
    Failed(ClientError, Option<Cursor>),
    /// After the error was told.
    Ended(Option<Cursor>),
    Done,
}

/// The call for a page, and what came of it.
type JwksDocument = (Request, Result<Response, ClientError>);

impl<T> fmt::Debug for PageStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
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
            by_start: false,
            ready: VecDeque::new(),
            fetched: 0,
            cursors: Cursors::default(),
            current: Cursor::default(),
            before: Bytes::new(),
            state: State::Next(Cursor::default()),
        }
    }

    pub(super) fn by_start(request: Request) -> Self {
        Self {
            by_start: true,
            ..Self::new(request, None)
        }
    }

    /// Begins with this page, of the same call's listing.
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
    ///         db.write(issues.position()).await;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn resume_from(mut self, position: Cursor) -> Self {
        self.current = position.clone();
        self.state = State::Next(position);
        self
    }

    /// The page to begin with when it is taken up another time; `None` once all items were taken.
    ///
    /// It is the page of the first item that wasn't taken yet: those of its items that were come
    /// again. How long the API knows the place is the API's: Jira's search tokens last some days.
    pub fn position(&self) -> Option<Cursor> {
        if !self.ready.is_empty() {
            return Some(self.current.clone());
        }
        match &self.state {
            State::Next(position) | State::Fetching(position, _) => Some(position.clone()),
            State::Failed(_, again) | State::Ended(again) => {
                Some(again.as_ref().unwrap_or(&self.current).clone())
            }
            State::Done => None,
        }
    }

    /// After an error: makes [`next`](Self::next) ask once more for the page that failed. False
    /// where that can't help, and before an error.
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
            State::Ended(again) => match again.take() {
                Some(position) => {
                    self.state = State::Next(position);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }
}

impl<T: DeserializeOwned> PageStream<T> {
    /// The next item; `None` after the last of the last page, and after an error.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Takes a page's items in, and says what comes after them.
    fn take(
        &mut self,
        position: &Cursor,
        request: &Request,
        response: &Response,
    ) -> Result<State, ClientError> {
        let body = repair(response.bytes());
        let page = Page::read(response, &body, self.items)?;
        let items: Vec<T> = page
            .items
            .iter()
            .map(|item| serde_json::from_str(item.get()))
            .collect::<Result<_, _>>()
            .map_err(|error| response.unreadable(std::any::type_name::<T>(), &error))?;
        let next = self.after(&page, position, request, response);
        let seen = position.seen.saturating_add(items.len() as u64);
        self.ready.extend(items);
        self.current = position.clone();
        self.fetched += 1;
        Ok(match next {
            Ok(Some(place)) => State::Next(Cursor { place, seen }),
            Ok(None) => State::Done,
            Err(error) => State::Failed(error, None),
        })
    }

    /// Where the page after this one is.
    fn after(
        &mut self,
        page: &Page<'_>,
        position: &Cursor,
        request: &Request,
        response: &Response,
    ) -> Result<Option<Place>, ClientError> {
        let next = match page.next(request, position.seen)? {
            None if page.is_bare => self.after_bare(page, position, request, response)?,
            next => next,
        };
        let Some(place) = next else {
            return Ok(None);
        };
        let followed = self.cursors.follow(&place, page.items.len());
        followed.map_err(|reason| response.unusable(reason))?;
        match place.request(&self.request) {
            Ok(next) if next.asks_as(request) => Err(response.unusable(SAME_AGAIN)),
            Ok(_) => Ok(Some(place)),
            Err(ClientError::Invalid { reason, .. }) => Err(response.unusable(reason)),
            Err(error) => Err(error),
        }
    }

    /// The same of a list without a way on.
    fn after_bare(
        &mut self,
        page: &Page<'_>,
        position: &Cursor,
        request: &Request,
        response: &Response,
    ) -> Result<Option<Place>, ClientError> {
        if !self.by_start {
            // One that was reached by a link has none because it is the last.
            return match position.place {
                Place::First => Err(response.unusable(BARE)),
                _ => Ok(None),
            };
        }
        if page.items.is_empty() {
            return Ok(None);
        }
        if self.before == response.bytes() {
            return Err(response.unusable(SAME_AGAIN));
        }
        self.before = response.bytes().clone();
        let start = request.query_value("startAt").unwrap_or("0").parse::<u64>();
        let start = start.map_err(|_| request.invalid("its `startAt` is no number"))?;
        let next = start.saturating_add(page.items.len() as u64);
        Ok(Some(Place::From("startAt".to_owned(), next.into())))
    }
}

const BARE: &str = "it is a bare list, in which nothing says whether there is more: `pages_by_offset` \
                    goes on until an empty page, `fetch` reads a list that has no pages";

impl<T: DeserializeOwned> Stream for PageStream<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Ended(again) => {
                    self.state = State::Ended(again);
                    return Poll::Ready(None);
                }
                State::Failed(error, again) => {
                    self.state = State::Ended(again);
                    return Poll::Ready(Some(Err(error)));
                }
                State::Next(position) => {
                    self.state = match position.place.request(&self.request) {
                        Ok(request) => State::Fetching(
                            position,
                            Box::pin(async move {
                                let sent = request.copy().send().await;
                                (request, sent)
                            }),
                        ),
                        Err(error) => State::Failed(error, None),
                    };
                }
                State::Fetching(position, mut fetching) => {
                    let Poll::Ready((request, sent)) = fetching.as_mut().poll(context) else {
                        self.state = State::Fetching(position, fetching);
                        return Poll::Pending;
                    };
                    let taken = sent.and_then(|response| self.take(&position, &request, &response));
                    self.state = taken.unwrap_or_else(|error| State::Failed(error, Some(position)));
                }
            }
        }
    }
}

impl Request {
    /// The items of every page, one after the other, each page fetched when it is needed. See
    /// [`PageStream`] for the styles it knows.
    pub fn pages<T: DeserializeOwned>(self) -> PageStream<T> {
        PageStream::new(self, None)
    }

    /// The items of a bare list (`/rest/api/3/users/search`), from one `startAt` to the next until
    /// an empty page: nothing in such a list says whether there is more. A list that the API gives
    /// as a whole, whatever `startAt` says (`/rest/api/3/field`), is read by [`fetch`](Self::fetch).
    ///
    /// Jira's searches for users (`/rest/api/3/user/search`, `/user/assignable/search`) can't be
    /// listed so: an error says it. Jira cuts a page of the first thousand users and only then
    /// leaves out those that don't match, so that any page may be empty. Atlassian's advice is to
    /// go through `/users/search`.
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
            self.wrong(
                "Jira filters this list after it has cut the page, so its end can't be seen: page \
                 through `/rest/api/3/users/search`, or take what one page has by `fetch`",
            )
        } else {
            self
        };
        PageStream::by_start(this)
    }

    /// As [`pages`](Self::pages), where the items are in a member of this name: `worklogs`.
    pub fn pages_in<T: DeserializeOwned>(self, items: &'static str) -> PageStream<T> {
        PageStream::new(self, Some(items))
    }
}
