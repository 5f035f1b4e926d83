//! The identification of deliveries by Forge, by which retries are recognised.

use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::envelope::Repeats;
use crate::extract::{RetryContext, read_event};

/// The longest time from a delivery to its retry, if the body has an id. Forge keeps a queue's event
/// for up to 96 hours, and an engine remembers finished jobs for a day.
/// Source: <https://developer.atlassian.com/platform/forge/runtime-reference/async-events-api/>
const BY_ID: Duration = Duration::from_secs(24 * 3600);
/// How far back a retry can be, where only the body identifies it: four retries, a minute apart. A later
/// event may have the same body, and its own retries must not be taken for retries of this one.
/// Source: <https://developer.atlassian.com/platform/forge/remote/sending-product-events/>
const BY_BODY: Duration = Duration::from_secs(15 * 60);

/// The latest arrival of a retry after its interval; a later one could belong to the next call.
const MARGIN: Duration = Duration::from_secs(30);

/// The identity of a delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) key: String,
    pub(crate) repeats: Repeats,
}

impl Delivery {
    /// Identifies a delivery by the members of its body at `id_pointers`, if it has the first of them;
    /// otherwise by the whole body without its retry context. The calls of a schedule have equal bodies, so
    /// that a retry is of the call in the last `interval`.
    pub(crate) fn new(
        handler: &str,
        installation_id: &str,
        id_pointers: &[&str],
        interval: Option<Duration>,
        body: &[u8],
    ) -> Self {
        let mut value: Value = read_event(body).unwrap_or_default();
        let ids: Vec<&Value> = id_pointers
            .iter()
            .map_while(|pointer| value.pointer(pointer).filter(|id| !id.is_null()))
            .collect();
        let mut key = KeyHash::new(handler, installation_id);
        let window = if ids.is_empty() {
            if let Value::Object(members) = &mut value {
                members.remove("retryContext");
                key.add(value.to_string().as_bytes());
            } else {
                key.add(body);
            }
            match interval {
                Some(interval) => BY_BODY.min(interval.saturating_sub(MARGIN)),
                None => BY_BODY,
            }
        } else {
            for id in ids {
                key.add(id.to_string().as_bytes());
            }
            BY_ID
        };
        Self {
            key: key.finish(),
            repeats: match RetryContext::of(body).is_retry() {
                true => Repeats::Within(window),
                false => Repeats::Never,
            },
        }
    }
}

/// The hash of what identifies an envelope, as its key.
pub(super) struct KeyHash(Context);

impl KeyHash {
    pub(super) fn new(handler: &str, installation_id: &str) -> Self {
        let mut hash = Self(Context::new(&SHA256));
        hash.add(handler.as_bytes());
        hash.add(installation_id.as_bytes());
        hash
    }

    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_be_bytes());
        self.0.update(part);
    }

    pub(super) fn finish(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(ids: &[&str], body: &str) -> Delivery {
        Delivery::new("index", "ari:1", ids, None, body.as_bytes())
    }

    #[test]
    fn a_retry_has_the_key_of_its_first_delivery() {
        let first = delivery(&[], r#"{"issue":{"id":"1"},"at":1.50}"#);
        assert_eq!(first.repeats, Repeats::Never);
        for retry in [
            r#"{"issue":{"id":"1"},"at":1.50,"retryContext":{"retryCount":1}}"#,
            r#"{"at":1.5,"retryContext":{"retryCount":4,"retryReason":"TIMEOUT_ERROR"},"issue":{"id":"1"}}"#,
            r#"{"payload":{"issue":{"id":"1"},"at":1.50,"retryContext":{"retryCount":1}}}"#,
        ] {
            let retry = delivery(&[], retry);
            assert_eq!(retry.key, first.key);
            assert_eq!(retry.repeats, Repeats::Within(BY_BODY));
        }
    }

    #[test]
    fn a_retry_of_a_schedule_is_of_the_call_in_its_last_interval() {
        let retry = br#"{"retryContext":{"retryCount":1}}"#;
        let repeats =
            |interval| Delivery::new("index", "ari:1", &[], Some(interval), retry).repeats;
        let five_minutes = Duration::from_secs(300);
        assert_eq!(
            repeats(five_minutes),
            Repeats::Within(Duration::from_secs(270))
        );
        assert_eq!(repeats(12 * five_minutes), Repeats::Within(BY_BODY));
    }

    #[test]
    fn other_bodies_handlers_and_installations_have_other_keys() {
        let body = br#"{"issue":{"id":"1"}}"#;
        let key =
            |handler, installation, body| Delivery::new(handler, installation, &[], None, body).key;
        let keys = [
            key("index", "ari:1", body),
            key("mail", "ari:1", body),
            key("index", "ari:2", body),
            key("inde", "xari:1", body),
            key("index", "ari:1", br#"{"issue":{"id":"2"}}"#),
            key("index", "ari:1", b""),
            key("index", "ari:1", b"not json"),
        ];
        let different: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
        assert!(keys.iter().all(|key| key.len() == 43));
    }

    #[test]
    fn an_id_is_enough_where_the_body_has_one() {
        let ids = ["/transition/executionId", "/postFunction/id"];
        let one = delivery(
            &ids,
            r#"{"transition":{"executionId":"7"},"issue":{"a":1}}"#,
        );
        let retry = delivery(
            &ids,
            r#"{"transition":{"executionId":"7"},"issue":{"a":2},"retryContext":{"retryCount":1}}"#,
        );
        assert_eq!(one.key, retry.key);
        assert_eq!(retry.repeats, Repeats::Within(BY_ID));
        // The same transition has two post functions of one handler.
        let other = delivery(
            &ids,
            r#"{"transition":{"executionId":"7"},"postFunction":{"id":"b"}}"#,
        );
        assert_ne!(one.key, other.key);
        // Without the first, the rest identifies nothing.
        let without = |issue| {
            let body = format!(r#"{{"postFunction":{{"id":"b"}},"issue":{issue}}}"#);
            delivery(&ids, &body).key
        };
        assert_ne!(without(1), without(2));
    }
}
