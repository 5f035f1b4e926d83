//! The client of a product, which acts as the app or as a user.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, Method, header};
use reqwest::Url;

use super::api::Api;
use super::atlassian::{CallOptions, ClientSettings};
use super::error::{ClientError, Operation};
use super::product::{ApiTarget, ProductApi};
use super::token_caches;
use crate::credentials::{Owner, SystemToken, Unproven, UserToken};
use crate::http_client::ClientBuildError;
use crate::opaque::Opaque;
use crate::telemetry::http::{SPAN_ID, TRACE_ID};
use crate::token::Tokens;

impl ProductApi {
    /// Creates a client that acts as the app.
    ///
    /// With a token of another installation, each call fails before anything is sent.
    pub fn as_app(&self, token: &SystemToken) -> ProductClient {
        self.client(token.authorization(), false, token.owner())
    }

    /// Creates a client that acts as the token's user: the acting user, or a user
    /// [impersonated](Self::impersonate) for this product.
    ///
    /// With a token of another installation, each call fails before anything is sent.
    pub fn as_user(&self, token: &UserToken) -> ProductClient {
        self.client(token.authorization(), true, token.owner())
    }

    /// Creates a client with this text as its token.
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
            target: self.0.clone(),
            authorization,
            is_user,
            mismatch: self.mismatch(owner),
            unproven: unproven
                .clone()
                .filter(|_| self.0.api.knows_installation_by_token(is_user)),
            from_page: unproven,
            tokens: None,
        }
    }
}

/// A client of a product, which acts as the app or as a user.
///
/// Its `Debug` output shows only the API, because the client holds the token.
#[derive(Clone)]
pub struct ProductClient {
    pub(super) target: Opaque<ApiTarget>,
    pub(super) authorization: HeaderValue,
    pub(super) is_user: bool,
    /// The reason why the token cannot be used for this API.
    pub(super) mismatch: Option<&'static str>,
    /// The claimed owner of the token, if the token alone identifies the installation and may not come
    /// from the platform.
    pub(super) unproven: Option<Unproven>,
    /// The claimed owner of the token, if it may not come from the platform.
    pub(super) from_page: Option<Unproven>,
    /// The store from which each call takes the newest token.
    pub(super) tokens: Option<Tokens>,
}

impl fmt::Debug for ProductClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProductClient({})", self.target.api)
    }
}

impl ProductClient {
    /// Returns the base URL without checking that the token is proven.
    pub(super) fn base(&self) -> Result<&str, ClientError> {
        let api = self.target.api;
        if let Some(reason) = self.mismatch {
            return Err(ClientError::WrongToken { api, reason });
        }
        let base = self.target.base.as_ref();
        let base = base.map_err(|missing| missing.error(api))?;
        self.settings()
            .hosts
            .check(base)
            .map_err(|rejected| ClientError::HostRejected {
                call: Operation {
                    api,
                    method: Method::GET,
                    path: "/".to_owned(),
                },
                origin: rejected.origin,
                reason: rejected.reason,
            })?;
        Ok(base)
    }

    /// Returns `Bearer …`, for the `Authorization` header of another HTTP client. It is marked sensitive.
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    pub(super) fn api(&self) -> Api {
        self.target.api
    }

    pub(super) fn is_user(&self) -> bool {
        self.is_user
    }

    /// Returns the token, to remove it from messages.
    pub(super) fn secret(&self) -> &str {
        let text = self.authorization.to_str().unwrap_or_default();
        text.strip_prefix("Bearer ").unwrap_or(text)
    }

    /// Returns the settings for the installation's cloud.
    pub(super) fn settings(&self) -> Arc<ClientSettings> {
        let settings = self.target.atlassian.settings();
        match &self.target.isolated_cloud {
            Some(label) => Arc::new(settings.of_cloud(label)),
            None => settings,
        }
    }

    /// Handles a 401: an impersonated user's token is exchanged again, a stored token is replaced by
    /// the next one.
    pub(super) fn token_was_rejected(&self) {
        let shared = &self.target.atlassian.shared;
        if self.is_user {
            let now = self.settings().clock.elapsed();
            token_caches::remove_rejected(&shared.user_tokens, self.secret(), now);
        } else if let Some(tokens) = self.tokens.as_ref().or(shared.tokens.get()) {
            tokens.was_rejected(&self.target.installation_id, self.secret());
        }
    }

    pub(super) fn options(&self) -> CallOptions {
        self.target.atlassian.options
    }

    pub(super) fn http(&self, url: &Url) -> Result<&reqwest::Client, ClientBuildError> {
        self.target.atlassian.http(url)
    }

    /// Returns the headers of a request.
    pub(super) fn headers(&self, given: &HeaderMap) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in [TRACE_ID, SPAN_ID].into_iter().zip(&self.target.trace) {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers.extend(given.clone());
        headers.insert(header::AUTHORIZATION, self.authorization.clone());
        headers
    }
}
