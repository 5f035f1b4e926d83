//! The fake Forge storage: its paths.
//!
//! Source: <https://developer.atlassian.com/platform/forge/remote/accessing-storage/>

use std::time::Duration;

use super::call::{CheckedCall, JsonResponse, not_implemented};
use super::storage_values::{Options, bad_request};

/// How long expired values are still returned.
const EXPIRED_RETENTION: Duration = Duration::from_secs(48 * 3600);

impl CheckedCall<'_> {
    pub(super) fn storage(&self, path: &[&str]) -> JsonResponse {
        let mut data = self.data();
        let (now, body) = (self.now(), self.body());
        data.stored.retain(|_, stored| {
            let expires = stored.expires;
            expires.is_none_or(|expires| expires + EXPIRED_RETENTION > now)
        });
        let response = match path {
            ["get"] => self.get("kvs", &data, body),
            ["set"] => self.set("kvs", &mut data, body, Options::All),
            ["delete"] => self.delete("kvs", &mut data, body),
            ["secret", "get"] => self.get("secret", &data, body),
            ["secret", "set"] => self.set("secret", &mut data, body, Options::All),
            ["secret", "delete"] => self.delete("secret", &mut data, body),
            ["entity", what] if body.get("entityName").is_none() && *what != "query" => Err(
                bad_request("INVALID_ENTITY_TYPE", "`entityName` is missing"),
            ),
            ["entity", "get"] => self.get("", &data, body),
            ["entity", "set"] => self.set("", &mut data, body, Options::All),
            ["entity", "delete"] => self.delete("", &mut data, body),
            ["query"] => self.query_keys(&data),
            ["entity", "query"] => self.query_entities(&data),
            ["batch", what @ ("get" | "set" | "delete")] => self.batch(what, &mut data),
            ["transaction"] => self.transaction(&mut data),
            _ => return not_implemented(),
        };
        response.unwrap_or_else(|response| response)
    }
}
