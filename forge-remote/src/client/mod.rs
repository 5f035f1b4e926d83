//! A client for Atlassian's APIs: Jira, Confluence, Bitbucket, Compass, GraphQL and Forge storage,
//! as the app or as a user.
//!
//! In a handler, start from the [`Invocation`](crate::Invocation). The token argument decides who acts;
//! the compiler checks that the handler requests it:
//!
//! ```
//! use forge_remote::{path, prelude::*};
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct Page { id: String, title: String }
//!
//! #[endpoint(method = "GET", auth = user, scopes = ["read:page:confluence"])]
//! async fn title(call: Invocation, token: UserToken, Query(id): Query<String>) -> Result<Json<Page>> {
//!     let confluence = call.confluence().as_user(&token);
//!     Ok(Json(confluence.get(path!("/wiki/api/v2/pages/{}", id)).fetch().await?))
//! }
//! ```
//!
//! Outside of requests, start from a stored [`Installation`](crate::token::Installation), with the
//! [`AtlassianClient`] that [`App::background`](crate::App::background) passes to the task, or with a clone of
//! the one passed to [`App::client`](crate::App::client):
//!
//! ```
//! use std::time::Duration;
//! use forge_remote::client::AtlassianClient;
//! use forge_remote::prelude::*;
//! use forge_remote::token::{Installation, MemoryTokens};
//! # use serde_json::Value;
//!
//! async fn count_pages(atlassian: AtlassianClient, tokens: Tokens) -> Result<()> {
//!     loop {
//!         for installation in tokens.installations().await? {
//!             // A failure for one installation must not stop the others.
//!             match pages_of(&installation, &tokens, &atlassian).await {
//!                 Ok(count) => println!("{count} pages"),
//!                 Err(error) => eprintln!("{}: {error}", installation.installation_id()),
//!             }
//!         }
//!         tokio::time::sleep(Duration::from_secs(600)).await;
//!     }
//! }
//!
//! async fn pages_of(one: &Installation, tokens: &Tokens, atlassian: &AtlassianClient) -> Result<usize> {
//!     let token = tokens.system(one.installation_id()).await?;
//!     let confluence = atlassian.confluence(one).as_app(&token);
//!     let mut pages = confluence.get("/wiki/api/v2/pages").query("limit", 250).pages::<Value>();
//!     let mut count = 0;
//!     while let Some(page) = pages.next().await {
//!         page?;
//!         count += 1;
//!     }
//!     Ok(count)
//! }
//!
//! let app = App::new().token_store(MemoryTokens::new()).keep_tokens_fresh().background(count_pages);
//! # let _ = app;
//! ```
//!
//! The client is a thin layer: methods, paths and bodies are those of Atlassian's reference pages. It
//! handles the parts that are easy to get wrong:
//!
//! - Base URLs: Forge supplies one for each installation and product. GraphQL and storage use the
//!   installation's cloud: [`IsolatedCloud`].
//! - Token scope: a token is used only for its own installation, and an impersonated user's token only for its product.
//!   A token from a page's call is proven before it is sent to an API that identifies the installation only by the
//!   token: [`SystemToken`](crate::SystemToken#on-a-pages-call).
//! - Token destinations: tokens are sent only to Atlassian's hosts, over https; see
//!   [`AtlassianClient::allow_host`]. Any other base URL is rejected before anything is sent, and
//!   redirects never receive a token.
//! - Paths: variable parts are encoded ([`Path`]). A path built with `format!` does not compile.
//! - Timeouts and retries: every call has a timeout ([`AtlassianClient::timeout`]), and calls that may be repeated are
//!   retried after 429, 502, 503 and 504, and without a response ([`RetryPolicy`]).
//! - Errors: they name the scope, the rate limit and the trace id ([`ClientError`]).
//! - Pagination: a stream of items that never skips any ([`PageStream`]). A long listing can outlive
//!   its token: [`ProductApi::as_app_renewing`].
//! - Attachments: uploaded with a [`Form`] and downloaded in chunks. The token is never sent to the
//!   redirect target: [`Request::follow_without_token`].
//! - Links in responses (`self`, `_links`): [`ProductClient::get_link`].
//!
//! To use another HTTP client, take the same credentials from [`ProductClient::base_url`] and the
//! token's `expose_secret()`, or from [`ProductClient::authorization`].

mod api;
mod atlassian;
mod calling_handler;
mod clouds;
mod cursors;
mod dynamic_modules;
mod error;
mod form;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod graphql;
mod hosts;
mod impersonation;
mod installation_ref;
mod known_scopes;
mod methods;
mod page;
mod page_stream;
mod path;
mod permission_cache;
mod permissions;
mod product;
mod product_client;
mod proof;
mod renewing;
mod request;
mod response;
mod restored_tokens;
mod retry;
mod scope_check;
mod scope_hints;
mod send;
mod single_flight;
mod span;
mod storage;
mod token_caches;

pub use api::Api;
pub use atlassian::AtlassianClient;
pub(crate) use calling_handler::{AppScopes, CallingHandler};
pub use clouds::IsolatedCloud;
pub(crate) use clouds::is_label;
pub use dynamic_modules::{DynamicModule, DynamicModules};
pub use error::{ClientError, GraphQlError, Operation, RateLimit, StatusError};
pub use form::Form;
pub use graphql::{GraphQl, GraphQlClient, GraphQlRequest, GraphQlResponse};
pub use hosts::InvalidHost;
pub(crate) use installation_ref::sealed::CalledInstallation;
pub use installation_ref::{InstallationRef, InstallationUrls};
pub use page_stream::{Cursor, PageStream};
pub use path::{IntoPath, Path};
pub use permissions::GrantedPermissions;
pub use product::ProductApi;
pub use product_client::ProductClient;
pub use request::Request;
pub use response::{Download, Response};
pub use restored_tokens::InvalidTokenText;
pub use retry::RetryPolicy;
pub use send::RequestFuture;
pub use storage::{
    BatchError, BatchKey, BatchOutcome, Entities, FailedKey, FailedKeyError, Item, Put,
    PutIfAbsent, QueryPage, Secrets, SetBatch, Storage, StorageQuery, Transaction,
};
