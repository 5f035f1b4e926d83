//! Invariants of the calls to Atlassian, checked with arbitrary bytes.

#![allow(clippy::expect_used, reason = "a violated invariant panics")]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use forge_remote_fit::fuzzing::first_line;
use reqwest::Url;
use serde_json::Value;

use super::error::ClientError;
use super::error::RateLimit;
use super::error::status::{body_without, messages};
use super::page::{Page, PageStart};
use super::response::Response;
use super::retry::{RetryPolicy, retry_after as read_retry_after};
use super::{
    Api, AtlassianClient, InstallationUrls, Item, Path, ProductApi, ProductClient, Request, hosts,
};

const BASE: &str = "https://api.atlassian.com/ex/jira/c-1";
const SECRET: &str = "the-secret";

static CLIENTS: LazyLock<[ProductClient; 3]> = LazyLock::new(|| {
    let urls = InstallationUrls::new("ari:cloud:ecosystem::installation/i-1")
        .jira(BASE)
        .confluence("https://api.atlassian.com/ex/confluence/c-1")
        .bitbucket("https://api.bitbucket.org");
    [Api::Jira, Api::Confluence, Api::Bitbucket]
        .map(|api| ProductApi::new(&AtlassianClient::new(), api, &urls).with_token(SECRET))
});

/// Checks one page of a response: a line with the product (`jira`, `confluence`, `bitbucket`) and
/// `body` if the request has one, a line for the `Link` header, then the body.
///
/// - No response causes a panic.
/// - The request for the next page goes to the installation's own host, below its base URL.
/// - A cursor is the same after serialization.
/// - The URL of a `Link` header's `rel="next"` is found, regardless of the text before it.
pub fn pages(input: &[u8]) {
    let (Some(which), rest) = first_line(input) else {
        return;
    };
    let (Some(link), body) = first_line(rest) else {
        return;
    };
    let [jira, confluence, bitbucket] = &*CLIENTS;
    let request = match which {
        [b'c', ..] => confluence.get("/wiki/api/v2/pages").query("limit", 50),
        [b'b', ..] => bitbucket.get("/2.0/repositories/w"),
        _ => jira
            .get("/rest/api/3/search/jql")
            .query("jql", "order by key"),
    };
    let has_body = which.ends_with(b"body");
    let request = if has_body {
        request.json(&serde_json::json!({"jql": "x"}))
    } else {
        request
    };
    let link = HeaderValue::from_bytes(link).ok();
    follow(&request, link.as_ref(), body);

    // A known next link after another link.
    let target = link.as_ref().and_then(|link| link.to_str().ok());
    let target = target.filter(|text| !text.is_empty() && !text.contains(['<', '>']));
    if let Some(target) = target {
        let line = format!("</a?b=1,2;c>; rel=prev; title=\"x\", <{target}>; rel=\"next\"");
        let line = HeaderValue::try_from(line).expect("the input is a header value");
        let response = response(&request, Some(&line), br#"{"values":[]}"#);
        let page = read(&response, None).expect("it is a page");
        let next = page.next(&request, 0).expect("it has a next page");
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let url = Url::parse(&format!("https://x.invalid/?{query}")).expect("it is a URL");
        let pairs = url.query_pairs().into_owned().collect();
        assert!(next == Some(PageStart::Query(pairs)), "another link");
    }
}

fn response(request: &Request, link: Option<&HeaderValue>, body: &[u8]) -> Response {
    let mut headers = HeaderMap::new();
    headers.extend(link.map(|link| (header::LINK, link.clone())));
    Response {
        call: request.name(),
        status: StatusCode::OK,
        headers,
        body: Bytes::copy_from_slice(body),
        client: CLIENTS[0].clone(),
        attempts: 1,
    }
}

fn read<'a>(response: &'a Response, items: Option<&'static str>) -> Result<Page<'a>, ClientError> {
    Page::read(response, response.bytes(), items)
}

/// Follows pages with the same response to each request. Three pages suffice to see where they lead.
fn follow(first: &Request, link: Option<&HeaderValue>, body: &[u8]) {
    let response = response(first, link, body);
    let (here, base) = first.address().expect("the address is known");
    for items in [None, Some("values"), Some("worklogs")] {
        let mut request = first.copy();
        let mut seen = 0;
        for _ in 0..3 {
            let page = match read(&response, items) {
                Ok(page) => page,
                Err(error) => return assert!(!error.to_string().is_empty()),
            };
            let start = match page.next(&request, seen) {
                Ok(Some(start)) => start,
                Ok(None) => break,
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    break;
                }
            };
            check_cursor(&start);
            let Ok(next) = start.request(first) else {
                break;
            };
            let (url, _) = next.address().expect("the address is known");
            assert_eq!(hosts::origin(&url), hosts::origin(&here), "another host");
            assert!(url.path().starts_with(&base), "outside the installation");
            seen += page.items.len() as u64;
            request = next;
        }
    }
}

fn check_cursor(start: &PageStart) {
    // A fraction may differ in its last digit after a round trip through JSON.
    if matches!(start, PageStart::From(_, Value::Number(number)) if number.is_f64()) {
        return;
    }
    let text = serde_json::to_string(start).expect("it can be serialized");
    let read: PageStart = serde_json::from_str(&text).expect("it can be deserialized");
    assert!(read == *start, "the cursor changed");
}

/// Checks a `Retry-After` header and, after a line break, the body of its response.
///
/// - A number is a wait in seconds, a date is the wait until then, and anything else is no wait.
/// - No wait is longer than a day.
/// - The body kept in an error does not contain the token.
pub fn retry_after(input: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (line, body) = first_line(input);
    let line = line.unwrap_or(input);
    if let Ok(value) = HeaderValue::from_bytes(line) {
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, value.clone())]);
        let wait = read_retry_after(&headers, now);
        let text = value.to_str().unwrap_or_default().trim();
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if let (true, Ok(seconds)) = (is_number, text.parse()) {
            assert_eq!(wait, Some(Duration::from_secs(seconds)));
        } else if !text.contains(':') && !text.starts_with('+') {
            assert_eq!(wait, None, "{text:?}");
        }
        let patient = RetryPolicy::new().attempts(u32::MAX).total(Duration::MAX);
        let longest = Duration::from_secs(24 * 3600);
        assert!(patient.wait(1, Duration::ZERO, wait) <= Some(longest));

        let names = [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ];
        let limits = names.map(|name| (header::HeaderName::from_static(name), value.clone()));
        let limit = RateLimit::of(&HeaderMap::from_iter(limits));
        assert!(!limit.to_string().is_empty());
    }
    if let Some(seconds) = input.first_chunk() {
        let after = Duration::from_secs(u64::from(u32::from_le_bytes(*seconds)));
        let date = httpdate::fmt_http_date(now + after);
        let date = HeaderValue::try_from(date).expect("a date is a header's value");
        let headers = HeaderMap::from_iter([(header::RETRY_AFTER, date)]);
        assert_eq!(read_retry_after(&headers, now), Some(after));
    }
    let (code, texts) = messages(body, SECRET);
    for text in code.iter().chain(&texts) {
        assert!(!text.contains(SECRET), "a message contains the token");
    }
    let kept = body_without(Bytes::copy_from_slice(body), SECRET);
    let has_secret = kept
        .windows(SECRET.len())
        .any(|one| one == SECRET.as_bytes());
    assert!(!has_secret, "the body contains the token");
}

/// Checks a date in storage's format.
///
/// - No text makes the item invalid.
/// - A date is read as the same moment as by another implementation (httpdate).
pub fn dates(input: &[u8]) {
    let read = |text: &str| {
        let item = serde_json::json!({"key": "k", "value": 1, "expireTime": text});
        let item: Item<Value> =
            serde_json::from_value(item).expect("a date never makes an item invalid");
        item.expire_time
    };
    let text = String::from_utf8_lossy(input);
    let time = read(&text);
    if let Some(date) = storage_date(&text) {
        assert_eq!(time, Some(date), "{text}");
    }
    if let Some(millis) = input.first_chunk() {
        // To the year 9999.
        let millis = u64::from_le_bytes(*millis) % 253_402_300_800_000;
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        assert_eq!(read(&iso(time, millis % 1000)), Some(time));
    }
    if let Ok(value) = serde_json::from_slice::<Value>(input) {
        let item = serde_json::json!({"key": "k", "value": 1, "createdAt": value});
        let item = serde_json::from_value::<Item<Value>>(item);
        assert!(item.is_ok(), "a date never makes an item invalid");
    }
}

/// Returns the moment of a text in the one format that storage writes, if it is a valid date.
fn storage_date(text: &str) -> Option<SystemTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, millis) = time.split_once('.')?;
    let [year, month, day] = parts(date, '-', [4, 2, 2])?;
    let [hour, minute, second] = parts(time, ':', [2, 2, 2])?;
    let [millis] = parts(millis, '.', [3])?;
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let month = MONTHS.get(month.checked_sub(1)? as usize)?;
    if year < 1970 || day > 28 || second > 59 {
        return None;
    }
    // The weekday is not checked.
    let date = format!("Sun, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT");
    let time = httpdate::parse_http_date(&date).ok()?;
    Some(time + Duration::from_millis(millis))
}

fn parts<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[u64; N]> {
    let mut parts = text.split(separator);
    let numbers = lengths.map(|length| {
        let part = parts.next()?;
        let fits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| part.parse().ok()).flatten()
    });
    let mut all = [0; N];
    for (slot, number) in all.iter_mut().zip(numbers) {
        *slot = number?;
    }
    parts.next().is_none().then_some(all)
}

/// Formats a time as `2026-01-15T16:12:19.000Z`.
fn iso(time: SystemTime, millis: u64) -> String {
    // `Thu, 15 Jan 2026 16:12:19 GMT`
    let text = httpdate::fmt_http_date(time);
    let mut words = text.split(' ').skip(1);
    let [day, month, year, clock] = [(); 4].map(|()| words.next().unwrap_or_default());
    let month = match month {
        "Jan" => 1,
        "Feb" => 2,
        "Mar" => 3,
        "Apr" => 4,
        "May" => 5,
        "Jun" => 6,
        "Jul" => 7,
        "Aug" => 8,
        "Sep" => 9,
        "Oct" => 10,
        "Nov" => 11,
        _ => 12,
    };
    format!("{year}-{month:02}-{day}T{clock}.{millis:03}Z")
}

/// Checks the segments of a path, one per line, and the whole text as a link from the API.
///
/// - A request whose segments are not empty, `.` or `..` goes to the installation's host, below its
///   base URL, to a path with as many segments, each of which decodes to the original.
/// - Any other request is an error.
/// - A link leads below the base URL of the same host, or is an error.
pub fn paths(input: &[u8]) {
    let client = &CLIENTS[0];
    let settings = client.settings();
    let text = String::from_utf8_lossy(input);
    let (first, second) = text.split_once('\n').unwrap_or((&text, "second"));
    // The expansion of `path!`.
    let path = Path::__fill("/rest/api/3/issue/{}/comment/{}", &[&first, &second]);
    let encoded = path.as_str().to_owned();
    let by_hand = Path::from("/rest/api/3/issue").segment(first);
    let by_hand = by_hand.segment("comment").segment(second);
    assert_eq!(by_hand.as_str(), encoded);
    let fits = |segment: &str| !matches!(segment, "" | "." | "..");
    let requests = [path, by_hand].map(|path| client.get(path).ready(&settings));
    for url in requests {
        assert_eq!(url.is_ok(), fits(first) && fits(second), "{encoded}");
        let Ok(url) = url else { continue };
        assert_eq!(url.as_str(), format!("{BASE}{encoded}"));
        let segments = url.path_segments().into_iter().flatten();
        let segments: Vec<String> = segments.map(decoded).collect();
        let expected = [
            "ex", "jira", "c-1", "rest", "api", "3", "issue", first, "comment", second,
        ];
        assert_eq!(segments, expected);
    }

    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/';
    let is_path = text.starts_with('/') && !text.contains("//") && text.bytes().all(is_plain);
    match client.get_link(&text).ready(&settings) {
        Ok(url) => {
            assert_eq!(hosts::origin(&url), "https://api.atlassian.com");
            assert!(url.path().starts_with("/ex/jira/c-1/"), "{url}");
            assert!(url.username().is_empty() && url.password().is_none());
        }
        Err(error) => assert!(!is_path, "{error}"),
    }
}

fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next(), rest.next()].map(Option::unwrap_or_default);
        let digits = std::str::from_utf8(&digits).expect("`%` is followed by two digits");
        bytes.push(u8::from_str_radix(digits, 16).expect("`%` is followed by two digits"));
    }
    String::from_utf8(bytes).expect("the original was UTF-8")
}
