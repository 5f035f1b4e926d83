//! The claims of a FIT, as slices of its payload.
//!
//! Source of the claims' meaning: <https://developer.atlassian.com/platform/forge/remote/essentials/>

mod contexts;
mod date;
mod license;
mod payload;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memchr::memchr_iter;
use serde_json::value::RawValue;

pub use contexts::InstallationContext;
pub use license::License;

use self::date::NumericDate;
use self::payload::RawClaims;
use crate::app_id::AppId;
use crate::error::TokenRejection;
use crate::json::strict::{Object, Text, is_too_deep, readable};
use crate::json::{Lenient as _, repair_str};

/// The claims of a verified FIT. A claim that the platform may leave out is an `Option`; a claim that
/// this version does not know is available from [`claim`](Self::claim).
///
/// The `Debug` output is the type's name, because claims are user data. Clones share the claims.
/// Only a [`Verifier`](crate::Verifier) makes them, so `Claims` are always verified.
#[derive(Clone)]
pub struct Claims(Arc<ClaimFields>);

struct ClaimFields {
    /// The payload's JSON; every [`Part`] points into it.
    text: String,
    verified_at: SystemTime,
    expires: NumericDate,
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

impl Claims {
    /// Returns the app's ARI, which equals the FIT's audience and `app.id` in the manifest.
    pub fn app_id(&self) -> &str {
        self.get(&self.0.app_id)
    }

    /// Returns the installation's ARI: the key of its data. It survives upgrades and changes on reinstallation.
    pub fn installation_id(&self) -> &str {
        self.get(&self.0.installation_id)
    }

    /// Returns the deployed app's version, e.g. `16.0.1`.
    pub fn app_version(&self) -> Option<&str> {
        self.optional(&self.0.app_version)
    }

    /// Returns the base URL of the product's API: `https://api.atlassian.com/ex/{jira|confluence}/<cloudId>`
    /// or `https://api.bitbucket.org`.
    pub fn api_base_url(&self) -> Option<&str> {
        self.optional(&self.0.api_base_url)
    }

    /// Returns the environment's type: `DEVELOPMENT`, `STAGING` or `PRODUCTION`.
    pub fn environment_type(&self) -> Option<&str> {
        self.optional(&self.0.environment_type)
    }

    /// Returns the environment's ARI.
    pub fn environment_id(&self) -> Option<&str> {
        self.optional(&self.0.environment_id)
    }

    /// Returns the type of the calling module: `core:endpoint` for the platform's own calls.
    pub fn module_type(&self) -> Option<&str> {
        self.optional(&self.0.module_type)
    }

    /// Returns the key of the calling module.
    pub fn module_key(&self) -> Option<&str> {
        self.optional(&self.0.module_key)
    }

    /// Returns the acting user's account id: present on a page's calls (unless the visitor is anonymous) and on the calls
    /// of a function that serves a user, never on schedules and events.
    pub fn principal(&self) -> Option<&str> {
        self.optional(&self.0.principal)
    }

    /// Returns the FIT's id.
    pub fn jti(&self) -> Option<&str> {
        self.optional(&self.0.jti)
    }

    /// Returns the label of the isolated cloud that the call comes from.
    pub fn isolated_cloud_label(&self) -> Option<&str> {
        self.optional(&self.0.isolated_cloud_label)
    }

    /// Returns the FIT's expiry.
    pub fn expires_at(&self) -> SystemTime {
        self.0.expires.to_time()
    }

    /// Returns the payload's JSON.
    pub(crate) fn payload(&self) -> &str {
        &self.0.text
    }

    /// Returns the time as of which the claims were checked.
    pub(crate) fn verified_at(&self) -> SystemTime {
        self.0.verified_at
    }

    /// Returns when the FIT was issued (`iat`, else `nbf`).
    pub(super) fn issued_at(&self) -> Option<SystemTime> {
        self.0.issued_at.map(NumericDate::to_time)
    }

    /// Returns the page's context, which is free-form JSON, for calls from a page. A function's call may have one too,
    /// although Atlassian documents none for it.
    pub fn context(&self) -> Option<serde_json::Value> {
        serde_json::from_str(self.optional(&self.0.context)?).ok()
    }

    /// Returns the page's context as your own type.
    pub fn context_as<T: serde::de::DeserializeOwned>(&self) -> Option<serde_json::Result<T>> {
        self.optional(&self.0.context).map(serde_json::from_str)
    }

    /// Returns the products of this installation; empty if the platform names none. An entry without a
    /// name is left out and hides no other.
    pub fn installation_contexts(&self) -> Vec<InstallationContext> {
        self.installation_contexts_json()
            .map(InstallationContext::read_all)
            .unwrap_or_default()
    }

    /// Returns the JSON of the claim `app.installation.contexts`.
    #[doc(hidden)]
    pub fn installation_contexts_json(&self) -> Option<&str> {
        self.optional(&self.0.installation_contexts)
    }

    /// Returns the licence. `None` for a free app and outside production.
    pub fn license(&self) -> Option<License> {
        let claim = repair_str(self.optional(&self.0.license)?);
        License::read(serde_json::from_str(&claim).ok()?).ok()
    }

    /// Returns any top-level claim as JSON.
    pub fn claim(&self, name: &str) -> Option<serde_json::Value> {
        // Only this claim is parsed, so an unreadable value of another one does not matter.
        let claims: std::collections::HashMap<String, &RawValue> =
            serde_json::from_str(&self.0.text).ok()?;
        serde_json::from_str(&readable(claims.get(name)?.get())?).ok()
    }

    fn get<'a>(&'a self, part: &'a Part) -> &'a str {
        match part {
            Part::At(start, end) => self.0.text.get(*start..*end).unwrap_or_default(),
            Part::Own(text) => text,
        }
    }

    fn optional<'a>(&'a self, part: &'a Option<Part>) -> Option<&'a str> {
        part.as_ref().map(|part| self.get(part))
    }
}

/// The conditions on claims, independent of their signer.
pub(super) struct Expected<'a> {
    /// The apps whose FITs are accepted, without duplicates.
    pub(super) app_ids: &'a [AppId],
    pub(super) now: SystemTime,
    pub(super) clock_skew: Duration,
    pub(super) max_lifetime: Duration,
}

const ISSUER: &str = "forge/invocation-token";

/// The longest ARI of an installation, in bytes. Real ones have about 75; the key of a row in every
/// store must hold it.
const MAX_ARI_BYTES: usize = 512;

/// Returns whether a text has an ARI's shape, `ari:cloud:ecosystem::installation/<id>`, in characters that a URI can
/// have. Only the first word is compared: the others differ between Atlassian's clouds.
fn is_ari(text: &str) -> bool {
    text.len() <= MAX_ARI_BYTES
        && text.starts_with("ari:")
        && memchr_iter(b':', text.as_bytes()).nth(3).is_some()
        // Without an early exit, the compiler checks many bytes at once.
        && text.bytes().fold(true, |so_far, byte| so_far & byte.is_ascii_graphic())
}

/// The part of an unverified payload that chooses among the configured key sets.
#[derive(Default)]
pub(super) struct KeyChoice {
    pub(super) isolated_cloud_label: Option<String>,
    pub(super) is_staging: bool,
}

impl KeyChoice {
    /// Reads the choice. A payload that cannot be read chooses nothing, and is rejected later.
    pub(super) fn of(payload: &[u8]) -> Self {
        let Ok(raw) = serde_json::from_slice::<RawClaims<'_>>(payload) else {
            return Self::default();
        };
        Self {
            isolated_cloud_label: raw.isolated_cloud_label.0.map(|label| label.0.into_owned()),
            is_staging: raw
                .app
                .and_then(|Object(app)| app.api_base_url.0)
                .is_some_and(|url| is_staging(&url.0)),
        }
    }
}

/// Returns whether a base URL is of Atlassian's staging cloud.
pub(crate) fn is_staging(api_base_url: &str) -> bool {
    api_base_url.starts_with("https://api.stg.atlassian.com/")
}

impl Claims {
    /// Reads a payload, and checks the claims that every FIT of these apps has.
    pub(super) fn check(payload: Vec<u8>, expected: &Expected<'_>) -> Result<Self, TokenRejection> {
        let text = String::from_utf8(payload).map_err(|_| bad_claims("not UTF-8"))?;
        let raw = RawClaims::read(&text)?;

        if raw.issuer.ok_or(TokenRejection::MissingClaim("iss"))?.0 != ISSUER {
            return Err(TokenRejection::WrongIssuer);
        }
        let audience = raw.audience.ok_or(TokenRejection::MissingClaim("aud"))?;
        let Some(audience) = audience.one_of(expected.app_ids) else {
            return Err(TokenRejection::WrongAudience);
        };
        let expires = raw.expires.ok_or(TokenRejection::MissingClaim("exp"))?;
        check_dates(expires, raw.not_before, raw.issued_at, expected)?;

        let Object(app) = raw.app.ok_or(TokenRejection::MissingClaim("app"))?;
        let app_id = app.id.ok_or(TokenRejection::MissingClaim("app.id"))?;
        if app_id.0 != audience.as_str() {
            return Err(TokenRejection::WrongApp);
        }
        let installation = app
            .installation
            .map(|Object(installation)| installation)
            .unwrap_or_default();
        let installation_id = one_installation(app.installation_id, installation.id)?;
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
            Some(None) => return Err(bad_claims("unreadable in `context`")),
        };
        Ok(Self(Arc::new(ClaimFields {
            verified_at: expected.now,
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
        })))
    }
}

impl<'a> RawClaims<'a> {
    /// Reads the claims of a payload, without checking them.
    fn read(text: &'a str) -> Result<Self, TokenRejection> {
        if is_too_deep(text) {
            return Err(bad_claims("nested too deep"));
        }
        serde_json::from_str(text).map_err(|error| TokenRejection::BadClaims {
            // Not the error's text: it can quote a claim.
            category: match error.classify() {
                serde_json::error::Category::Data => "of a wrong type, repeated or out of range",
                serde_json::error::Category::Eof => "truncated",
                _ => "malformed",
            },
            column: error.column(),
        })
    }
}

/// Checks that the FIT is valid now, and not for longer than the policy accepts.
fn check_dates(
    expires: NumericDate,
    not_before: Option<NumericDate>,
    issued_at: Option<NumericDate>,
    expected: &Expected<'_>,
) -> Result<(), TokenRejection> {
    let now = NumericDate::from_time(expected.now);
    if expires <= now {
        return Err(TokenRejection::Expired);
    }
    if expires > now.plus(expected.max_lifetime) {
        return Err(TokenRejection::LivesTooLong);
    }
    let latest = now.plus(expected.clock_skew);
    if not_before.is_some_and(|at| at > latest) {
        return Err(TokenRejection::NotYetValid);
    }
    if issued_at.is_some_and(|at| at > latest) {
        return Err(TokenRejection::IssuedInFuture);
    }
    Ok(())
}

/// Returns the installation that both of its claims name; one of them may be absent.
fn one_installation<'a>(
    of_app: Option<Text<'a>>,
    of_installation: Option<Text<'a>>,
) -> Result<Text<'a>, TokenRejection> {
    let missing = TokenRejection::MissingClaim("app.installationId");
    let id = match (of_app, of_installation) {
        (Some(one), Some(other)) if one != other => {
            return Err(TokenRejection::InstallationMismatch);
        }
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => return Err(missing),
    };
    if id.0.is_empty() {
        return Err(missing);
    }
    if !is_ari(&id.0) {
        return Err(TokenRejection::BadInstallation);
    }
    Ok(id)
}

fn bad_claims(category: &'static str) -> TokenRejection {
    TokenRejection::BadClaims {
        category,
        column: 0,
    }
}

impl Part {
    /// Finds the place of `piece` in `text`, or copies it if it is not borrowed from there.
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
