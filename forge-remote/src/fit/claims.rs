//! The claims of a FIT: read once, kept in the token's own text, nothing copied.
//!
//! Source of the claims' meaning: <https://developer.atlassian.com/platform/forge/remote/essentials/>

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{Names, Object, Text, is_too_deep, readable};
use super::refusal::Refusal;

/// A FIT's claims. What the platform may leave out is an `Option`; what this version doesn't know
/// is still there, by [`claim`](Self::claim).
///
/// It has no `Debug` output beyond its name: claims are customers' data.
pub struct Claims {
    /// The payload's JSON; every [`Part`] points into it.
    text: String,
    pub(super) expires: NumericDate,
    issued_at: Option<NumericDate>,
    app_id: Part,
    installation_id: Part,
    app_version: Option<Part>,
    api_base_url: Option<Part>,
    environment_type: Option<Part>,
    environment_id: Option<Part>,
    module_type: Option<Part>,
    module_key: Option<Part>,
    installation_contexts: Option<Part>,
    license: Option<Part>,
    context: Option<Part>,
    principal: Option<Part>,
    jti: Option<Part>,
    isolated_cloud_label: Option<Part>,
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").finish_non_exhaustive()
    }
}

/// A piece of the payload: a range of its text, or the text itself where it had escapes.
enum Part {
    At(usize, usize),
    Own(Box<str>),
}

/// A product the app is installed in: an entry of `app.installation.contexts`.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InstallationContext {
    /// `jira`, `confluence`, `bitbucket`, …
    pub name: String,
    /// Where this product's API is called, e.g. `https://api.atlassian.com/ex/jira/<cloudId>`.
    pub api_base_url: Option<String>,
    /// The site, for Jira and Confluence. Left out by the platform until mid-2026.
    pub cloud_id: Option<String>,
    /// The workspace, for Bitbucket; without braces.
    pub workspace_id: Option<String>,
}

impl fmt::Debug for InstallationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstallationContext")
            .finish_non_exhaustive()
    }
}

/// The app's licence (`app.license`): there for paid apps in production, or with a test override.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct License {
    /// Whether the licence is active. A free app has no licence at all.
    #[serde(default, alias = "isActive")]
    pub active: Option<bool>,
    /// `MONTHLY`, `ANNUAL`, …
    #[serde(default)]
    pub billing_period: Option<String>,
    /// `capabilityStandard` or `capabilityAdvanced`.
    #[serde(default)]
    pub capability_set: Option<String>,
    /// Whether it is an evaluation.
    #[serde(default)]
    pub is_evaluation: Option<bool>,
    /// ISO 8601.
    #[serde(default)]
    pub subscription_end_date: Option<String>,
    /// ISO 8601.
    #[serde(default)]
    pub trial_end_date: Option<String>,
    /// `commercial`, `academic`, …; Atlassian's pages disagree about the case.
    #[serde(default, rename = "type")]
    pub license_type: Option<String>,
}

impl fmt::Debug for License {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("License").finish_non_exhaustive()
    }
}

impl Claims {
    /// The app's ARI; equal to the audience and to `app.id` in the manifest.
    pub fn app_id(&self) -> &str {
        self.get(&self.app_id)
    }

    /// The installation's ARI: the tenant. It survives upgrades and changes on reinstallation.
    pub fn installation_id(&self) -> &str {
        self.get(&self.installation_id)
    }

    /// The deployed app's version, e.g. `16.0.1`.
    pub fn app_version(&self) -> Option<&str> {
        self.optional(&self.app_version)
    }

    /// Where the product's API is called: `https://api.atlassian.com/ex/{jira|confluence}/<cloudId>`
    /// or `https://api.bitbucket.org`.
    pub fn api_base_url(&self) -> Option<&str> {
        self.optional(&self.api_base_url)
    }

    /// `DEVELOPMENT`, `STAGING` or `PRODUCTION`.
    pub fn environment_type(&self) -> Option<&str> {
        self.optional(&self.environment_type)
    }

    /// The environment's ARI.
    pub fn environment_id(&self) -> Option<&str> {
        self.optional(&self.environment_id)
    }

    /// The type of the module the call comes from: `core:endpoint` for the platform's own calls.
    pub fn module_type(&self) -> Option<&str> {
        self.optional(&self.module_type)
    }

    /// The key of the module the call comes from.
    pub fn module_key(&self) -> Option<&str> {
        self.optional(&self.module_key)
    }

    /// The acting user's account id: there when a page calls, never for schedules and events.
    pub fn principal(&self) -> Option<&str> {
        self.optional(&self.principal)
    }

    /// The token's id.
    pub fn jti(&self) -> Option<&str> {
        self.optional(&self.jti)
    }

    /// The isolated cloud the call comes from.
    pub fn isolated_cloud_label(&self) -> Option<&str> {
        self.optional(&self.isolated_cloud_label)
    }

    /// When the token ends.
    pub fn expires_at(&self) -> SystemTime {
        self.expires.to_time()
    }

    /// When the token was issued (`iat`, else `nbf`).
    pub(super) fn issued_at(&self) -> Option<SystemTime> {
        self.issued_at.map(NumericDate::to_time)
    }

    /// The page's context, for calls from a page: free-form JSON.
    pub fn context(&self) -> Option<serde_json::Value> {
        serde_json::from_str(self.optional(&self.context)?).ok()
    }

    /// The page's context, read into a type of yours.
    pub fn context_as<T: serde::de::DeserializeOwned>(&self) -> Option<serde_json::Result<T>> {
        self.optional(&self.context).map(serde_json::from_str)
    }

    /// The products of this installation; empty where the platform names none.
    pub fn installation_contexts(&self) -> Vec<InstallationContext> {
        self.optional(&self.installation_contexts)
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// The same, as the claim has it.
    pub(crate) fn installation_contexts_json(&self) -> Option<&str> {
        self.optional(&self.installation_contexts)
    }

    /// The licence. `None` for a free app, outside production, and where it can't be read.
    pub fn license(&self) -> Option<License> {
        serde_json::from_str(self.optional(&self.license)?).ok()
    }

    /// Any top-level claim as JSON, known to this version or not.
    pub fn claim(&self, name: &str) -> Option<serde_json::Value> {
        // Only this one is read: what another claim holds can't hide it.
        let claims: std::collections::HashMap<String, &RawValue> =
            serde_json::from_str(&self.text).ok()?;
        serde_json::from_str(&readable(claims.get(name)?.get())?).ok()
    }

    fn get<'a>(&'a self, part: &'a Part) -> &'a str {
        match part {
            Part::At(start, end) => self.text.get(*start..*end).unwrap_or_default(),
            Part::Own(text) => text,
        }
    }

    fn optional<'a>(&'a self, part: &'a Option<Part>) -> Option<&'a str> {
        part.as_ref().map(|part| self.get(part))
    }
}

/// What has to hold of the claims, whoever signed them.
pub(super) struct Expected<'a> {
    pub(super) app_id: &'a str,
    pub(super) now: SystemTime,
    pub(super) clock_skew: Duration,
    pub(super) max_lifetime: Duration,
}

const ISSUER: &str = "forge/invocation-token";

/// The part of an unverified payload that chooses among the configured key sets.
#[derive(Default)]
pub(super) struct Origin {
    pub(super) isolated_cloud_label: Option<String>,
    pub(super) is_staging: bool,
}

impl Origin {
    /// Reads the choice; what can't be read chooses nothing and fails later.
    pub(super) fn of(payload: &[u8]) -> Self {
        let Ok(raw) = serde_json::from_slice::<RawClaims<'_>>(payload) else {
            return Self::default();
        };
        Self {
            isolated_cloud_label: raw.isolated_cloud_label.0.map(|label| label.0.into_owned()),
            is_staging: raw
                .app
                .and_then(|Object(app)| app.api_base_url.0)
                .is_some_and(|url| url.0.starts_with("https://api.stg.atlassian.com/")),
        }
    }
}

impl Claims {
    /// Reads a payload and checks what holds for every FIT of this app.
    pub(super) fn check(payload: Vec<u8>, expected: &Expected<'_>) -> Result<Self, Refusal> {
        let text = String::from_utf8(payload).map_err(|_| Refusal::BadClaims {
            category: "not UTF-8",
            column: 0,
        })?;
        if is_too_deep(&text) {
            return Err(Refusal::BadClaims {
                category: "nested too deep",
                column: 0,
            });
        }
        let raw: RawClaims<'_> =
            serde_json::from_str(&text).map_err(|error| Refusal::BadClaims {
                // Not the error's text: it can quote a claim.
                category: match error.classify() {
                    serde_json::error::Category::Data => {
                        "of a wrong type, repeated or out of range"
                    }
                    serde_json::error::Category::Eof => "truncated",
                    _ => "malformed",
                },
                column: error.column(),
            })?;

        if raw.issuer.ok_or(Refusal::MissingClaim("iss"))?.0 != ISSUER {
            return Err(Refusal::WrongIssuer);
        }
        if !raw
            .audience
            .ok_or(Refusal::MissingClaim("aud"))?
            .contains(expected.app_id)
        {
            return Err(Refusal::WrongAudience);
        }
        let expires = raw.expires.ok_or(Refusal::MissingClaim("exp"))?;
        let now = NumericDate::from_time(expected.now);
        if expires <= now {
            return Err(Refusal::Expired);
        }
        if expires > now.plus(expected.max_lifetime) {
            return Err(Refusal::LivesTooLong);
        }
        let latest = now.plus(expected.clock_skew);
        if raw.not_before.is_some_and(|at| at > latest) {
            return Err(Refusal::NotYetValid);
        }
        if raw.issued_at.is_some_and(|at| at > latest) {
            return Err(Refusal::IssuedInFuture);
        }

        let Object(app) = raw.app.ok_or(Refusal::MissingClaim("app"))?;
        let app_id = app.id.ok_or(Refusal::MissingClaim("app.id"))?;
        if app_id.0 != expected.app_id {
            return Err(Refusal::WrongApp);
        }
        let installation = app
            .installation
            .map(|Object(installation)| installation)
            .unwrap_or_default();
        let installation_id = match (app.installation_id, installation.id) {
            (Some(one), Some(other)) if one != other => return Err(Refusal::InstallationMismatch),
            (Some(id), _) | (None, Some(id)) => id,
            (None, None) => return Err(Refusal::MissingClaim("app.installationId")),
        };
        if installation_id.0.is_empty() {
            return Err(Refusal::MissingClaim("app.installationId"));
        }
        let environment = app
            .environment
            .map(|Object(environment)| environment)
            .unwrap_or_default();
        let module = app.module.map(|Object(module)| module).unwrap_or_default();

        let part = |piece: Text<'_>| Part::new(&text, piece);
        let json = |piece: Option<&RawValue>| {
            piece
                .filter(|raw| raw.get() != "null")
                .map(|raw| Part::new(&text, Text(Cow::Borrowed(raw.get()))))
        };
        let context = match raw.context.map(|raw| readable(raw.get())) {
            None => None,
            Some(Some(Cow::Borrowed("null"))) => None,
            Some(Some(context)) => Some(Part::new(&text, Text(context))),
            Some(None) => {
                return Err(Refusal::BadClaims {
                    category: "unreadable in `context`",
                    column: 0,
                });
            }
        };
        Ok(Self {
            expires,
            issued_at: raw.issued_at.or(raw.not_before),
            app_id: part(app_id),
            installation_id: part(installation_id),
            app_version: app.app_version.0.map(part),
            api_base_url: app.api_base_url.0.map(part),
            environment_type: environment.environment_type.0.map(part),
            environment_id: environment.id.0.map(part),
            module_type: module.module_type.0.map(part),
            module_key: module.key.0.map(part),
            installation_contexts: json(installation.contexts),
            license: json(app.license),
            context,
            principal: raw.principal.map(part),
            jti: raw.jti.map(part),
            isolated_cloud_label: raw.isolated_cloud_label.0.map(part),
            text,
        })
    }
}

impl Part {
    /// Where `piece` lies in `text`, when it is borrowed from it.
    fn new(text: &str, piece: Text<'_>) -> Self {
        match piece.0 {
            Cow::Owned(text) => Self::Own(text.into_boxed_str()),
            Cow::Borrowed(piece) => {
                let start = (piece.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
                match start.checked_add(piece.len()) {
                    Some(end) if end <= text.len() => Self::At(start, end),
                    _ => Self::Own(piece.into()),
                }
            }
        }
    }
}

/// The payload as it stands, top level by hand: a member twice is refused whether known or not.
#[derive(Default)]
struct RawClaims<'a> {
    issuer: Option<Text<'a>>,
    audience: Option<Audience<'a>>,
    expires: Option<NumericDate>,
    not_before: Option<NumericDate>,
    issued_at: Option<NumericDate>,
    jti: Option<Text<'a>>,
    principal: Option<Text<'a>>,
    isolated_cloud_label: Lenient<'a>,
    context: Option<&'a RawValue>,
    app: Option<Object<RawApp<'a>>>,
}

impl<'de> Deserialize<'de> for RawClaims<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ClaimsVisitor;

        impl<'de> Visitor<'de> for ClaimsVisitor {
            type Value = RawClaims<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a claims set")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut claims = RawClaims::default();
                let mut seen = Names::default();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    match &*name.0 {
                        "iss" => claims.issuer = map.next_value()?,
                        "aud" => claims.audience = map.next_value()?,
                        "exp" => claims.expires = map.next_value()?,
                        "nbf" => claims.not_before = map.next_value()?,
                        "iat" => claims.issued_at = map.next_value()?,
                        "jti" => claims.jti = map.next_value()?,
                        "principal" => claims.principal = map.next_value()?,
                        "icLabel" => claims.isolated_cloud_label = map.next_value()?,
                        "context" => claims.context = map.next_value()?,
                        "app" => claims.app = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                    seen.add::<A::Error>(name)?;
                }
                Ok(claims)
            }
        }

        deserializer.deserialize_map(ClaimsVisitor)
    }
}

#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawApp<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    installation_id: Option<Text<'a>>,
    #[serde(borrow)]
    installation: Option<Object<RawInstallation<'a>>>,
    #[serde(borrow, default)]
    app_version: Lenient<'a>,
    #[serde(borrow, default)]
    api_base_url: Lenient<'a>,
    #[serde(borrow)]
    environment: Option<Object<RawEnvironment<'a>>>,
    #[serde(borrow)]
    module: Option<Object<RawModule<'a>>>,
    #[serde(borrow)]
    license: Option<&'a RawValue>,
}

#[derive(Default, serde::Deserialize)]
struct RawInstallation<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    contexts: Option<&'a RawValue>,
}

#[derive(Default, serde::Deserialize)]
struct RawEnvironment<'a> {
    #[serde(borrow, default, rename = "type")]
    environment_type: Lenient<'a>,
    #[serde(borrow, default)]
    id: Lenient<'a>,
}

#[derive(Default, serde::Deserialize)]
struct RawModule<'a> {
    #[serde(borrow, default, rename = "type")]
    module_type: Lenient<'a>,
    #[serde(borrow, default)]
    key: Lenient<'a>,
}

/// A string that only informs: anything else there counts as absent.
#[derive(Default)]
struct Lenient<'a>(Option<Text<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for Lenient<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LenientVisitor;

        impl<'de> Visitor<'de> for LenientVisitor {
            type Value = Lenient<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Lenient(Some(Text(Cow::Borrowed(text)))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Lenient(Some(Text(Cow::Owned(text.to_owned())))))
            }

            fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
                Ok(Lenient(None))
            }

            fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
                Ok(Lenient(None))
            }

            fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
                Ok(Lenient(None))
            }

            fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
                Ok(Lenient(None))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(Lenient(None))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Lenient(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Lenient(None))
            }
        }

        deserializer.deserialize_any(LenientVisitor)
    }
}

enum Audience<'a> {
    One(Text<'a>),
    Many(Vec<Text<'a>>),
}

impl Audience<'_> {
    fn contains(&self, app_id: &str) -> bool {
        match self {
            Self::One(one) => one.0 == app_id,
            Self::Many(many) => many.iter().any(|one| one.0 == app_id),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Audience<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AudienceVisitor;

        impl<'de> Visitor<'de> for AudienceVisitor {
            type Value = Audience<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Audience::One(Text(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Audience::One(Text(Cow::Owned(text.to_owned()))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut many = Vec::new();
                while let Some(one) = seq.next_element()? {
                    many.push(one);
                }
                Ok(Audience::Many(many))
            }
        }

        deserializer.deserialize_any(AudienceVisitor)
    }
}

/// Seconds since the epoch, with or without a fraction (RFC 7519 §2), kept in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NumericDate(u64);

/// The year 9999: what is later is no date.
const MAX_SECONDS: u64 = 253_402_300_799;

impl NumericDate {
    fn from_time(time: SystemTime) -> Self {
        let since = time
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn to_time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }

    fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DateVisitor;

        impl Visitor<'_> for DateVisitor {
            type Value = NumericDate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("seconds since 1970")
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<Self::Value, E> {
                // Milliseconds by mistake are kept (and refused as too long a life, or as expired).
                if seconds > MAX_SECONDS * 1000 {
                    return Err(E::custom("out of range"));
                }
                Ok(NumericDate(seconds.saturating_mul(1000)))
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<Self::Value, E> {
                u64::try_from(seconds)
                    .map_err(|_| E::custom("out of range"))
                    .and_then(|seconds| self.visit_u64(seconds))
            }

            fn visit_f64<E: serde::de::Error>(self, seconds: f64) -> Result<Self::Value, E> {
                #[allow(clippy::cast_precision_loss)]
                if !(0.0..=MAX_SECONDS as f64).contains(&seconds) {
                    return Err(E::custom("out of range"));
                }
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                Ok(NumericDate((seconds * 1000.0) as u64))
            }
        }

        deserializer.deserialize_any(DateVisitor)
    }
}
