//! The verifier: one Authorization header and one target in, claims or a refusal out.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, header};

use super::app_id::AppId;
use super::claims::{Claims, Expected, Origin};
use super::clock::Clock;
use super::jws::Compact;
use super::keys::KeySet;
use super::policy::{Caller, EndpointBinding, Environment, Named, Target, Verification};
use super::refusal::{Refusal, VerifyError};
use super::replay::ReplayGuard;
use super::verified_time::VerifiedTime;
use crate::forge_data;

/// Tokens longer than this are refused, in bytes. A FIT has about 2 KB; a page's context can grow.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The key sets a deployment trusts. A token may choose among them, never name another.
#[derive(Clone, Debug)]
pub struct KeyRing {
    /// The set for every token that chooses no other.
    pub commercial: KeySet,
    /// The set for tokens of Atlassian's staging cloud, where that is accepted.
    pub staging: Option<KeySet>,
    /// The sets of isolated clouds, by their label (`icLabel`).
    pub isolated: BTreeMap<String, KeySet>,
}

impl KeyRing {
    /// One key set for everything.
    pub fn new(commercial: KeySet) -> Self {
        Self {
            commercial,
            staging: None,
            isolated: BTreeMap::new(),
        }
    }

    /// Every key set.
    pub fn all(&self) -> impl Iterator<Item = &KeySet> {
        std::iter::once(&self.commercial)
            .chain(&self.staging)
            .chain(self.isolated.values())
    }

    fn choose(&self, payload: &[u8]) -> &KeySet {
        if self.staging.is_none() && self.isolated.is_empty() {
            return &self.commercial;
        }
        let origin = Origin::of(payload);
        let isolated = origin
            .isolated_cloud_label
            .and_then(|label| self.isolated.get(&label));
        let staging = || self.staging.as_ref().filter(|_| origin.is_staging);
        isolated.or_else(staging).unwrap_or(&self.commercial)
    }
}

/// Verifies FITs for one app.
pub struct Verifier {
    app_id: AppId,
    keys: KeyRing,
    policy: Verification,
    clock: Arc<dyn Clock>,
    time: VerifiedTime,
    replay: ReplayGuard,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier")
            .field("app_id", &self.app_id)
            .finish_non_exhaustive()
    }
}

impl Verifier {
    /// A verifier for the tokens of `app_id`, signed by a key of `keys`.
    pub fn new(app_id: AppId, keys: KeyRing, policy: Verification, clock: Arc<dyn Clock>) -> Self {
        Self {
            app_id,
            keys,
            policy,
            clock,
            time: VerifiedTime::default(),
            replay: ReplayGuard::default(),
        }
    }

    /// The key sets it trusts.
    pub fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Verifies the token of a request for `target`.
    pub async fn verify(
        &self,
        headers: &HeaderMap,
        target: &Target,
    ) -> Result<Claims, VerifyError> {
        let token = bearer(headers)?;
        let jws = Compact::split(token)?;
        let kid = jws.kid()?;
        let signature = jws.signature()?;
        let payload = jws.payload()?;

        let candidates = self.keys.choose(&payload).find(&kid).await?;
        if !candidates
            .iter()
            .any(|key| key.verify(jws.signed, &signature).is_ok())
        {
            return Err(Refusal::BadSignature.into());
        }

        let expected = Expected {
            app_id: self.app_id.as_str(),
            now: self.time.now(&*self.clock),
            clock_skew: self.policy.clock_skew,
            max_lifetime: self.policy.max_lifetime,
        };
        let claims = Claims::check(payload, &expected)?;
        if let Some(issued_at) = claims.issued_at() {
            self.time.observe(issued_at, expected.now, &*self.clock);
        }
        self.check_environment(&claims)?;
        self.bind(&claims, target)?;
        if self.policy.replay_guard && target.caller != Caller::Page {
            let jti = claims.jti().ok_or(Refusal::MissingClaim("jti"))?;
            if !self
                .replay
                .first_use(jti, claims.expires_at(), expected.now)
            {
                return Err(Refusal::Replayed.into());
            }
        }
        Ok(claims)
    }

    fn check_environment(&self, claims: &Claims) -> Result<(), Refusal> {
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
            Err(Refusal::WrongEnvironment)
        }
    }

    /// Ties the token to the endpoint it came to: a FIT itself names no path.
    fn bind(&self, claims: &Claims, target: &Target) -> Result<(), Refusal> {
        let from_platform = claims.module_type() == Some("core:endpoint");
        let may_have_user = match target.caller {
            Caller::Page => true,
            // What a browser holds names a page's module.
            Caller::PlatformForUser => from_platform,
            Caller::Platform => false,
        };
        if !may_have_user && claims.principal().is_some() {
            return Err(Refusal::HasPrincipal);
        }
        if self.policy.binding == EndpointBinding::PrincipalOnly {
            return Ok(());
        }
        // A page's token may have no principal: an anonymous visitor's. A module that is no page
        // alone may be named by the platform where the handler is that module's.
        let from_page = claims
            .module_type()
            .is_some_and(|ty| ty != target.module_type && forge_data::is_page(ty));
        if target.caller != Caller::Page && from_page {
            return Err(Refusal::WrongModuleType);
        }
        if self.policy.binding == EndpointBinding::Strict
            && target.caller != Caller::Page
            && !from_platform
        {
            return Err(Refusal::WrongModuleType);
        }
        // Endpoint and module keys share one name space, so either names this endpoint alone.
        let ours = |key: &str| {
            key == target.endpoint
                || target.module.as_deref() == Some(key)
                || target.named.takes(key)
        };
        let named = target.named != Named::Anything;
        if from_platform && named && !claims.module_key().is_some_and(ours) {
            return Err(Refusal::WrongEndpoint);
        }
        Ok(())
    }
}

/// The token of the one `Authorization: Bearer` header.
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::MissingHeader)?;
    if values.next().is_some() {
        return Err(Refusal::RepeatedHeader);
    }
    if value.len() > MAX_TOKEN_BYTES + "Bearer ".len() {
        return Err(Refusal::TooLong);
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(Refusal::NotBearer)?;
    // More than one blank, a comma or a quote fails at base64url.
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token)
    } else {
        Err(Refusal::NotBearer)
    }
}
