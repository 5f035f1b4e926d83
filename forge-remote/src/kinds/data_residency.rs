//! `migration:dataResidency`: moves of an installation's data to another region. Forge calls the
//! remote itself, without an endpoint.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use forge_remote_schema::names::Names;
use forge_remote_schema::{KindSpec, kinds};
use serde::Serialize;
use serde_yaml::{Mapping, Value};

use super::items::module;
use super::rest::Rest;
use crate::json::payload;
use crate::registry::{Kind, Method, Module, SampleCall};

/// The options of `#[data_residency]`: one hook of a move.
///
/// `path` is the common prefix of the hooks' paths (default: `/data-residency`). It must be the same
/// for each hook, and so must `key` and `remote`. An app has one such module, with all five hooks; the
/// example below shows only two.
///
/// `schedule` and `start` receive a [`ResidencyRequest`] with the times and the region. `commit` and
/// `rollback` receive one with only the id. `status` is called with GET every 5 minutes: take
/// `Query<ResidencyRequest>` and return a [`ResidencyStatus`]. A [`ResidencyFailure`] ends the move;
/// after any other error Forge retries twice, 5 seconds apart.
///
/// ```
/// use forge_remote::kinds::{ResidencyRequest, ResidencyFailure, ResidencyStatus};
/// use forge_remote::prelude::*;
///
/// #[data_residency(hook = "schedule", max_hours = 2)]
/// async fn schedule(Json(call): Json<ResidencyRequest>) -> Result<(), ResidencyFailure> {
///     if call.location.as_deref() == Some("EU") { Ok(()) } else { Err(ResidencyFailure::REGION) }
/// }
///
/// #[data_residency(hook = "status")]
/// async fn status(Query(call): Query<ResidencyRequest>) -> Json<ResidencyStatus> {
///     println!("{:?}", call.migration_id);
///     Json(ResidencyStatus::ready())
/// }
/// ```
///
/// Source: <https://developer.atlassian.com/platform/forge/remote/remote-realm-migration/>
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataResidency {
    /// The hook: `schedule`, `start`, `status`, `commit` or `rollback`.
    pub hook: &'static str,
    /// The maximum duration of a move: 0.5 to 24 hours in steps of 0.5. Set it at one of the hooks.
    pub max_hours: Option<HalfHours>,
}

impl DataResidency {
    #[doc(hidden)]
    pub const NONE: Self = Self {
        hook: "",
        max_hours: None,
    };
}

/// A number of half hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HalfHours(pub u32);

impl HalfHours {
    /// Returns the hours as the manifest has them: an integer, if possible.
    fn value(self) -> Value {
        match self.0 % 2 {
            0 => (self.0 / 2).into(),
            _ => (f64::from(self.0) / 2.0).into(),
        }
    }
}

impl Kind for DataResidency {
    fn spec(&self) -> &'static KindSpec {
        &kinds::DATA_RESIDENCY
    }

    fn path_suffix(&self) -> Option<&'static str> {
        Some(self.hook)
    }

    fn method(&self) -> Option<Method> {
        Some(if self.hook == "status" {
            Method::Get
        } else {
            Method::Post
        })
    }

    fn modules(&self, names: &Names) -> Vec<Module> {
        let mut item = Mapping::new();
        item.insert("key".into(), names.key.as_str().into());
        let path = names
            .path
            .as_str()
            .strip_suffix(self.hook)
            .unwrap_or_default();
        item.insert("path".into(), path.trim_end_matches('/').into());
        if let Some(hours) = self.max_hours {
            item.insert("maxMigrationDurationHours".into(), hours.value());
        }
        module(self.spec(), item)
    }

    fn sample_call(&self) -> SampleCall {
        let body = match self.hook {
            "schedule" | "start" => serde_json::json!({
                "startTime": "2026-12-26T00:00:00.000Z", "endTime": "2026-12-26T02:00:00.000Z",
                "location": "EU", "migrationId": 57500,
            }),
            "status" => {
                return SampleCall {
                    body: None,
                    ..SampleCall::from_platform(serde_json::Value::Null)
                };
            }
            _ => serde_json::json!({ "migrationId": 57500 }),
        };
        SampleCall::from_platform(body)
    }
}

/// The payload of a hook.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ResidencyRequest {
    /// The move's id: a number in a body, text in a query.
    pub migration_id: Option<String>,
    /// The earliest start, in ISO 8601.
    pub start_time: Option<String>,
    /// The latest end, in ISO 8601.
    pub end_time: Option<String>,
    /// The target region: `EU`, `US`, …
    pub location: Option<String>,
    /// All other members.
    pub rest: Rest,
}

payload!(ResidencyRequest {
    migration_id: "migrationId",
    start_time: "startTime",
    end_time: "endTime",
    location: "location",
});

/// The status of a move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResidencyStatus {
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_response_code: Option<&'static str>,
}

impl ResidencyStatus {
    /// Creates the status of a move whose data is copied: Atlassian may commit it.
    pub fn ready() -> Self {
        Self::of("ready-to-commit")
    }

    /// Creates the status of a move that is in progress.
    pub fn in_progress() -> Self {
        Self::of("in-progress")
    }

    /// Creates the status of a move that has failed.
    pub fn failed(failure: ResidencyFailure) -> Self {
        Self {
            error_response_code: Some(failure.0),
            ..Self::of("failed")
        }
    }

    fn of(status: &str) -> Self {
        Self {
            status: status.to_owned(),
            error_response_code: None,
        }
    }
}

/// The reason for rejecting a move, which ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResidencyFailure(&'static str);

impl ResidencyFailure {
    /// The move was not scheduled.
    pub const NOT_SCHEDULED: Self = Self("E0001");
    /// The region is not supported.
    pub const REGION: Self = Self("E0002");
    /// This kind of move is not supported.
    pub const UNSUPPORTED: Self = Self("E0003");
    /// There are too many moves at once.
    pub const TOO_MANY: Self = Self("E0004");
    /// Any other reason.
    pub const OTHER: Self = Self("E9999");
}

impl IntoResponse for ResidencyFailure {
    fn into_response(self) -> Response {
        tracing::warn!(code = self.0, "the move to another region was rejected");
        let body = crate::extract::Json(serde_json::json!({ "errorResponseCode": self.0 }));
        (StatusCode::CONFLICT, body).into_response()
    }
}
