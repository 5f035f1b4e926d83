//! One page: its items, and where the next one is, in each of the products' styles.

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

/// Members that hold a page's items, in the products' various answers.
const ITEMS: [&str; 4] = ["values", "results", "issues", "data"];
/// Members that say whether a page is the last.
const LAST: [&str; 4] = ["isLast", "isLastPage", "last", "lastPage"];
/// Members that name the next page, and what the call is then given.
const CURSORS: [(&str, &str); 3] = [
    ("nextPageToken", "nextPageToken"),
    ("nextPageCursor", "cursor"),
    ("startingAfter", "startingAfter"),
];
/// Members whose meaning is known: none of them hides a way on.
const KNOWN: [&str; 5] = [
    "nextPageToken",
    "nextPageCursor",
    "startingAfter",
    "nextPage",
    "next",
];
/// Where a page begins, and how many items it may have, in answers that count them.
const POSITIONS: [(&str, &str); 2] = [("startAt", "maxResults"), ("offset", "limit")];

/// What a page is asked for with, beside what the call says itself.
#[derive(Clone, Debug, Default, PartialEq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Place {
    /// The first.
    #[default]
    First,
    /// A member of the body, or a part of the query.
    From(String, Value),
    /// Parts of the query.
    Query(Vec<(String, String)>),
    /// An address of the API's.
    At(String),
}

impl Place {
    /// The call for it.
    pub(super) fn request(&self, request: &Request) -> Result<Request, ClientError> {
        Ok(match self {
            Self::First => request.copy(),
            Self::From(name, place) => request.continued(name, place),
            Self::Query(pairs) => request.with_query(pairs),
            Self::At(address) => request.at(address)?,
        })
    }
}

/// One page, its items unread.
pub(super) struct Page<'a> {
    response: &'a Response,
    pub(super) items: Vec<&'a RawValue>,
    members: HashMap<String, &'a RawValue>,
    link: Option<String>,
    /// A list, without anything beside it.
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
            None => ITEMS.into_iter().find(|name| members.contains_key(*name)),
        };
        let Some(list) = name.and_then(|name| members.get(name)) else {
            let wanted = items.map_or_else(|| ITEMS.join("`, `"), str::to_owned);
            return Err(response.unusable(format!(
                "it is no page, for it has no member `{wanted}`; name it with `pages_in`"
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

    /// Where the page after this one is, if there is one. `seen` counts the items of those before.
    pub(super) fn next(&self, request: &Request, seen: u64) -> Result<Option<Place>, ClientError> {
        let is = |name: &str| self.value(name)?.as_bool();
        let is_last = LAST.into_iter().find_map(is);
        if is_last == Some(true) {
            return Ok(None);
        }
        for (name, parameter) in CURSORS {
            let cursor = match self.value(name) {
                Some(Value::String(text)) if text.is_empty() => continue,
                Some(cursor @ (Value::String(_) | Value::Number(_))) => cursor,
                _ => continue,
            };
            return Ok(Some(Place::From(parameter.to_owned(), cursor)));
        }
        // An address of the site itself, to which no token goes: what counts is the query. A call
        // with a body takes its place there.
        let next_page = self.text("nextPage");
        let has_body = request.json_body().is_some();
        if let Some(next) = next_page.as_deref().filter(|_| !has_body) {
            return Ok(Some(query_of(next)));
        }
        if let Some(next) = self.by_position(is_last) {
            return next;
        }
        if let Some(next) = self.text("next").or(next_page) {
            return self.by_address(request, next).map(Some);
        }
        let linked = |name| not_empty(self.value(name)?.get_mut("next").map(Value::take));
        let linked = linked("_links").or_else(|| linked("links"));
        if let Some(next) = linked.or_else(|| self.link.clone()) {
            // Relative to one of several bases, or an address of the site itself.
            return Ok(Some(query_of(&next)));
        }
        if is_last == Some(false) {
            return Err(self.response.unusable(NO_WAY_ON));
        }
        let seen = seen.saturating_add(self.items.len() as u64);
        if let Some(total) = self.number("total").filter(|total| *total > seen) {
            return Err(self.response.unusable(format!(
                "it counts {total} items, and {seen} came: {NO_WAY_ON}"
            )));
        }
        self.end(request)
    }

    /// No further page, unless something that isn't known here looks like one.
    fn end(&self, request: &Request) -> Result<Option<Place>, ClientError> {
        let body = request.json_body().unwrap_or_default();
        let is_echo = |name: &str, value: &Value| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            request.query_value(name) == Some(&*text) || body.get(name) == Some(value)
        };
        let hides_more = |name: &&String| {
            if KNOWN.contains(&name.as_str()) {
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
        // Always the same one, of several.
        match self.members.keys().filter(hides_more).min() {
            Some(name) => Err(self.response.unusable(format!(
                "its member `{}` may lead to more items, in a way that isn't known here: page \
                 through it with `fetch`",
                name.chars()
                    .filter(char::is_ascii_alphanumeric)
                    .take(40)
                    .collect::<String>()
            ))),
            None => Ok(None),
        }
    }

    /// Where the next page begins, of an answer that counts its items; `None` for another.
    fn by_position(&self, is_last: Option<bool>) -> Option<Result<Option<Place>, ClientError>> {
        let (place, start, most) = POSITIONS.into_iter().find_map(|(place, most)| {
            Some((place, self.number(place)?, self.number(most).unwrap_or(0)))
        })?;
        let count = self.items.len() as u64;
        // Never further than the items that came: an item may come twice where some were left out,
        // but none is passed over. A page of which all were left out has been passed as a whole.
        let step = if count > 0 { count } else { most };
        let end = start.saturating_add(step);
        let is_last = match (is_last, self.number("total")) {
            (Some(is_last), _) => is_last,
            (None, Some(total)) => end >= total,
            (None, None) => count == 0,
        };
        Some(match (is_last, step) {
            (true, _) => Ok(None),
            // Ending here would pass for the end of the list.
            (false, 0) => Err(self.response.unusable(NO_WAY_ON)),
            (false, _) => Ok(Some(Place::From(place.to_owned(), end.into()))),
        })
    }

    /// Bitbucket's pages have addresses of their own. Those of the other products' sites are never
    /// called; their query is.
    fn by_address(&self, request: &Request, next: String) -> Result<Place, ClientError> {
        let (here, _) = request.address()?;
        let url = here.join(&next);
        let url = url.map_err(|_| self.response.unusable("the next page's address is no URL"))?;
        if hosts::origin(&url) != hosts::origin(&here) {
            if request.name().api() != Api::Bitbucket {
                return Ok(query_of(&next));
            }
            return Err(ClientError::HostRefused {
                call: request.name(),
                origin: hosts::origin(&url),
                reason: "the next page is said to be on another host",
            });
        }
        let query = url
            .query()
            .map_or_else(String::new, |query| format!("?{query}"));
        Ok(Place::At(format!("{}{query}", url.path())))
    }
}

const NO_WAY_ON: &str = "there are more items than this page has, and it doesn't say how to get them: \
                         page through it with `fetch`";

fn not_empty(value: Option<Value>) -> Option<String> {
    let value = value?;
    let text = value.as_str().filter(|text| !text.is_empty())?;
    Some(text.to_owned())
}

fn query_of(address: &str) -> Place {
    let query = address.split_once('?').map_or("", |(_, query)| query);
    let query = query.split('#').next().unwrap_or_default();
    let url = Url::parse(&format!("https://next.invalid/?{query}"));
    let pairs = url.map(|url| url.query_pairs().into_owned().collect());
    Place::Query(pairs.unwrap_or_default())
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
