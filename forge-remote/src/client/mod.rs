//! Calls back to Atlassian: Jira, Confluence, Bitbucket, Compass, GraphQL and Forge's storage, as
//! the app or as a user.
//!
//! In a handler, from the call itself; the token that is handed over says who acts, and that it is
//! there was checked by the compiler when the handler took it:
//!
//! ```
//! use forge_remote::{path, prelude::*};
//!
//! #[derive(serde::Deserialize, serde::Serialize)]
//! struct Page { id: String, title: String }
//!
//! #[endpoint(method = "GET", auth = user, scopes = ["read:page:confluence"])]
//! async fn title(call: Invocation, token: UserToken, Query(id): StorageQuery<String>) -> Result<Json<Page>> {
//!     let confluence = call.confluence().as_user(&token);
//!     Ok(Json(confluence.get(path!("/wiki/api/v2/pages/{}", id)).fetch().await?))
//! }
//! ```
//!
//! Outside of requests, from a kept [`Installation`](crate::token::Installation), with the [`AtlassianClient`] that
//! [`App::background`](crate::App::background) hands in, or a clone of the one that was given to
//! [`App::client`](crate::App::client):
//!
//! ```
//! use forge_remote::client::AtlassianClient;
//! use forge_remote::prelude::*;
//! use forge_remote::token::{Installation, MemoryTokens};
//! # use serde_json::Value;
//!
//! async fn count_pages(atlassian: AtlassianClient, tokens: Tokens) -> Result<()> {
//!     for installation in tokens.installations().await? {
//!         // One customer's failure is no other's.
//!         match pages_of(&installation, &tokens, &atlassian).await {
//!             Ok(count) => println!("{count} pages"),
//!             Err(error) => eprintln!("{}: {error}", installation.installation_id()),
//!         }
//!     }
//!     Ok(())
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
//! It is thin: methods, paths and bodies are those of Atlassian's reference pages. What it does is
//! what is easily got wrong:
//!
//! - The base URL is the one that Forge gave for this installation and product; GraphQL and storage
//!   are those of its cloud: [`IsolatedCloud`].
//! - A token is used for its own installation only, and an impersonated user's for its product. Where
//!   a page brought it and the token alone names the tenant, it is proven first:
//!   [`SystemToken`](crate::SystemToken#on-a-pages-call).
//! - A token goes to Atlassian's hosts only, by https; see [`AtlassianClient::allow_host`]. Another base
//!   URL is refused before anything is sent, and no token follows a redirect.
//! - What varies in a path is encoded: [`Path`]. A path that was put together by hand doesn't compile.
//! - Every call ends: [`AtlassianClient::timeout`]. 429 and 503 are waited out where a call may be
//!   repeated: [`RetryPolicy`].
//! - Errors name the scope, the limit and the trace id: [`ClientError`].
//! - Pages come as a stream, which leaves nothing out: [`PageStream`]. A long one outlives its token:
//!   [`ProductApi::as_app_renewing`].
//! - Attachments are uploaded by a [`Form`], and downloaded in pieces, the token never sent to where
//!   the API redirects: [`Request::follow_without_token`].
//! - The addresses in answers (`self`, `_links`) can be called: [`ProductClient::get_link`].
//!
//! Another crate's client gets the same credentials from [`ProductClient::base_url`] and the token's
//! `expose_secret()`, or [`ProductClient::authorization`].

mod api;
mod atlassian;
mod clouds;
mod cursors;
mod error;
mod form;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod graphql;
mod hosts;
mod impersonation;
mod methods;
mod page;
mod page_stream;
mod path;
mod product;
mod product_client;
mod proof;
mod renewing;
mod request;
mod response;
mod retry;
mod scope_hints;
mod send;
mod single_flight;
mod storage;
mod tenant;
mod token_caches;

pub use api::Api;
pub use atlassian::AtlassianClient;
pub use clouds::IsolatedCloud;
pub(crate) use clouds::is_label;
pub use error::{ClientError, GraphQlError, Operation, RateLimit, StatusError};
pub use form::Form;
pub use graphql::{GraphQl, GraphQlClient, GraphQlRequest, GraphQlResponse};
pub use hosts::InvalidHost;
pub use page_stream::{Cursor, PageStream};
pub use path::{IntoPath, Path};
pub use product::ProductApi;
pub use product_client::ProductClient;
pub use request::{Request, RequestFuture};
pub use response::{Download, Response};
pub use retry::RetryPolicy;
pub use storage::{
    BatchError, BatchKey, BatchOutcome, Entities, FailedKey, FailedKeyError, Item, Put,
    PutIfAbsent, QueryPage, Secrets, SetBatch, Storage, StorageQuery, Transaction,
};
pub(crate) use tenant::sealed::Tenant as SealedTenant;
pub use tenant::{InstallationUrls, Tenant};
