//! The verifier: from the headers of a request and its target to claims, or a rejection.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use forge_remote_schema::AllowedCaller;
use forge_remote_schema::pages::is_token_module_type;
use http::{HeaderMap, header};

use super::app_id::AppId;
use super::base64url;
use super::claims::{Claims, Expected, KeyChoice};
use super::clock::{Clock, Moment};
use super::clock_health::ClockHealth;
use super::error::{MAX_TOKEN_BYTES, TokenRejection, VerifyError};
use super::jwk::Key;
use super::jws::{self, Compact};
use super::keys::Jwks;
use super::log_limit::LogLimits;
use super::policy::{
    AllowedModuleKey, EndpointBinding, EndpointTarget, Environment, MAX_CLOCK_SKEW,
    PLATFORM_MODULE, VerificationPolicy,
};
use super::provenance::Provenance;
use super::replay::ReplayGuard;
use super::verified_time::VerifiedTime;

/// The scheme before the FIT in its header, in any case.
const SCHEME: &[u8] = b"Bearer ";

/// How many rejected module types are logged, and how much of each.
const MAX_LOGGED_TYPES: usize = 32;
const MAX_LOGGED_CHARS: usize = 64;

/// The key sets that a verifier trusts. A FIT selects one of them and cannot name another.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyRing {
    /// The set for every FIT that names no other cloud.
    pub commercial: Jwks,
    /// The set for FITs of Atlassian's staging cloud, where that is accepted.
    pub staging: Option<Jwks>,
    /// The sets of isolated clouds, by their label (`icLabel`).
    pub isolated: BTreeMap<String, Jwks>,
}

impl KeyRing {
    /// Creates a ring of one key set for the commercial cloud.
    pub fn new(commercial: Jwks) -> Self {
        Self {
            commercial,
            staging: None,
            isolated: BTreeMap::new(),
        }
    }

    /// Returns every key set.
    pub fn all(&self) -> impl Iterator<Item = &Jwks> {
        std::iter::once(&self.commercial)
            .chain(&self.staging)
            .chain(self.isolated.values())
    }

    fn choose(&self, payload: &[u8]) -> &Jwks {
        if self.staging.is_none() && self.isolated.is_empty() {
            return &self.commercial;
        }
        let choice = KeyChoice::of(payload);
        let isolated = choice
            .isolated_cloud_label
            .and_then(|label| self.isolated.get(&label));
        let staging = || self.staging.as_ref().filter(|_| choice.is_staging);
        isolated.or_else(staging).unwrap_or(&self.commercial)
    }
}

/// Verifies FITs for one or several apps.
pub struct Verifier {
    app_ids: Vec<AppId>,
    keys: KeyRing,
    policy: VerificationPolicy,
    clock: Arc<dyn Clock>,
    time: VerifiedTime,
    replay: ReplayGuard,
    /// The module types whose rejection was logged.
    rejected_types: Mutex<BTreeSet<String>>,
    clock_health: Arc<ClockHealth>,
    log_limits: LogLimits,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("app_ids", &self.app_ids)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// Creates a verifier for the FITs of `app_id`, signed by a key of `keys`.
    pub fn new(
        app_id: AppId,
        keys: KeyRing,
        policy: VerificationPolicy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::for_apps([app_id], keys, policy, clock)
    }

    /// Creates a verifier for the FITs of several apps, such as the variants of one app behind one
    /// backend. A FIT must be issued for exactly one of them, and [`Claims::app_id`] returns that one.
    /// Without any id, every FIT is rejected.
    pub fn for_apps(
        app_ids: impl IntoIterator<Item = AppId>,
        keys: KeyRing,
        policy: VerificationPolicy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let mut distinct: Vec<AppId> = Vec::new();
        for app_id in app_ids {
            if !distinct.contains(&app_id) {
                distinct.push(app_id);
            }
        }
        let log_limits = LogLimits::new({
            let clock = Arc::clone(&clock);
            move || clock.elapsed()
        });
        Self {
            app_ids: distinct,
            keys,
            policy,
            clock,
            time: VerifiedTime::default(),
            replay: ReplayGuard::default(),
            rejected_types: Mutex::default(),
            clock_health: Arc::default(),
            log_limits,
        }
    }

    /// Creates a verifier for production, with the default policies and the keys of Atlassian's
    /// commercial cloud. They are fetched when the first FIT arrives.
    ///
    /// To fetch them earlier, spawn `verifier.keys().commercial.keep_fresh()`: [`Jwks::keep_fresh`].
    ///
    /// # Errors
    ///
    /// The URL of the key set is a constant, so its error does not occur.
    ///
    /// ```
    /// use forge_remote_fit::Verifier;
    ///
    /// let app_id = "ari:cloud:ecosystem::app/8db33809-1f32-48bb-8c52-5877dab48107".parse()?;
    /// let verifier = Verifier::production(app_id)?;
    /// # let _ = verifier;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "http")]
    pub fn production(app_id: AppId) -> Result<Self, super::http_source::InvalidKeyUrl> {
        let clock: Arc<dyn Clock> = Arc::new(super::clock::SystemClock::default());
        let source = super::http_source::HttpKeySource::new(super::source::PRODUCTION_KEYS)?;
        let keys = Jwks::new(
            source,
            super::key_policy::JwksPolicy::default(),
            Arc::clone(&clock),
        );
        let policy = VerificationPolicy::default();
        Ok(Self::new(app_id, KeyRing::new(keys), policy, clock))
    }

    /// Returns the limits on log lines that callers can cause; all users of this verifier share
    /// them.
    #[doc(hidden)]
    pub fn log_limits(&self) -> LogLimits {
        self.log_limits.clone()
    }

    /// Records in `clock_health` what the dates of FITs show about the machine's clock.
    #[doc(hidden)]
    pub fn with_clock_health(mut self, clock_health: Arc<ClockHealth>) -> Self {
        self.clock_health = clock_health;
        self
    }

    /// Returns the ids of the apps whose FITs are accepted.
    pub fn app_ids(&self) -> &[AppId] {
        &self.app_ids
    }

    /// Returns the trusted key sets.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Verifies the FIT of a request for `target`.
    pub async fn verify(
        &self,
        headers: &HeaderMap,
        target: &EndpointTarget,
    ) -> Result<Claims, VerifyError> {
        let token = bearer(headers)?;
        let jws = Compact::split(token)?;
        let mut buffer = jws.buffer();
        let [header, signature, payload] = buffer.parts();
        jws.decode_header(header)?;
        let kid = jws::kid(header)?;
        jws.decode_signature(signature)?;
        jws.decode_payload(payload)?;

        let keys = self.keys.choose(payload);
        let is_signed_by_one = |candidates: &[Key]| {
            let mut candidates = candidates.iter();
            candidates.any(|key| key.has_signed(jws.signed, signature))
        };
        let is_signed = match keys.with_fresh(&kid, is_signed_by_one) {
            Some(is_signed) => is_signed,
            // On the heap, because hardly any call needs the room for it.
            None => is_signed_by_one(&Box::pin(keys.find(&kid)).await?),
        };
        if !is_signed {
            return Err(TokenRejection::BadSignature.into());
        }

        let moment = Moment::now(&*self.clock);
        let (now, is_behind) = self.time.now(&moment);
        let expected = Expected {
            app_ids: &self.app_ids,
            now,
            clock_skew: if is_behind {
                MAX_CLOCK_SKEW
            } else {
                self.policy.clock_skew
            },
            max_lifetime: self.policy.max_lifetime,
        };
        let checked = Claims::check(buffer.into_payload(), &expected);
        match &checked {
            Ok(_) if !is_behind => self.clock_health.confirm(),
            Ok(_)
            | Err(
                TokenRejection::Expired
                | TokenRejection::NotYetValid
                | TokenRejection::LivesTooLong,
            ) => {
                self.clock_health.doubt();
            }
            Err(_) => {}
        }
        let claims = checked?;
        if let Some(issued_at) = claims.issued_at() {
            self.time.observe(issued_at, expected.now, &moment);
        }
        self.check_environment(&claims)?;
        self.bind(&claims, target)?;
        if self.policy.replay_guard && target.caller != AllowedCaller::Page {
            let jti = claims.jti().ok_or(TokenRejection::MissingClaim("jti"))?;
            if !self
                .replay
                .first_use(jti, claims.expires_at(), expected.now)
            {
                return Err(TokenRejection::Replayed.into());
            }
        }
        Ok(claims)
    }

    /// Restores the claims of a call that this app verified, and then stored where nobody else can
    /// write.
    ///
    /// The FIT itself is not stored, so its signature is not checked again: the caller has proven
    /// that the payload is the app's own record. Everything else is checked as for a call, the dates
    /// as of the time of the first verification.
    pub(crate) fn restore(
        &self,
        payload: String,
        verified_at: SystemTime,
        target: Option<&EndpointTarget>,
    ) -> Result<Claims, TokenRejection> {
        let expected = Expected {
            app_ids: &self.app_ids,
            now: verified_at,
            clock_skew: MAX_CLOCK_SKEW,
            max_lifetime: self.policy.max_lifetime,
        };
        let claims = Claims::check(payload.into_bytes(), &expected)?;
        self.check_environment(&claims)?;
        if let Some(target) = target {
            self.bind(&claims, target)?;
        }
        Ok(claims)
    }

    fn check_environment(&self, claims: &Claims) -> Result<(), TokenRejection> {
        let Some(accepted) = &self.policy.environments else {
            return Ok(());
        };
        let environment = claims.environment_type();
        if accepted
            .iter()
            .map(|one: &Environment| one.as_str())
            .any(|one| environment == Some(one))
        {
            Ok(())
        } else {
            Err(TokenRejection::WrongEnvironment)
        }
    }

    /// Checks that the FIT is for the endpoint that it was sent to: a FIT itself names no path.
    fn bind(&self, claims: &Claims, target: &EndpointTarget) -> Result<(), TokenRejection> {
        let from_platform = claims.module_type() == Some(PLATFORM_MODULE);
        let may_have_user = match target.caller {
            AllowedCaller::Page => true,
            // A token in a browser names a page's module.
            AllowedCaller::PlatformForUser => from_platform,
            // The check of the type below rejects pages, unless it accepts any type.
            AllowedCaller::Function => {
                self.policy.binding != EndpointBinding::PrincipalOnly
                    || from_platform
                    || self.is_functions_type(claims, target)
            }
            AllowedCaller::Platform => false,
        };
        if !may_have_user && claims.principal().is_some() {
            return Err(TokenRejection::HasPrincipal);
        }
        let binding = match self.policy.binding {
            EndpointBinding::UnknownModules | EndpointBinding::PrincipalOnly
                if target.ends_installation =>
            {
                EndpointBinding::Key
            }
            binding => binding,
        };
        let is_own = target.caller != AllowedCaller::Page
            && claims.module_type() == Some(target.module_type);
        let is_type_accepted = match target.caller {
            AllowedCaller::Page => true,
            AllowedCaller::Function if binding != EndpointBinding::PrincipalOnly => {
                from_platform || self.is_functions_type(claims, target)
            }
            _ => from_platform || accepts_type(claims.module_type(), target, binding),
        };
        if !is_type_accepted {
            self.log_type(claims.module_type(), target);
            return Err(TokenRejection::WrongModuleType);
        }
        if binding == EndpointBinding::PrincipalOnly {
            return check_page(claims, target);
        }
        let is_bound = from_platform || is_own || target.caller == AllowedCaller::Function;
        if is_bound && !names_target(claims.module_key(), target) {
            return Err(TokenRejection::WrongEndpoint);
        }
        check_page(claims, target)
    }

    /// Returns whether the module type of a FIT, which is not `core:endpoint`, may be that of a function's call.
    fn is_functions_type(&self, claims: &Claims, target: &EndpointTarget) -> bool {
        claims.module_type().is_some_and(|named| {
            let is_default =
                named == target.module_type && self.policy.binding != EndpointBinding::Strict;
            is_default || self.policy.function_types.contains(named) && !is_token_module_type(named)
        })
    }

    /// Logs a rejected module type, once, for the person who decides whether it is the platform's.
    fn log_type(&self, module_type: Option<&str>, target: &EndpointTarget) {
        let module_type = module_type.unwrap_or("none");
        let shown: String = module_type.chars().take(MAX_LOGGED_CHARS).collect();
        {
            let seen = self.rejected_types.lock();
            let mut seen = seen.unwrap_or_else(PoisonError::into_inner);
            if seen.len() >= MAX_LOGGED_TYPES || !seen.insert(shown.clone()) {
                return;
            }
        }
        let setting = if target.ends_installation {
            "no setting accepts it at a handler that ends an installation"
        } else if target.caller == AllowedCaller::Function && is_token_module_type(module_type) {
            "it is a page's; to serve pages at this path, or if Forge names a function's calls by its page, use \
             `#[endpoint]`"
        } else if target.caller == AllowedCaller::Function {
            "if Forge sends it with functions' calls, accept it by `VerificationPolicy::function_type`"
        } else if is_token_module_type(module_type) {
            "it is a page's; only `VerificationPolicy::binding(EndpointBinding::PrincipalOnly)` accepts it"
        } else {
            "if Forge itself makes these calls, accept it by \
             `VerificationPolicy::binding(EndpointBinding::UnknownModules)`"
        };
        tracing::warn!(
            module_type = ?shown,
            endpoint = target.endpoint,
            setting,
            "a module type is rejected at a handler that no page calls; this is logged once for each type"
        );
    }
}

/// Returns whether the key of a FIT may be the target's.
fn names_target(key: Option<&str>, target: &EndpointTarget) -> bool {
    match &target.module_keys {
        AllowedModuleKey::Any => true,
        // The target's name is no key.
        keys @ (AllowedModuleKey::NotOf(_) | AllowedModuleKey::NotOfNorGenerated(_)) => {
            key.is_none_or(|key| keys.takes(key))
        }
        keys => key.is_some_and(|key| target.is_own_key(key) || keys.takes(key)),
    }
}

/// Returns whether a handler that only the platform calls accepts a FIT of this module type, which is not
/// `core:endpoint`.
fn accepts_type(
    module_type: Option<&str>,
    target: &EndpointTarget,
    binding: EndpointBinding,
) -> bool {
    let is_own = module_type == Some(target.module_type);
    match binding {
        EndpointBinding::Strict => false,
        // The FITs of calls without an endpoint in the manifest are not documented.
        EndpointBinding::Key => {
            is_own || (module_type.is_none() && target.module_keys == AllowedModuleKey::Any)
        }
        EndpointBinding::UnknownModules => is_own || !module_type.is_some_and(is_token_module_type),
        EndpointBinding::PrincipalOnly => true,
    }
}

/// Checks that the page may call the handler, if the handler names its pages.
fn check_page(claims: &Claims, target: &EndpointTarget) -> Result<(), TokenRejection> {
    let is_open = target.pages.is_empty() || target.caller != AllowedCaller::Page;
    if is_open || Provenance::from_claims(claims, target) != Provenance::Page {
        return Ok(());
    }
    let may = |key: &str| target.pages.iter().any(|page| page == key);
    if claims.module_key().is_some_and(may) {
        Ok(())
    } else {
        Err(TokenRejection::WrongPage)
    }
}

/// Returns the module key that a request's FIT names, unverified: for the choice of a message only.
#[doc(hidden)]
pub fn named_key(headers: &HeaderMap) -> Option<String> {
    let payload = base64url::decode(Compact::split(bearer(headers).ok()?).ok()?.payload)?;
    let payload: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let key = payload.pointer("/app/module/key")?.as_str()?;
    Some(key.to_owned())
}

/// Returns the FIT of the one `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<&[u8], TokenRejection> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenRejection::MissingHeader)?;
    if values.next().is_some() {
        return Err(TokenRejection::RepeatedHeader);
    }
    if value.len() > MAX_TOKEN_BYTES + SCHEME.len() {
        return Err(TokenRejection::TooLong);
    }
    // More than one blank, a comma or a quote fails at base64url.
    match value.as_bytes().split_at_checked(SCHEME.len()) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(SCHEME) => Ok(token),
        _ => Err(TokenRejection::NotBearer),
    }
}
