//! A product that is called as the app or as a user.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use reqwest::Url;

use super::api::Api;
use super::atlassian::{Manner, Settings};
use super::error::{ClientError, Operation};
use super::product::{Place, ProductApi};
use super::token_caches;
use crate::credentials::{Owner, SystemToken, UserToken, VerifiedCall};
use crate::http_client::ClientBuildError;
use crate::opaque::Opaque;
use crate::token::Tokens;

impl ProductApi {
    /// Calls it as the app. A token of another installation is an error when a call is made, before
    /// anything is sent.
    pub fn as_app(&self, token: &SystemToken) -> ProductClient {
        self.client(token.authorization(), false, token.owner())
    }

    /// Calls it as the user whose token this is: the acting one, or one
    /// [impersonated](Self::impersonate) for this product. A token of another installation is an
    /// error when a call is made, before anything is sent.
    pub fn as_user(&self, token: &UserToken) -> ProductClient {
        self.client(token.authorization(), true, token.owner())
    }

    /// Calls it with this text for a token.
    #[cfg(feature = "fuzzing")]
    pub(super) fn with_token(&self, token: &str) -> ProductClient {
        let owner = Owner::of_kept(&self.0.installation_id, Vec::new());
        self.as_app(&SystemToken::new(token, owner))
    }

    fn client(
        &self,
        authorization: HeaderValue,
        is_user: bool,
        owner: Option<&Owner>,
    ) -> ProductClient {
        let unproven = owner.and_then(Owner::unproven);
        ProductClient {
            place: self.0.clone(),
            authorization,
            is_user,
            mismatch: self.mismatch(owner),
            unproven: unproven
                .filter(|_| self.0.api.knows_tenant_by_token())
                .cloned(),
            tokens: None,
        }
    }
}

/// A product that is called as the app or as a user.
///
/// It has no `Debug` output beyond its API: it holds the token.
#[derive(Clone)]
pub struct ProductClient {
    pub(super) place: Opaque<Place>,
    pub(super) authorization: HeaderValue,
    pub(super) is_user: bool,
    /// Why the token isn't for this place.
    pub(super) mismatch: Option<&'static str>,
    /// The call that brought the token, where the token alone names the tenant and somebody other
    /// than the platform may have chosen it.
    pub(super) unproven: Option<VerifiedCall>,
    /// Where each call takes a new token from.
    pub(super) tokens: Option<Tokens>,
}

impl fmt::Debug for ProductClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Client({})", self.place.api)
    }
}

impl ProductClient {
    /// The installation's base URL of this API, for another crate's client: an error where the
    /// app isn't installed in the product, where the token is another installation's or not proven
    /// (see [`SystemToken`]), and where it is a host that tokens don't go to.
    ///
    /// ```
    /// use forge_remote::prelude::*;
    ///
    /// fn configure(call: &Invocation, token: &SystemToken) -> Result<(String, String)> {
    ///     let jira = call.jira().as_app(token);
    ///     Ok((jira.base_url()?.to_owned(), token.expose_secret().to_owned()))
    /// }
    /// ```
    pub fn base_url(&self) -> Result<&str, ClientError> {
        if !self.is_proven() {
            let reason = "this client has made no call with it yet, which would prove it";
            return Err(self.unproven(reason, None));
        }
        self.base()
    }

    /// The base URL, for calls that have been proven.
    pub(super) fn base(&self) -> Result<&str, ClientError> {
        let api = self.place.api;
        if let Some(reason) = self.mismatch {
            return Err(ClientError::WrongToken { api, reason });
        }
        let base = self.place.base.as_ref();
        let base = base.map_err(|nowhere| nowhere.error(api))?;
        self.settings()
            .hosts
            .check(base)
            .map_err(|refused| ClientError::HostRefused {
                call: Operation {
                    api,
                    method: Method::GET,
                    path: "/".to_owned(),
                },
                origin: refused.origin,
                reason: refused.reason,
            })?;
        Ok(base)
    }

    /// `Bearer …`, for the `Authorization` header of another crate's client; marked sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    pub(super) fn api(&self) -> Api {
        self.place.api
    }

    pub(super) fn is_user(&self) -> bool {
        self.is_user
    }

    /// The token, to be taken out of what goes into messages.
    pub(super) fn secret(&self) -> &str {
        let text = self.authorization.to_str().unwrap_or_default();
        text.strip_prefix("Bearer ").unwrap_or(text)
    }

    /// As the installation's cloud sees them.
    pub(super) fn settings(&self) -> Arc<Settings> {
        let settings = self.place.atlassian.settings();
        match &self.place.isolated_cloud {
            Some(label) => Arc::new(settings.of_cloud(label)),
            None => settings,
        }
    }

    /// Atlassian answered 401: an impersonated user's token is exchanged again, a kept token gives
    /// way to the next one.
    pub(super) fn token_was_refused(&self) {
        let shared = &self.place.atlassian.shared;
        if self.is_user {
            let now = self.settings().clock.elapsed();
            token_caches::refused(&shared.acting, self.secret(), now);
        } else if let Some(tokens) = self.tokens.as_ref().or(shared.tokens.get()) {
            tokens.was_refused(&self.place.installation_id, self.secret());
        }
    }

    pub(super) fn manner(&self) -> Manner {
        self.place.atlassian.manner
    }

    pub(super) fn http(&self, url: &Url) -> Result<&reqwest::Client, ClientBuildError> {
        self.place.atlassian.http(url)
    }

    /// The headers of a call.
    pub(super) fn headers(&self, given: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let names = ["x-b3-traceid", "x-b3-spanid"].map(HeaderName::from_static);
        for (name, value) in names.into_iter().zip(&self.place.trace) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers.extend(given.clone());
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers
    }
}
