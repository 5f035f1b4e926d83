//! Promises of the payloads, held against any bytes.

#![allow(clippy::expect_used, reason = "a broken promise is a panic")]

use axum::body::Body;
use axum::extract::FromRequest;
use axum::http::{HeaderName, HeaderValue, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{
    ActionRequest, AgentRequest, DesignRequest, Event, IssueEvent, JqlFunctionRequest,
    LifecycleEvent, MacroRequest, MacrosRequest, MergeCheckRequest, PageEvent, PipelinesRequest,
    PostFunctionRequest, QueueEvent, ResidencyRequest, Rest, ScheduledEvent, SecurityRequest,
    UninstallEvent, WebTriggerRequest, WithProperties,
};
use crate::extract::RetryContext;
use crate::fuzzing::{at_once, first_line};

fn call(body: &[u8]) -> axum::extract::Request {
    Request::post("/")
        .body(Body::from(body.to_vec()))
        .expect("it is a request")
}

/// A body, read as the payload of every kind.
///
/// - An object is refused by none of them, whatever is in it.
/// - Where it has a retry context, the call is a retry, and says what stands there.
/// - What isn't a JSON-RPC request gets a JSON-RPC error.
pub fn payloads(input: &[u8]) {
    let value = serde_json::from_slice::<Value>(input);
    let object = value.ok().filter(Value::is_object);
    // Without members twice: which of them counts is left to each reader.
    let body = object.as_ref().map(Value::to_string);
    macro_rules! none_refuses {
        ($($payload:ty),+ $(,)?) => {$(
            read::<$payload>(input);
            if let Some(body) = &body {
                let is_read = read::<$payload>(body.as_bytes());
                assert!(is_read, "`{}` refuses {body}", stringify!($payload));
            }
        )+};
    }
    none_refuses!(
        ActionRequest<Rest>,
        IssueEvent,
        PageEvent,
        DesignRequest,
        JqlFunctionRequest,
        LifecycleEvent,
        MacroRequest,
        MacrosRequest,
        MergeCheckRequest,
        PipelinesRequest,
        QueueEvent<Option<Value>>,
        ResidencyRequest,
        ScheduledEvent,
        SecurityRequest,
        PostFunctionRequest,
        UninstallEvent,
        WithProperties<Rest>,
    );
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
        .expect("it was read");
    let Some(object) = object else { return };
    let places = ["/retryContext", "/payload/retryContext"];
    let contexts = places.iter().filter_map(|place| object.pointer(place));
    let context = contexts.into_iter().find(|context| context.is_object());
    let Some(context) = context else {
        assert!(!retry.is_retry(), "no context came");
        return;
    };
    assert!(retry.is_retry(), "a context came");
    let count = context["retryCount"].as_u64().unwrap_or_default();
    assert_eq!(u64::from(retry.count), count.min(u64::from(u32::MAX)));
    assert_eq!(retry.reason.as_deref(), context["retryReason"].as_str());
}

/// A request: a line with method and URI, a line for each header until an empty one, then the body.
///
/// - None is refused.
/// - It is what came, byte for byte; or what a description in its body says, which only a `POST` has.
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
        Err(response) => panic!("refused with {}", response.status()),
    };
    let (_, _) = (read.text(), read.json::<Value>());
    if read.method == head.as_str() && read.body == rest {
        let values = read.headers.values().map(Vec::len).sum::<usize>();
        if values == headers.len() {
            for (name, value) in &headers {
                let text = std::str::from_utf8(value.as_bytes());
                let all = read.headers.get(name.as_str());
                let has = |text: &str| all.is_some_and(|all| all.iter().any(|one| one == text));
                assert!(text.map_or(all.is_some(), has), "`{name}` is another one");
            }
            return;
        }
    }
    assert_eq!(head, "POST", "a description without POST");
    // Half a surrogate pair may be replaced.
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
    let described = described.expect("the body is no description");
    assert_eq!(described.method, read.method);
    let body = described
        .body
        .map(|body| serde_json::from_str::<String>(body.get()));
    let body = body.and_then(Result::ok).unwrap_or_default();
    assert_eq!(read.body, body.as_bytes());
}
