//! Pages, as one stream of items.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::http::header;
use futures_util::Stream;
use reqwest::Url;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error::ClientError;
use super::hosts;
use super::request::{Request, Response};
use crate::registry::BoxFuture;

/// Members that hold a page's items, in the products' various answers.
const ITEMS: [&str; 4] = ["values", "results", "issues", "data"];
/// Where a page begins, and how many items it may have, in answers that count them.
const POSITIONS: [(&str, &str); 2] = [("startAt", "maxResults"), ("offset", "limit")];
/// What a call says of a page's size.
const SIZES: [&str; 2] = ["maxResults", "limit"];
/// An API that gives pages without end is broken.
const MOST_PAGES: u32 = 100_000;

/// The items of every page of an answer, fetched page by page as they are needed.
///
/// It is a [`Stream`], and has a [`next`](Self::next) of its own, so that no further crate is
/// needed. The style is recognised from the answer:
///
/// | style | where |
/// | --- | --- |
/// | `startAt`, `maxResults`, `total`, `isLast`; `offset`, `limit`, `total` | Jira |
/// | `nextPageToken` | Jira's search |
/// | `_links.next`, or a `Link` header | Confluence, Jira Service Management |
/// | `next`, an address | Bitbucket; never followed to another host |
///
/// The items are those of `values`, `results`, `issues` or `data`, or of the member that
/// [`Request::pages_of`] names. An answer of another shape is an error, and so is one that has more
/// than it gives a way to: a list that only seems to end could cost a sync its data. After an error
/// it ends.
///
/// A bare list (`/rest/api/3/users/search`) goes on by its `Link` header. Without one nothing says
/// whether there is more; it is an error when it is as long as the call's `maxResults` or `limit`.
///
/// ```
/// use forge_remote::client::Client;
/// use forge_remote::Result;
/// # #[derive(serde::Deserialize)] struct Issue { key: String }
///
/// async fn keys(jira: &Client) -> Result<Vec<String>> {
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
pub struct Pages<T> {
    items: Option<&'static str>,
    ready: VecDeque<T>,
    fetched: u32,
    state: State,
}

enum State {
    /// The next page, not asked for yet.
    Next(Box<Request>),
    Fetching(BoxFuture<(Request, Result<Response, ClientError>)>),
    /// After the items that came before it.
    Failed(ClientError),
    Done,
}

impl<T> fmt::Debug for Pages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages")
            .field("fetched", &self.fetched)
            .finish_non_exhaustive()
    }
}

impl<T> Unpin for Pages<T> {}

impl<T: DeserializeOwned> Pages<T> {
    pub(super) fn new(request: Request, items: Option<&'static str>) -> Self {
        Self {
            items,
            ready: VecDeque::new(),
            fetched: 0,
            state: State::Next(Box::new(request)),
        }
    }

    /// The next item; `None` after the last of the last page.
    pub async fn next(&mut self) -> Option<Result<T, ClientError>> {
        std::future::poll_fn(|context| Pin::new(&mut *self).poll_next(context)).await
    }

    /// Takes a page's items in, and says what comes after them.
    fn take(&mut self, request: &Request, response: &Response) -> Result<State, ClientError> {
        let page = Page::read(request, response, self.items)?;
        let items: Vec<T> = page
            .items
            .iter()
            .map(|item| serde_json::from_str(item.get()))
            .collect::<Result<_, _>>()
            .map_err(|error| response.unreadable(std::any::type_name::<T>(), &error))?;
        let count = items.len();
        self.ready.extend(items);
        self.fetched += 1;
        Ok(match page.next(request, count) {
            Ok(Some(_)) if self.fetched >= MOST_PAGES => {
                State::Failed(request.invalid("there is no end of pages"))
            }
            Ok(Some(next)) => State::Next(Box::new(next)),
            Ok(None) => State::Done,
            Err(error) => State::Failed(error),
        })
    }
}

impl<T: DeserializeOwned> Stream for Pages<T> {
    type Item = Result<T, ClientError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(item)));
            }
            match std::mem::replace(&mut self.state, State::Done) {
                State::Done => return Poll::Ready(None),
                State::Failed(error) => return Poll::Ready(Some(Err(error))),
                State::Next(request) => {
                    self.state = State::Fetching(Box::pin(async move {
                        let sent = request.copy().send().await;
                        (*request, sent)
                    }));
                }
                State::Fetching(mut fetching) => {
                    let Poll::Ready((request, sent)) = fetching.as_mut().poll(context) else {
                        self.state = State::Fetching(fetching);
                        return Poll::Pending;
                    };
                    let taken = sent.and_then(|response| self.take(&request, &response));
                    self.state = taken.unwrap_or_else(State::Failed);
                }
            }
        }
    }
}

/// One page, its items unread.
struct Page<'a> {
    items: Vec<&'a RawValue>,
    members: std::collections::HashMap<String, &'a RawValue>,
    link: Option<String>,
    /// A list, without anything beside it.
    is_bare: bool,
}

impl<'a> Page<'a> {
    fn read(
        request: &Request,
        response: &'a Response,
        items: Option<&'static str>,
    ) -> Result<Self, ClientError> {
        let unreadable = |error| response.unreadable("a page", &error);
        let body = response.bytes();
        if body.trim_ascii_start().starts_with(b"[") {
            return Ok(Self {
                items: serde_json::from_slice(body).map_err(unreadable)?,
                members: std::collections::HashMap::new(),
                link: next_link(response),
                is_bare: true,
            });
        }
        let members: std::collections::HashMap<String, &RawValue> =
            serde_json::from_slice(body).map_err(unreadable)?;
        let name = match items {
            Some(name) => Some(name),
            None => ITEMS.into_iter().find(|name| members.contains_key(*name)),
        };
        let Some(list) = name.and_then(|name| members.get(name)) else {
            let wanted = items.map_or_else(|| ITEMS.join("`, `"), str::to_owned);
            return Err(request.invalid(format!(
                "the answer is no page: it has no member `{wanted}`; name it with `pages_of`"
            )));
        };
        Ok(Self {
            items: serde_json::from_str(list.get()).map_err(unreadable)?,
            link: next_link(response),
            members,
            is_bare: false,
        })
    }

    fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.members.get(name)?.get()).ok()
    }

    /// The call for the page after this one, if there is one.
    fn next(&self, request: &Request, count: usize) -> Result<Option<Request>, ClientError> {
        let is = |name| self.value(name).and_then(|value| value.as_bool());
        let is_last = is("isLast").or_else(|| is("isLastPage"));
        if is_last == Some(true) {
            return Ok(None);
        }
        let text = |value: Option<Value>| {
            value?
                .as_str()
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };

        if let Some(token) = text(self.value("nextPageToken")) {
            return from_place(request, "nextPageToken", token.into()).map(Some);
        }
        // Before addresses: Jira's are of the site, to which no token goes.
        if let Some(next) = self.by_position(request, count, is_last) {
            return next;
        }
        if let Some(next) = text(self.value("next")) {
            return at_address(request, &next).map(Some);
        }
        let in_links = text(self.value("_links").map(|mut links| links["next"].take()));
        if let Some(next) = in_links.or_else(|| self.link.clone()) {
            // Relative to one of several bases, or an address of the site itself: what counts is
            // the query.
            let query = next.split_once('?').map_or("", |(_, query)| query);
            let query = query.split('#').next().unwrap_or_default();
            let pairs = Url::parse(&format!("https://next.invalid/?{query}"))
                .map(|url| url.query_pairs().into_owned().collect::<Vec<_>>())
                .unwrap_or_default();
            return follow(request, pairs).map(Some);
        }
        let is_full = |name: &str| {
            let most: Option<usize> = request.query_value(name).and_then(|most| most.parse().ok());
            most.is_some_and(|most| count >= most)
        };
        if is_last == Some(false) || (self.is_bare && SIZES.into_iter().any(is_full)) {
            return Err(request.invalid(NO_WAY_ON));
        }
        Ok(None)
    }

    /// Where the next page begins, of an answer that counts its items; `None` for another.
    fn by_position(
        &self,
        request: &Request,
        count: usize,
        is_last: Option<bool>,
    ) -> Option<Result<Option<Request>, ClientError>> {
        let number = |name| self.value(name).and_then(|value| value.as_u64());
        let (place, start, most) = POSITIONS
            .into_iter()
            .find_map(|(place, most)| Some((place, number(place)?, number(most))))?;
        let end = start.saturating_add(count as u64);
        let is_last = match (number("total"), is_last) {
            (_, Some(is_last)) => is_last,
            (Some(total), None) => end >= total,
            // Nothing says where it ends: a page that isn't full is the last.
            (None, None) => most.is_none_or(|most| (count as u64) < most),
        };
        Some(match (is_last, count) {
            (true, _) => Ok(None),
            // Ending here would pass for the end of the list.
            (false, 0) => Err(request.invalid(NO_WAY_ON)),
            (false, _) => from_place(request, place, end.into()).map(Some),
        })
    }
}

const NO_WAY_ON: &str = "there are more items than this page has, and the answer doesn't say how to get \
                         them: page through it with `fetch`";
const SAME_AGAIN: &str = "the next page is the same page again";

/// The same call from this place on; one that would get the same page again is an error.
fn from_place(request: &Request, name: &str, place: Value) -> Result<Request, ClientError> {
    let next = request.continued(name, &place);
    next.ok_or_else(|| request.invalid(SAME_AGAIN))
}

/// The same call with this in its query; one that would get the same page again is an error.
fn follow(request: &Request, pairs: Vec<(String, String)>) -> Result<Request, ClientError> {
    let same = |(name, value): &(String, String)| request.query_value(name) == Some(value.as_str());
    if pairs.iter().all(same) {
        return Err(request.invalid(SAME_AGAIN));
    }
    Ok(request.with_query(pairs))
}

/// The page at this address, of the same host and installation.
fn at_address(request: &Request, next: &str) -> Result<Request, ClientError> {
    let (here, base) = request.address()?;
    let url = here
        .join(next)
        .map_err(|_| request.invalid("the next page's address is no URL"))?;
    if hosts::origin(&url) != hosts::origin(&here) {
        return Err(ClientError::HostRefused {
            call: request.name(),
            origin: hosts::origin(&url),
            reason: "the next page is said to be on another host",
        });
    }
    if !url.path().starts_with(&base) {
        return Err(request.invalid("the next page is said to be outside of the installation"));
    }
    if url == here {
        return Err(request.invalid(SAME_AGAIN));
    }
    Ok(request.at(url))
}

/// `Link: <…>; rel="next"` (RFC 8288). An address may hold commas and semicolons.
fn next_link(response: &Response) -> Option<String> {
    let lines = response.headers().get_all(header::LINK).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .find_map(next_of)
        .map(str::to_owned)
}

fn next_of(line: &str) -> Option<&str> {
    let mut rest = line;
    while let Some((_, tail)) = rest.split_once('<') {
        let (address, tail) = tail.split_once('>')?;
        // Up to the next address; a `<` can't stand in what describes a page's.
        let parameters = tail.split('<').next().unwrap_or_default();
        let mut parameters = parameters.split([';', ',']).map(str::trim);
        let is_next = parameters.any(|one| {
            let relation = one
                .split_once('=')
                .filter(|(name, _)| name.trim().eq_ignore_ascii_case("rel"));
            relation.is_some_and(|(_, value)| {
                let mut names = value.trim().trim_matches('"').split_ascii_whitespace();
                names.any(|name| name.eq_ignore_ascii_case("next"))
            })
        });
        if is_next {
            return Some(address);
        }
        rest = tail;
    }
    None
}
