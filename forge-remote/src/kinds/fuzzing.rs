//! Invariants of the payloads, checked with arbitrary bytes.

#![allow(clippy::expect_used, reason = "a violated invariant panics")]

use axum::body::Body;
use axum::extract::FromRequest;
use axum::http::{HeaderName, HeaderValue, Request};
use forge_remote_fit::fuzzing::first_line;
use futures_util::FutureExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::payloads::for_each_payload;
use super::{AgentRequest, Event, WebTriggerRequest};
use crate::extract::RetryContext;

/// Runs a future that has nothing to wait for.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("it waits for nothing")
}

fn call(body: &[u8]) -> axum::extract::Request {
    Request::post("/")
        .body(Body::from(body.to_vec()))
        .expect("the request is valid")
}

/// Reads a body as the payload of every kind.
///
/// - Every payload accepts any object.
/// - A body with a retry context is a retry, with the values of that context.
/// - A body that isn't a JSON-RPC request gets a JSON-RPC error.
pub fn payloads(input: &[u8]) {
    let value = serde_json::from_slice::<Value>(input);
    let object = value.ok().filter(Value::is_object);
    // Without duplicate members, of which each parser may use another one.
    let body = object.as_ref().map(Value::to_string);
    macro_rules! all_accept {
        ($($payload:ty),+ $(,)?) => {$(
            read::<$payload>(input);
            if let Some(body) = &body {
                let is_read = read::<$payload>(body.as_bytes());
                assert!(is_read, "`{}` rejects {body}", stringify!($payload));
            }
        )+};
    }
    for_each_payload!(all_accept);
    if let Err(response) = at_once(AgentRequest::from_request(call(input), &())) {
        assert_eq!(response.status(), 200);
    }
    retry(input, None);
    if let (Some(object), Some(body)) = (&object, &body) {
        retry(body.as_bytes(), Some(object));
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> bool {
    at_once(Event::<T>::from_request(call(body), &())).is_ok()
}

fn retry(body: &[u8], object: Option<&Value>) {
    let request = at_once(RetryContext::read_ahead(call(body))).expect("the body is small");
    let retry = request
        .extensions()
        .get::<RetryContext>()
        .expect("`read_ahead` sets it");
    let Some(object) = object else { return };
    let places = ["/retryContext", "/payload/retryContext"];
    let contexts = places.iter().filter_map(|place| object.pointer(place));
    let context = contexts.into_iter().find(|context| context.is_object());
    let Some(context) = context else {
        assert!(!retry.is_retry(), "there is no context");
        return;
    };
    assert!(retry.is_retry(), "there is a context");
    let count = context["retryCount"].as_u64().unwrap_or_default();
    assert_eq!(u64::from(retry.count), count.min(u64::from(u32::MAX)));
    assert_eq!(retry.reason.as_deref(), context["retryReason"].as_str());
}

/// Checks a request: a line with method and URI, a line for each header until an empty one, then the
/// body.
///
/// - No request is rejected.
/// - The result equals the request byte for byte, or the description in the body of a `POST`.
pub fn web_trigger(input: &[u8]) {
    let (Some(line), mut rest) = first_line(input) else {
        return;
    };
    let line = String::from_utf8_lossy(line);
    let (method, uri) = line.split_once(' ').unwrap_or((&line, "/"));
    let mut request = Request::builder().method(method).uri(uri);
    while let (Some(line), more) = first_line(rest) {
        rest = more;
        if line.is_empty() {
            break;
        }
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            request = request.header(name, value);
        }
    }
    let Ok(request) = request.body(Body::from(rest.to_vec())) else {
        return;
    };
    let (head, headers) = (request.method().clone(), request.headers().clone());
    let read = match at_once(WebTriggerRequest::from_request(request, &())) {
        Ok(read) => read,
        Err(response) => panic!("rejected with {}", response.status()),
    };
    let (_, _) = (read.text(), read.json::<Value>());
    if read.method == head.as_str() && read.body == rest {
        let values = read.headers.values().map(Vec::len).sum::<usize>();
        if values == headers.len() {
            for (name, value) in &headers {
                let text = std::str::from_utf8(value.as_bytes());
                let all = read.headers.get(name.as_str());
                let has = |text: &str| all.is_some_and(|all| all.iter().any(|one| one == text));
                assert!(text.map_or(all.is_some(), has), "`{name}` changed");
            }
            return;
        }
    }
    assert_eq!(head, "POST", "a description without POST");
    // An unpaired surrogate may be replaced.
    if rest
        .windows(3)
        .any(|part| part.eq_ignore_ascii_case(br"\ud"))
    {
        return;
    }
    #[derive(Deserialize)]
    struct Described<'a> {
        method: String,
        #[serde(borrow)]
        body: Option<&'a RawValue>,
    }
    let described = serde_json::from_slice::<Described<'_>>(rest);
    let described = described.expect("the body is a description");
    assert_eq!(described.method, read.method);
    let body = described
        .body
        .map(|body| serde_json::from_str::<String>(body.get()));
    let body = body.and_then(Result::ok).unwrap_or_default();
    assert_eq!(read.body, body.as_bytes());
}
