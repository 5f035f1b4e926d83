//! One page of a listing: its items and the cursor of the next page, in each of the products' styles.

use std::collections::HashMap;

use axum::http::header;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::api::Api;
use super::error::ClientError;
use super::hosts;
use super::request::Request;
use super::response::Response;

/// Members that hold a page's items.
const ITEM_MEMBERS: [&str; 4] = ["values", "results", "issues", "data"];
/// Members that indicate whether a page is the last.
const LAST_MEMBERS: [&str; 4] = ["isLast", "isLastPage", "last", "lastPage"];
/// Members that hold the next page's cursor, and the parameter that takes it.
const CURSORS: [(&str, &str); 3] = [
    ("nextPageToken", "nextPageToken"),
    ("nextPageCursor", "cursor"),
    ("startingAfter", "startingAfter"),
];
/// Members with a known meaning, which cannot be an unknown cursor.
const KNOWN_MEMBERS: [&str; 5] = [
    "nextPageToken",
    "nextPageCursor",
    "startingAfter",
    "nextPage",
    "next",
];
/// Members with a page's offset and its maximum size, in responses that have offsets.
const OFFSETS: [(&str, &str); 2] = [("startAt", "maxResults"), ("offset", "limit")];

/// The start of a page: what its request has beyond the listing's first request.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum PageStart {
    /// The first page.
    #[default]
    First,
    /// A member of the body, or a query parameter.
    From(String, Value),
    /// Query parameters.
    Query(Vec<(String, String)>),
    /// A URL from the API.
    At(String),
}

impl PageStart {
    /// Returns the request for this page.
    pub(super) fn request(&self, request: &Request) -> Result<Request, ClientError> {
        Ok(match self {
            Self::First => request.copy(),
            Self::From(name, cursor) => request.continued(name, cursor),
            Self::Query(pairs) => request.with_query(pairs),
            Self::At(url) => request.at(url)?,
        })
    }
}

/// One page, with items that are not parsed yet.
pub(super) struct Page<'a> {
    response: &'a Response,
    pub(super) items: Vec<&'a RawValue>,
    members: HashMap<String, &'a RawValue>,
    link: Option<String>,
    /// Whether the response is a bare list.
    pub(super) is_bare: bool,
}

impl<'a> Page<'a> {
    /// Reads a response's repaired body.
    pub(super) fn read(
        response: &'a Response,
        body: &'a [u8],
        items: Option<&'static str>,
    ) -> Result<Self, ClientError> {
        let unreadable = |error| response.unreadable("a page", &error);
        let link = next_link(response);
        if body.trim_ascii_start().starts_with(b"[") {
            return Ok(Self {
                response,
                items: serde_json::from_slice(body).map_err(unreadable)?,
                members: HashMap::new(),
                link,
                is_bare: true,
            });
        }
        let members: HashMap<String, &RawValue> =
            serde_json::from_slice(body).map_err(unreadable)?;
        let name = match items {
            Some(name) => Some(name),
            None => ITEM_MEMBERS
                .into_iter()
                .find(|name| members.contains_key(*name)),
        };
        let Some(list) = name.and_then(|name| members.get(name)) else {
            let expected = items.map_or_else(|| ITEM_MEMBERS.join("`, `"), str::to_owned);
            return Err(response.unusable(format!(
                "not a page: no member `{expected}`; name the member with the items with `pages_in`"
            )));
        };
        Ok(Self {
            response,
            items: serde_json::from_str(list.get()).map_err(unreadable)?,
            members,
            link,
            is_bare: false,
        })
    }

    fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.members.get(name)?.get()).ok()
    }

    fn text(&self, name: &str) -> Option<String> {
        not_empty(self.value(name))
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.value(name)?.as_u64()
    }

    /// Returns the start of the next page, if there is one. `seen` counts the items of the pages before.
    pub(super) fn next(
        &self,
        request: &Request,
        seen: u64,
    ) -> Result<Option<PageStart>, ClientError> {
        let is = |name: &str| self.value(name)?.as_bool();
        let is_last = LAST_MEMBERS.into_iter().find_map(is);
        if is_last == Some(true) {
            return Ok(None);
        }
        for (name, parameter) in CURSORS {
            let cursor = match self.value(name) {
                Some(Value::String(text)) if text.is_empty() => continue,
                Some(cursor @ (Value::String(_) | Value::Number(_))) => cursor,
                _ => continue,
            };
            return Ok(Some(PageStart::From(parameter.to_owned(), cursor)));
        }
        // A URL of the site itself, where no token is sent: only its query is used. A request with a
        // body has its cursor in the body.
        let next_page = self.text("nextPage");
        let has_body = request.json_body().is_some();
        if let Some(next) = next_page.as_deref().filter(|_| !has_body) {
            return Ok(Some(query_of(next)));
        }
        if let Some(next) = self.by_offset(is_last) {
            return next;
        }
        if let Some(next) = self.text("next").or(next_page) {
            return self.by_url(request, next).map(Some);
        }
        let linked = |name| not_empty(self.value(name)?.get_mut("next").map(Value::take));
        let linked = linked("_links").or_else(|| linked("links"));
        if let Some(next) = linked.or_else(|| self.link.clone()) {
            // Relative to one of several base URLs, or a URL of the site itself: use only the query.
            return Ok(Some(query_of(&next)));
        }
        if is_last == Some(false) {
            return Err(self.response.unusable(NO_NEXT_PAGE));
        }
        let seen = seen.saturating_add(self.items.len() as u64);
        if let Some(total) = self.number("total").filter(|total| *total > seen) {
            return Err(self.response.unusable(format!(
                "its `total` is {total} and {seen} items were received: {NO_NEXT_PAGE}"
            )));
        }
        self.end(request)
    }

    /// Ends the listing, or fails if an unknown member looks like a cursor.
    fn end(&self, request: &Request) -> Result<Option<PageStart>, ClientError> {
        let body = request.json_body().unwrap_or_default();
        let is_echo = |name: &str, value: &Value| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            request.query_value(name) == Some(&*text) || body.get(name) == Some(value)
        };
        let hides_more = |name: &&String| {
            if KNOWN_MEMBERS.contains(&name.as_str()) {
                return false;
            }
            match self.value(name) {
                None | Some(Value::Null | Value::Bool(false)) => false,
                Some(Value::Bool(true)) => {
                    name.starts_with("hasNext") || name.starts_with("hasMore")
                }
                Some(Value::String(text)) if text.is_empty() => false,
                Some(value) => {
                    let is_back = name.starts_with("prev");
                    let is_cursor = name.starts_with("next")
                        || name.ends_with("Cursor")
                        || (name.ends_with("After") && *name != "retryAfter");
                    is_cursor && !is_back && !is_echo(name, &value)
                }
            }
        };
        // `min` makes the choice deterministic.
        match self.members.keys().filter(hides_more).min() {
            Some(name) => Err(self.response.unusable(format!(
                "its member `{}` may be a cursor of an unknown style: page through the listing \
                 with `fetch`",
                name.chars()
                    .filter(char::is_ascii_alphanumeric)
                    .take(40)
                    .collect::<String>()
            ))),
            None => Ok(None),
        }
    }

    /// Returns the next page's start in a response with offsets; `None` for other responses.
    fn by_offset(&self, is_last: Option<bool>) -> Option<Result<Option<PageStart>, ClientError>> {
        let (offset, start, max) = OFFSETS.into_iter().find_map(|(offset, max)| {
            Some((offset, self.number(offset)?, self.number(max).unwrap_or(0)))
        })?;
        let count = self.items.len() as u64;
        // Advance by the items received: an item may come twice where the API left some out, but none
        // is skipped. An empty page advances by its maximum size.
        let step = if count > 0 { count } else { max };
        let end = start.saturating_add(step);
        let is_last = match (is_last, self.number("total")) {
            (Some(is_last), _) => is_last,
            (None, Some(total)) => end >= total,
            (None, None) => count == 0,
        };
        Some(match (is_last, step) {
            (true, _) => Ok(None),
            // Ending here would look like the end of the list.
            (false, 0) => Err(self.response.unusable(NO_NEXT_PAGE)),
            (false, _) => Ok(Some(PageStart::From(offset.to_owned(), end.into()))),
        })
    }

    /// Returns the start of the page at a URL. Bitbucket's URLs are requested as they are; of the URLs
    /// of the other products' sites only the query is used.
    fn by_url(&self, request: &Request, next: String) -> Result<PageStart, ClientError> {
        let (here, _) = request.address()?;
        let url = here.join(&next);
        let url = url.map_err(|_| {
            self.response
                .unusable("the next page's link is not a valid URL")
        })?;
        if hosts::origin(&url) != hosts::origin(&here) {
            if request.name().api() != Api::Bitbucket {
                return Ok(query_of(&next));
            }
            return Err(ClientError::HostRejected {
                call: request.name(),
                origin: hosts::origin(&url),
                reason: "the next page's link is on another host",
            });
        }
        let query = url
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        Ok(PageStart::At(format!("{}{query}", url.path())))
    }
}

const NO_NEXT_PAGE: &str = "there are more items, but the response has no cursor for the next page: \
                            page through the listing with `fetch`";

fn not_empty(value: Option<Value>) -> Option<String> {
    let value = value?;
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(text.to_owned())
}

/// Returns the page that a URL's query leads to.
fn query_of(url: &str) -> PageStart {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let url = Url::parse(&format!("https://next.invalid/?{query}"));
    let pairs = url.map(|url| url.query_pairs().into_owned().collect());
    PageStart::Query(pairs.unwrap_or_default())
}

/// Returns the URL of `Link: <…>; rel="next"` (RFC 8288). It may contain commas and semicolons.
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
        let (url, tail) = tail.split_once('>')?;
        // Up to the next URL: a link's parameters contain no `<`.
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
            return Some(url);
        }
        rest = tail;
    }
    None
}
